//! What pass 1 has learnt from a share of a dataset's files, in a file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Reader, Writer, numbered};
use crate::error::{Error, Result};
use crate::plan::request::Request;
use crate::scan::profile::Profile;
use crate::scan::{OnError, Share};
use crate::source::Choice;

const KIND: &str = "profile";
const PARTS: &str = "parts";
const SKIPPED: &str = "skipped";
const INDEX: &str = "index";

/// What pass 1 has learnt from a share of a dataset, and what it was asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedProfile {
    /// Which share it is.
    pub share: Share,
    /// The format that it was read as.
    pub format: String,
    /// Which elements were wanted.
    pub choice: Choice,
    /// What was wanted of them.
    pub request: Request,
    /// What was done about bad elements.
    pub on_error: OnError,
    /// What is in the files of the share, which are its parts. Parts are numbered as in the whole dataset.
    pub profile: Profile,
}

/// Saves the profile of a share in a file, in one step: whoever sees it, sees all of it.
///
/// # Errors
/// It cannot be written.
pub fn save_profile(mut saved: SavedProfile, path: &Path) -> Result<()> {
    let profile = &mut saved.profile;
    let mut writer = Writer::create(path)?;
    writer.list(PARTS, &std::mem::take(&mut profile.parts), numbered)?;
    writer.list(SKIPPED, &std::mem::take(&mut profile.skipped), |number, _| number as u64)?;
    writer.table(INDEX, &profile.index.rows(), profile.index.width())?;
    profile.index = profile.index.without_rows();
    writer.finish(KIND, &saved)?.publish()
}

impl SavedProfile {
    /// Reads what was saved.
    ///
    /// # Errors
    /// It is no such file, it is damaged, or of another version of the program.
    pub fn read(path: &Path) -> Result<Self> {
        let anew = |e: Error| e.hint("make it anew with `lithify scan`");
        let reader = Reader::open(path, KIND).map_err(anew)?;
        let mut saved: Self = reader.head().map_err(anew)?;
        let profile = &mut saved.profile;
        let index = reader.rows(INDEX, profile.index.width(), 0, u64::MAX)?;
        profile.index.set_rows(&index);
        profile.parts = reader.items(PARTS, 0, u64::MAX)?.1;
        profile.skipped = reader.items(SKIPPED, 0, u64::MAX)?.1;
        Ok(saved)
    }
}
