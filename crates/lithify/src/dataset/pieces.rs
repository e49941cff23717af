//! Where the elements of a source are, by number: found by passing over all of them once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::parallel::on_threads;
use crate::source::{Source, Want, at_position};

/// Bytes of a part between two places where reading can start.
const PIECE_BYTES: u64 = 4 << 20;

/// Elements of a part that follow one another.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub part: usize,
    pub positions: Range<u64>,
    /// Their numbers, in the order of the parts.
    pub numbers: Range<u64>,
}

/// Counts the elements of all parts, no more than so many, and notes where reading can start.
///
/// # Errors
/// A part cannot be read.
pub(super) fn pieces_of(source: &dyn Source, most: u64, threads: usize) -> Result<Vec<Piece>> {
    let parts = source.parts().len();
    let next = AtomicUsize::new(0);
    let by_part: Mutex<BTreeMap<usize, Result<Vec<Piece>>>> = Mutex::default();
    on_threads(threads.min(parts), || {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return;
            }
            let pieces = pieces_of_part(source, part);
            by_part.lock().unwrap_or_else(PoisonError::into_inner).insert(part, pieces);
        }
    })?;
    let mut all = Vec::new();
    let mut next = 0;
    for pieces in by_part.into_inner().unwrap_or_else(PoisonError::into_inner).into_values() {
        for piece in pieces? {
            let count = (piece.numbers.end - piece.numbers.start).min(most - next);
            if count > 0 {
                all.push(Piece { numbers: next..next + count, ..piece });
            }
            next += count;
        }
    }
    Ok(all)
}

fn pieces_of_part(source: &dyn Source, part: usize) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    // What cannot be entered anywhere is read from its start.
    let most = if source.seekable(part) { PIECE_BYTES } else { u64::MAX };
    if let Some(alike) = source.alike(part) {
        let per_piece = (most / alike.step.max(1)).max(1);
        let mut start = 0;
        while start < alike.elements {
            let mut end = start.saturating_add(per_piece).min(alike.elements);
            while end < alike.elements && source.entry(part, end * alike.step) <= start * alike.step {
                end = end.saturating_add(per_piece).min(alike.elements);
            }
            if end < alike.elements {
                end = source.entry(part, end * alike.step) / alike.step;
            }
            pieces.push(Piece { part, positions: start * alike.step..end * alike.step, numbers: start..end });
            start = end;
        }
        return Ok(pieces);
    }
    let mut elements = source.read(part, 0..u64::MAX, Want::Heads)?;
    let (mut start, mut number) = ((0, 0), 0);
    loop {
        let at = elements.position();
        let there = elements.skip().map_err(|e| at_position(source, part, at, e.at_element(number)))?;
        let can_start = || at - start.0 >= most && source.entry(part, at) == at;
        if number > start.1 && (!there || can_start()) {
            pieces.push(Piece { part, positions: start.0..at, numbers: start.1..number });
            start = (at, number);
        }
        if !there {
            return Ok(pieces);
        }
        number += 1;
    }
}

/// A part has fewer elements than were counted.
pub(super) fn changed() -> Error {
    Error::input("the dataset holds fewer elements than when it was opened: it has changed in between")
        .hint("run it again")
}
