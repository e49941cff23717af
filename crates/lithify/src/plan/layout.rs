//! How the arrays of an output are kept, which its name decides, and under which names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ArrayPlan, FeaturePlan, Fit};
use crate::error::{Change, Error, Result};

/// The file of an output directory that tells what was written.
pub(crate) const MANIFEST: &str = "lithify.json";
/// The file of a Zarr node that tells what it is.
const NODE: &str = "zarr.json";

/// How the arrays of an output are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One `.npy` file; what belongs to it stands beside it.
    NpyFile,
    /// A directory of `.npy` files.
    #[default]
    NpyDirectory,
    /// A Zarr store of version 3: a directory of groups and arrays.
    Zarr,
    /// The same of version 2, for readers that know no other: without shards, without `bfloat16`.
    #[serde(rename = "zarr2")]
    Zarr2,
}

impl Layout {
    /// The layout of the output at this path: that is told by its ending.
    #[must_use]
    pub fn of(output: &Path) -> Self {
        match output.extension().and_then(|ending| ending.to_str()) {
            Some("npy") => Self::NpyFile,
            Some("zarr") => Self::Zarr,
            _ => Self::NpyDirectory,
        }
    }

    /// Whether it is a Zarr store.
    #[must_use]
    pub fn is_zarr(self) -> bool {
        matches!(self, Self::Zarr | Self::Zarr2)
    }

    /// Whether the output is one array in one file.
    #[must_use]
    pub fn single(self) -> bool {
        self == Self::NpyFile
    }

    /// Where the array of this name is, from the directory of the output: a file, or the directory of a Zarr array.
    #[must_use]
    pub fn path_of(self, array: &str) -> PathBuf {
        match self {
            Self::NpyFile | Self::NpyDirectory => PathBuf::from(format!("{array}.npy")),
            Self::Zarr | Self::Zarr2 => PathBuf::from(array),
        }
    }

    /// The name of an array that holds what a `suffix` such as `.offsets` says of a feature. Where a fit makes several arrays
    /// and none of them is *the* array, those of a Zarr store stand in a group that has the feature's name.
    pub(super) fn name_of(self, feature: &str, suffix: &str, fit: &Fit) -> String {
        match (self.is_zarr(), suffix.strip_prefix('.')) {
            (true, Some(part)) if fit.several() => format!("{feature}/{part}"),
            _ => format!("{feature}{suffix}"),
        }
    }

    /// Refuses names that cannot all stand side by side.
    pub(super) fn check_names(self, features: &[FeaturePlan], arrays: &[ArrayPlan]) -> Result<()> {
        let rename = |array: &ArrayPlan, message: String| {
            let feature = &features[array.feature];
            let other = feature.name.replace(|letter: char| !letter.is_alphanumeric(), "_");
            Err(Error::request(message)
                .hint("give it another name with `rename=NAME`")
                .instead(Change::WordsOf(feature.feature.clone(), format!("rename={other}_2"))))
        };
        let mut places = HashSet::new();
        for array in arrays {
            let name = array.name.as_str();
            let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > 240;
            if name.contains(['\0', '\\']) || name.split('/').any(bad_part) {
                return rename(array, format!("`{}` cannot be the name of a file", name.escape_debug()));
            }
            if name.split('/').next() == Some(MANIFEST) {
                return rename(array, format!("`{name}` is in the way of `{MANIFEST}`"));
            }
            // Zarr's own: its specification reserves names that begin so, and those of dots alone.
            let reserved = |part: &str| {
                part == NODE
                    || part.starts_with("__")
                    || part.starts_with(".z")
                    || part.chars().all(|letter| letter == '.')
            };
            if self.is_zarr() && name.split('/').any(reserved) {
                return rename(array, format!("`{name}` cannot be the name of a Zarr array"));
            }
            if !places.insert(self.path_of(name)) {
                return rename(array, format!("two arrays would be called `{name}`"));
            }
        }
        // `a.npy` beside `a/b.npy` is fine, but not beside `a.npy/b.npy`. In Zarr, `a` and `a/b` are not.
        for array in arrays {
            let mut folders = array.name.match_indices('/').map(|(end, _)| &array.name[..end]);
            if let Some(folder) = folders.find(|folder| places.contains(Path::new(folder))) {
                return rename(
                    array,
                    format!(
                        "`{}` needs a folder `{folder}`, which is the place of another array",
                        array.name
                    ),
                );
            }
        }
        Ok(())
    }
}
