//! Directories that `save_to_disk` of Hugging Face's `datasets` has written: `state.json` names the Arrow files of a dataset in
//! their order, `dataset_info.json` declares its features, and `dataset_dict.json` names the splits, a directory each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::features::Features;
use super::ipc::Ipc;
use super::table::{Piece, Tables};
use crate::error::{Error, Result, printable};
use crate::source::probe::{Evidence, read_json};
use crate::source::split::{self, Split};
use crate::source::{Format, Options, Part, Source, Verdict};

/// The file that names the files of a dataset, and those that stand beside it.
const STATE: &str = "state.json";
const INFO: &str = "dataset_info.json";
const DICT: &str = "dataset_dict.json";
/// What a split is called that has no name: as `load_dataset` calls it.
const TRAIN: &str = "train";

/// Directories of `save_to_disk`.
pub struct HuggingFace;

#[derive(Deserialize)]
struct Dict {
    splits: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    #[serde(rename = "_data_files")]
    data_files: Vec<DataFile>,
    /// Before version 2, which rows were meant could stand in files of their own.
    #[serde(rename = "_indices_files", alias = "_indices_data_files")]
    indices_files: Option<Vec<Value>>,
    #[serde(rename = "_split")]
    split: Option<String>,
}

#[derive(Deserialize)]
struct DataFile {
    filename: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    features: Option<Value>,
}

impl Format for HuggingFace {
    fn name(&self) -> &'static str {
        "huggingface"
    }

    fn about(&self) -> &'static str {
        "directories that `save_to_disk` of Hugging Face's datasets has written"
    }

    fn probe(&self, _: &Evidence<'_>) -> Verdict {
        Verdict::No
    }

    fn takes(&self, directory: &Path) -> bool {
        directory.join(DICT).is_file()
            || directory.join(STATE).is_file()
                && [INFO, "dataset.arrow"].iter().any(|name| directory.join(name).is_file())
    }

    fn stands_alone(&self) -> bool {
        true
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let directories = directories_of(&parts, options.choice.split.is_some());
        let has_splits = directories.iter().any(|directory| directory.join(DICT).is_file());
        if directories.len() > 1 && (has_splits || options.choice.split.is_some()) {
            let names: Vec<_> = directories.iter().map(|path| format!("`{}`", printable(path))).collect();
            return Err(Error::request("there are several datasets, and splits are those of one")
                .hint(format!("name one of {}", names.join(", "))));
        }
        let named = match &directories[..] {
            [one] if has_splits => splits_of(one)?,
            many => many.iter().map(|directory| (None, directory.clone())).collect(),
        };
        let (mut splits, mut opened) = (Vec::new(), BTreeMap::new());
        for (name, directory) in named {
            let state: State = read_json(&directory.join(STATE))?;
            let shards = open_files(&directory, &state, options, &mut opened)?;
            splits.push(Split { name: name.or(state.split).unwrap_or_else(|| TRAIN.to_owned()), shards });
        }
        let chosen = options.choice.split.clone().or_else(|| has_splits.then(|| split::all(&splits)));
        let mut pieces: Vec<Piece> = Vec::new();
        if let Some(chosen) = &chosen {
            for kept in split::kept(chosen, &splits)? {
                pieces.extend(opened.get(kept.path).map(|piece| Piece { rows: kept.range, ..piece.clone() }));
            }
        } else {
            // Several datasets follow one another.
            let paths = splits.iter().flat_map(|split| &split.shards);
            pieces.extend(paths.filter_map(|(path, _)| opened.get(path).cloned()));
        }
        Ok(Box::new(Tables::of(self.name(), pieces)?.of_split(chosen)))
    }
}

/// The directories that are meant: those that are given, or that the given files are in. Where splits are asked for, the files
/// of one lie in a directory of its own.
fn directories_of(parts: &[Part], splits: bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for part in parts {
        let mut directory = match part.path.is_dir() {
            true => part.path.clone(),
            false => part.path.parent().map(Path::to_path_buf).unwrap_or_default(),
        };
        if let Some(above) = directory.parent().filter(|above| splits && above.join(DICT).is_file()) {
            directory = above.to_path_buf();
        }
        if !found.contains(&directory) {
            found.push(directory);
        }
    }
    found
}

/// The splits of a directory, and the directory of each.
fn splits_of(directory: &Path) -> Result<Vec<(Option<String>, PathBuf)>> {
    let path = directory.join(DICT);
    let dict: Dict = read_json(&path)?;
    let place = |name: String| {
        check_name(&name).map_err(|e| e.in_file(&path))?;
        let place = directory.join(&name);
        Ok((Some(name), place))
    };
    dict.splits.into_iter().map(place).collect()
}

/// Opens the files of a dataset; gives them and how many rows they have.
fn open_files(
    directory: &Path,
    state: &State,
    options: &Options,
    opened: &mut BTreeMap<PathBuf, Piece>,
) -> Result<Vec<(PathBuf, u64)>> {
    let path = directory.join(STATE);
    if state.indices_files.as_ref().is_some_and(|files| !files.is_empty()) {
        return Err(Error::input("which rows are meant stands in files of indices, which cannot be read")
            .in_file(&path)
            .hint("save it anew: `load_from_disk(…).flatten_indices().save_to_disk(…)`"));
    }
    let info = directory.join(INFO);
    let info: Info = if info.is_file() { read_json(&info)? } else { Info::default() };
    let mut shards = Vec::with_capacity(state.data_files.len());
    for file in &state.data_files {
        check_name(&file.filename).map_err(|e| e.in_file(&path))?;
        let place = directory.join(&file.filename);
        let part = Part::of(&place)
            .map_err(|e| e.hint(format!("`{STATE}` names it in `{}`", printable(directory))))?;
        let features = |schema: &_| Features::of(schema, info.features.as_ref()).only(options);
        let table = Ipc::open(&part, options.largest_record, features)?;
        let piece = Piece::whole(part, table);
        shards.push((place.clone(), piece.rows.end));
        opened.insert(place, piece);
    }
    Ok(shards)
}

/// Refuses a name that leads elsewhere.
fn check_name(name: &str) -> Result<()> {
    if name.contains(['/', '\\', '\0']) || matches!(name, "" | "." | "..") {
        return Err(Error::input(format!("`{}` is no name of a file", name.escape_debug())));
    }
    Ok(())
}
