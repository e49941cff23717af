//! What was typed, as words that can be typed again: for a script that types them later.

use std::ffi::OsStr;
use std::path::Path;

use crate::args::{Dataset, ErrorPolicy, Features, Run, StoreChoice, Tasks, Wanted};
use crate::batch::quoted;
use crate::commands::absolute;

/// A flag and its value.
fn flag(words: &mut Vec<String>, name: &str, value: impl AsRef<OsStr>) {
    words.extend([name.to_owned(), quoted(value.as_ref())]);
}

/// A path from the root: a job may run elsewhere.
fn path(path: &Path) -> String {
    quoted(absolute(path).as_os_str())
}

impl Dataset {
    /// Its words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.inputs.iter().map(|input| path(input)).collect();
        self.from.iter().for_each(|format| flag(&mut words, "--from", format));
        self.split.iter().for_each(|split| flag(&mut words, "--split", split));
        self.select.iter().for_each(|select| flag(&mut words, "--select", select));
        self.limit.iter().for_each(|limit| flag(&mut words, "--limit", limit.to_string()));
        self.shuffle.iter().for_each(|seed| flag(&mut words, "--shuffle", seed.to_string()));
        self.zip.iter().for_each(|beside| words.extend(["--zip".into(), path(beside)]));
        if matches!(self.on_error, ErrorPolicy::Skip) {
            flag(&mut words, "--on-error", "skip");
        }
        words
    }
}

impl Features {
    /// Its words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        self.specs.iter().for_each(|feature| flag(&mut words, "--feature", feature));
        self.recipe.iter().for_each(|recipe| words.extend(["--recipe".into(), path(recipe)]));
        for (key, value) in self.only.given() {
            match value {
                Some(value) => words.push(quoted(OsStr::new(&format!("--{key}={value}")))),
                None => words.push(format!("--{key}")),
            }
        }
        words
    }
}

impl Run {
    /// Its words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        self.memory.iter().for_each(|memory| flag(&mut words, "--memory", memory.to_string()));
        self.threads.iter().for_each(|threads| flag(&mut words, "--threads", threads.to_string()));
        words
    }
}

impl Wanted {
    /// Its words, but for those of features.
    pub fn words(&self) -> Vec<String> {
        let store = self.store.map(|store| match store {
            StoreChoice::Npy => "npy",
            StoreChoice::Zarr => "zarr",
            StoreChoice::Zarr2 => "zarr2",
        });
        store.map_or_else(Vec::new, |store| vec!["--store".into(), store.into()])
    }
}

impl Tasks {
    /// Its words, but for their number.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![format!("--align={}", self.align)];
        if self.overwrite {
            words.push("--overwrite".into());
        }
        words
    }
}
