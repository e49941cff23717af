//! `dataset_info.json`: which splits there are, in which files, and of how many elements each.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result, printable};
use crate::source::probe::read_json;
use crate::source::split::Split;

/// The name of the file.
pub(super) const FILE: &str = "dataset_info.json";
/// How files are named where nothing is said.
const TEMPLATE: &str = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}";

/// The formats of files that are read.
const FORMATS: [&str; 2] = ["tfrecord", ARRAY_RECORD];
/// That of files which are no TFRecords.
pub(super) const ARRAY_RECORD: &str = "array_record";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    name: String,
    file_format: Option<String>,
    splits: Vec<SplitInfo>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SplitInfo {
    name: String,
    shard_lengths: Vec<Value>,
    filepath_template: Option<String>,
}

/// The splits of the dataset in `directory`, and the format of their files.
pub(super) fn splits_of(directory: &Path) -> Result<(&'static str, Vec<Split>)> {
    let path = directory.join(FILE);
    let info: Info = read_json(&path)?;
    let wrong = |message: String| Error::input(message).in_file(&path);
    let format = info.file_format.as_deref().unwrap_or("tfrecord");
    let Some(format) = FORMATS.into_iter().find(|known| *known == format) else {
        return Err(wrong(format!("its files are of the format `{format}`, which cannot be read")).hint(
            "write it as TFRecords with `tfds convert_format --dataset_dir DIR --out_file_format tfrecord --out_dir OTHER`",
        ));
    };
    let mut splits = Vec::new();
    for split in &info.splits {
        if split.name.is_empty() {
            return Err(wrong("a split has no name".into()));
        }
        let count = |length: &Value| {
            // Numbers of 64 bits are strings in the JSON of protobuf.
            let number = length.as_u64().or_else(|| length.as_str()?.parse().ok());
            number.ok_or_else(|| {
                wrong(format!("the split `{}` has a shard of `{length}` elements", split.name))
            })
        };
        let lengths = split.shard_lengths.iter().map(count).collect::<Result<Vec<_>>>()?;
        if lengths.is_empty() {
            return Err(wrong(format!(
                "it does not say of how many elements the files of `{}` are",
                split.name
            ))
            .hint("name the files of the split themselves"));
        }
        let template = split.filepath_template.as_deref().filter(|template| !template.is_empty());
        let files = lengths.len();
        let mut shards = Vec::with_capacity(files);
        for (number, elements) in lengths.into_iter().enumerate() {
            let name =
                file_name(template.unwrap_or(TEMPLATE), (&info.name, format), &split.name, number, files);
            if name.contains(['/', '\\', '\0']) || matches!(&*name, "" | "." | "..") {
                return Err(wrong(format!("`{}` is no name of a file", name.escape_debug())));
            }
            shards.push((directory.join(name), elements));
        }
        splits.push(Split { name: split.name.clone(), shards });
    }
    if splits.is_empty() {
        return Err(wrong(format!("`{}` has no splits", printable(directory))));
    }
    Ok((format, splits))
}

/// The name of a shard. Numbers have five digits, or as many as that of the shards.
fn file_name(
    template: &str,
    (dataset, format): (&str, &str),
    split: &str,
    number: usize,
    files: usize,
) -> String {
    let digits = files.to_string().len().max(5);
    let padded = |number: usize| format!("{number:0digits$}");
    let values = [
        ("DATASET", dataset.to_owned()),
        ("SPLIT", split.to_owned()),
        ("FILEFORMAT", format.to_owned()),
        ("SHARD_INDEX", padded(number)),
        ("NUM_SHARDS", padded(files)),
        ("SHARD_X_OF_Y", format!("{}-of-{}", padded(number), padded(files))),
    ];
    values.iter().fold(template.to_owned(), |name, (key, value)| {
        name.replace(&format!("${{{key}}}"), value).replace(&format!("{{{key}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_as_tfds_names_them() {
        let mnist = ("mnist", "tfrecord");
        assert_eq!(file_name(TEMPLATE, mnist, "train", 0, 1), "mnist-train.tfrecord-00000-of-00001");
        assert_eq!(file_name("${SPLIT}.{SHARD_INDEX}", mnist, "a_b", 7, 123_456), "a_b.000007");
    }
}
