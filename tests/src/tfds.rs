//! Directories as TensorFlow Datasets writes them, made byte by byte.

use std::path::PathBuf;

use crate::{Scratch, record};

/// A feature in the JSON of `features.json`.
#[must_use]
pub fn tensor(dtype: &str, shape: &str, encoding: &str) -> String {
    let sizes: Vec<_> =
        shape.split(',').filter(|size| !size.is_empty()).map(|size| format!("\"{size}\"")).collect();
    let sizes = sizes.join(", ");
    format!(
        r#"{{"pythonClassName": "Tensor", "tensor": {{"shape": {{"dimensions": [{sizes}]}}, "dtype": "{dtype}", "encoding": "{encoding}"}}}}"#
    )
}

/// A sequence of such features.
#[must_use]
pub fn sequence(feature: &str) -> String {
    format!(r#"{{"pythonClassName": "Dataset", "sequence": {{"feature": {feature}, "length": "-1"}}}}"#)
}

/// A dictionary of features.
#[must_use]
pub fn dict(features: &[(&str, String)]) -> String {
    let features: Vec<_> = features.iter().map(|(name, json)| format!("\"{name}\": {json}")).collect();
    let features = features.join(", ");
    format!(r#"{{"pythonClassName": "FeaturesDict", "featuresDict": {{"features": {{{features}}}}}}}"#)
}

/// Writes a dataset of these splits, each a list of files of Examples, and gives its directory.
#[must_use]
pub fn dataset(scratch: &Scratch, features: &str, splits: &[(&str, Vec<Vec<Vec<u8>>>)]) -> PathBuf {
    let directory = scratch.at("made/1.0.0");
    std::fs::create_dir_all(&directory).unwrap();
    let mut infos = Vec::new();
    for (split, files) in splits {
        for (number, examples) in files.iter().enumerate() {
            let name = format!("made-{split}.tfrecord-{number:05}-of-{:05}", files.len());
            let bytes: Vec<u8> = examples.iter().flat_map(|example| record(example)).collect();
            std::fs::write(directory.join(name), bytes).unwrap();
        }
        let lengths: Vec<_> = files.iter().map(|examples| format!("\"{}\"", examples.len())).collect();
        infos.push(format!(r#"{{"name": "{split}", "shardLengths": [{}]}}"#, lengths.join(", ")));
    }
    let info = format!(r#"{{"name": "made", "fileFormat": "tfrecord", "splits": [{}]}}"#, infos.join(", "));
    std::fs::write(directory.join("dataset_info.json"), info).unwrap();
    std::fs::write(directory.join("features.json"), features).unwrap();
    directory
}
