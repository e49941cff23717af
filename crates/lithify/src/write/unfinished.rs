//! What an earlier run has left of an output that is not complete: its plan, and how far it came.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{self, Trusted};
use super::manifest::Manifest;
use super::staging::Staging;
use super::there;
use crate::error::{Error, ErrorKind, Result, printable};
use crate::plan::request::Request;
use crate::plan::{Plan, Target};
use crate::source::{Choice, Part};
use crate::store::{Checksum, not_as_left};

/// What makes an output what it is, besides the program.
pub struct Asked<'a> {
    /// The format of the dataset.
    pub format: &'a str,
    /// Its files, as they are now.
    pub parts: &'a [Part],
    /// Which of its elements are wanted.
    pub choice: &'a Choice,
    /// What is wanted of them.
    pub request: &'a Request,
    /// Where it goes, and how.
    pub target: &'a Target,
}

/// A plan, and what it was made for: the request may leave to the plan what that has settled.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    asked: Request,
    pub plan: Plan,
}

/// An output that is not complete.
pub struct Left {
    pub(super) saved: Saved,
    /// Of the file that the plan is in.
    pub(super) checksum: Checksum,
    pub(super) trusted: Trusted,
    /// How many of its blocks are done.
    done: u64,
}

impl Left {
    /// What is left in a place, if it can be gone on with.
    pub(super) fn look(staging: &Staging) -> Result<Option<Self>> {
        let directory = staging.path();
        let Some(text) = there::read(&directory.join(PLAN))? else { return Ok(None) };
        let Some(trusted) = journal::look(directory, Checksum::of(&text))? else { return Ok(None) };
        let Some(saved) = Saved::parse(&text, staging) else { return Ok(None) };
        let (mut done, mut sound) = (0, true);
        journal::blocks(directory, trusted, |block| {
            done += 1;
            sound &= block.is_of(&saved.plan);
        })?;
        if !sound {
            let message = "what its journal tells is not about its plan".to_owned();
            return Err(not_as_left(directory, message));
        }
        Ok(Some(Self { saved, checksum: Checksum::of(&text), trusted, done }))
    }

    /// How many of its blocks are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The plan by which it is to be completed.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.saved.plan
    }
}

/// The name of the file that keeps the plan.
pub(super) const PLAN: &str = "plan.json";

/// Keeps a plan in a directory; gives the checksum of its file.
pub(super) fn save(directory: &Path, asked: &Request, plan: &Plan) -> Result<Checksum> {
    let path = directory.join(PLAN);
    let failed = |e: std::io::Error| Error::io("write", &path, e);
    let saved = Saved { asked: asked.clone(), plan: plan.clone() };
    let text = serde_json::to_vec(&saved).map_err(|e| failed(e.into()))?;
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    file.write_all(&text).and_then(|()| file.flush()).map_err(failed)?;
    Ok(Checksum::of(&text))
}

impl Saved {
    /// The plan that is kept in a place, whether or not something is done of it.
    pub(super) fn read(staging: &Staging) -> Result<Option<Self>> {
        let text = there::read(&staging.path().join(PLAN))?;
        Ok(text.and_then(|text| Self::parse(&text, staging)))
    }

    fn parse(text: &[u8], staging: &Staging) -> Option<Self> {
        let mut saved: Self =
            serde_json::from_slice(text).ok().filter(|saved: &Self| saved.plan.is_sound())?;
        // It was saved as it was named then, perhaps from elsewhere.
        saved.plan.output = staging.target().to_path_buf();
        Some(saved)
    }

    /// In what it is not what is asked for now; `None` if it is that.
    pub(super) fn difference(&self, now: &Asked<'_>) -> Option<String> {
        let Plan { format, parts, choice, .. } = &self.plan;
        now.difference(&Asked { format, parts, choice, request: &self.asked, target: &self.plan.target() })
    }
}

impl Asked<'_> {
    /// In what it is not what was asked for then, wherever that went.
    pub(super) fn difference(&self, then: &Asked<'_>) -> Option<String> {
        if self.request != then.request || self.choice != then.choice {
            return Some("what is asked for is not the same".into());
        }
        let how = |asked: &Asked<'_>| (asked.target.layout, asked.target.on_error, asked.target.io);
        if how(self) != how(then) {
            return Some("how it is to be written is not the same".into());
        }
        if self.format != then.format || self.parts.len() != then.parts.len() {
            let counts = (then.parts.len(), self.parts.len());
            return Some(format!(
                "it was of {} files ({}), and there are {} ({})",
                counts.0, then.format, counts.1, self.format
            ));
        }
        let changed = self.parts.iter().zip(then.parts).find(|(now, then)| now.absolute() != **then);
        changed.map(|(now, then)| match now.absolute().path == then.path {
            true => format!("`{}` has changed since", printable(&now.path)),
            false => {
                format!("`{}` has come in the place of `{}`", printable(&now.path), printable(&then.path))
            }
        })
    }

    /// The output that is there, if it is what is asked for.
    #[must_use]
    pub fn done(&self) -> Option<Manifest> {
        let manifest = Manifest::read(&self.target.output).ok()?;
        let Manifest { format, parts, choice, request, layout, on_error, .. } = &manifest;
        let target = Target { layout: *layout, on_error: *on_error, ..self.target.clone() };
        let same = self.difference(&Asked { format, parts, choice, request, target: &target }).is_none();
        same.then_some(manifest)
    }
}

impl Staging {
    /// Refuses to throw away what an earlier run has done.
    pub(super) fn refuse_left(&self) -> Result<()> {
        match Left::look(self)? {
            Some(left) if left.done > 0 => {
                let message = format!(
                    "`{}` was begun before, and {} of its {} blocks are done",
                    printable(self.target()),
                    left.done,
                    left.saved.plan.blocks()
                );
                Err(Error::new(ErrorKind::Output, message)
                    .hint("go on with it by the same command as before, or begin anew with `--restart`"))
            }
            _ => Ok(()),
        }
    }

    /// What an earlier run has left that is to be gone on with. What cannot be is removed; but what is done is not thrown away.
    ///
    /// # Errors
    /// Something else is asked for than what is there, and blocks of that are done.
    pub fn go_on(&self, asked: &Asked<'_>) -> Result<Option<Left>> {
        // Without it, it was complete, and has its name.
        let begun = there::look(&self.output())?.is_some();
        let left = if begun { Left::look(self)? } else { None };
        let differs = left.as_ref().and_then(|left| left.saved.difference(asked));
        match (left, differs) {
            (Some(left), None) if left.done > 0 => return Ok(Some(left)),
            (Some(left), Some(how)) if left.done > 0 => {
                let message = format!(
                    "`{}` was begun before, and {} of its {} blocks are done, but {how}",
                    printable(&asked.target.output),
                    left.done,
                    left.saved.plan.blocks()
                );
                let anew = "begin anew with `--restart`";
                let asked_then = (&left.saved.asked, &left.saved.plan.choice);
                return Err(Error::new(ErrorKind::Output, message).hint(
                    if asked_then == (asked.request, asked.choice) {
                        anew.to_owned()
                    } else {
                        format!("go on with it by the same command as before, or {anew}")
                    },
                ));
            }
            _ => self.clear()?,
        }
        Ok(None)
    }
}
