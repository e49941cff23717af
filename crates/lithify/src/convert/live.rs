//! The same of what a program gives: in one pass where all elements are known by the first, else in two, and if they come only once
//! over a file of what came.

use super::{Job, convert, scan_and_plan};
use crate::error::{ErrorKind, Result};
use crate::scan::OnError;
use crate::source::Source;
use crate::source::live::{ARRAY, Live, Spool, Spooled};
use crate::write::grow::write_growing;
use crate::write::manifest::Manifest;
use crate::write::{Asked, check_target, stage};

/// Converts what a program gives, in as few passes as can be.
///
/// # Errors
/// As [`convert`]; or the program's.
pub fn convert_live(source: &Live, job: &Job<'_>) -> Result<Manifest> {
    let alike = match (source.feed().alike, source.feed().again) {
        (true, _) => Alike::Said,
        (false, true) => Alike::Hoped,
        (false, false) => Alike::Anyhow,
    };
    // Before anything is taken that comes only once.
    check_target(job.target, job.writing.overwrite)?;
    match convert_growing(source, job, alike) {
        Ok(Some(manifest)) => return Ok(manifest),
        Ok(None) => {}
        Err(error) if error.kind() == ErrorKind::Input && alike == Alike::Hoped => {}
        Err(error) => return Err(error),
    }
    if source.feed().again {
        return convert(&source.told_by_the_first(false), job);
    }
    let spooled = spool(source, job)?;
    let mut machine = job.machine.clone();
    machine.disk = machine.disk.saturating_sub(spooled.parts()[0].bytes);
    convert(&spooled, &Job { machine: &machine, ..*job })
}

/// Why elements that a program gives can be written before all of them are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// It is said that they differ in nothing but their values.
    Said,
    /// They may, and what turns out otherwise is found, and can be begun anew.
    Hoped,
    /// They may, but they come only once: so however they differ must not matter.
    Anyhow,
}

/// Converts what a program gives as it comes, in one pass. How many elements there are need not be known. Nothing is done where that
/// takes two passes.
///
/// # Errors
/// As [`convert`]; or an element is not as the first, which need not be an error if all of them are known before.
pub fn convert_growing(source: &Live, job: &Job<'_>, alike: Alike) -> Result<Option<Manifest>> {
    if job.target.on_error == OnError::Skip {
        // What is bad must be known before rows are counted.
        return Ok(None);
    }
    let source = &source.told_by_the_first(true);
    let mut machine = job.machine.clone();
    if source.feed().elements.is_none() {
        (machine.disk, machine.largest_file) = (u64::MAX, None);
    }
    let (profile, plan) = match scan_and_plan(source, &Job { machine: &machine, ..*job }, &[]) {
        Ok(planned) => planned,
        // Of all elements it may be another matter than of the first.
        Err(error) => {
            let over = alike == Alike::Said || error.kind() == ErrorKind::Interrupted || !source.can_begin();
            return if over { Err(error) } else { Ok(None) };
        }
    };
    let can = match alike {
        Alike::Said => true,
        Alike::Hoped => plan.tells_what_does_not_fit(),
        // Where there are names, others may lack some; and of an empty list, chunks would be of nothing.
        Alike::Anyhow => {
            let alone = profile.features.len() == 1 && profile.feature(ARRAY).is_some();
            plan.fits_any_length() && alone && plan.counters.iter().all(|counter| counter.total > 0)
        }
    };
    if !can {
        return Ok(None);
    }
    let (choice, request, target) = (source.choice(), job.request, job.target);
    let asked = Asked { format: source.format(), parts: source.parts(), choice: &choice, request, target };
    let (staging, _) = stage(&asked, job.writing.restart)?;
    // What others have begun is not thrown away.
    staging.go_on(&asked)?;
    write_growing(source, &plan, request, &staging, job.writing).map(Some)
}

/// Keeps on disk what comes only once.
fn spool(source: &Live, job: &Job<'_>) -> Result<Spooled> {
    let mut spool = Spool::create(&job.machine.disk_path)?;
    job.writing.progress.begin("read", 0);
    for batch in source.batches()? {
        let batch = batch?;
        spool.push(&batch)?;
        job.writing.progress.advance(batch.held());
    }
    Ok(spool.finish(&source.feed().name))
}
