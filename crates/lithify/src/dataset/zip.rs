//! Datasets side by side: an element has the features of the elements of the same number in all.

use std::ops::Range;

use super::pieces::{Piece, changed};
use crate::error::{Error, Result};
use crate::source::{Elements, Source, Want, at_position};
use crate::value::{Element, Kept};

/// The elements of a part of the first dataset, each with those beside it.
pub(super) struct Zipped<'s> {
    first: Box<dyn Elements + 's>,
    beside: Vec<Beside<'s>>,
    joined: Kept,
    /// Whether names were compared: those of the first element stand for all.
    compared: bool,
}

impl<'s> Zipped<'s> {
    /// The elements in a range of a part of the first source; `pieces` are those of each source.
    pub(super) fn open(
        sources: &'s [Box<dyn Source>],
        pieces: &'s [Vec<Piece>],
        part: usize,
        range: Range<u64>,
        want: Want,
    ) -> Result<Self> {
        let Some(((first, others), (pieces, beside))) = sources.split_first().zip(pieces.split_first())
        else {
            return Err(Error::request("there is nothing to stand side by side"));
        };
        let next = number_of(first.as_ref(), pieces, part, range.start)?;
        let beside = others.iter().zip(beside).map(|(source, pieces)| Beside {
            source: source.as_ref(),
            pieces,
            want,
            next,
            open: None,
        });
        Ok(Self {
            first: first.read(part, range, want)?,
            beside: beside.collect(),
            joined: Kept::default(),
            compared: false,
        })
    }
}

/// The number of the element at a position of a part.
fn number_of(source: &dyn Source, pieces: &[Piece], part: usize, position: u64) -> Result<u64> {
    let before = |piece: &&Piece| piece.part == part && piece.positions.start <= position;
    let Some(piece) = pieces.iter().rev().find(before) else { return Ok(0) };
    let mut number = piece.numbers.start;
    if piece.positions.start == position {
        return Ok(number);
    }
    let mut elements = source.read(part, piece.positions.start..position, Want::Heads)?;
    while elements.position() < position && elements.skip()? {
        number += 1;
    }
    Ok(number)
}

/// The elements of a dataset from a number on, whatever its parts are.
struct Beside<'s> {
    source: &'s dyn Source,
    pieces: &'s [Piece],
    want: Want,
    /// The number of the next element.
    next: u64,
    /// Its part, and the number that the part ends before.
    open: Option<(Box<dyn Elements + 's>, usize, u64)>,
}

impl<'s> Beside<'s> {
    /// Opens the part that the next element is in.
    fn find(&mut self) -> Result<&mut (Box<dyn Elements + 's>, usize, u64)> {
        if self.open.as_ref().is_none_or(|open| self.next >= open.2) {
            self.open = None;
            let at = self.pieces.partition_point(|piece| piece.numbers.end <= self.next);
            let piece = self.pieces.get(at).ok_or_else(changed)?;
            let last = self.pieces[at..].iter().take_while(|other| other.part == piece.part).last();
            let end = last.map_or(0, |piece| piece.numbers.end);
            let mut elements = self.source.read(piece.part, piece.positions.start..u64::MAX, self.want)?;
            for _ in piece.numbers.start..self.next {
                let at = elements.position();
                if !elements.skip().map_err(|e| at_position(self.source, piece.part, at, e))? {
                    return Err(changed());
                }
            }
            self.open = Some((elements, piece.part, end));
        }
        self.open.as_mut().ok_or_else(changed)
    }

    fn next(&mut self) -> Result<Element<'_>> {
        let source = self.source;
        self.find()?;
        self.next += 1;
        let Some((elements, part, _)) = &mut self.open else { return Err(changed()) };
        let (part, at) = (*part, elements.position());
        elements.next().map_err(|e| at_position(source, part, at, e))?.ok_or_else(changed)
    }

    fn skip(&mut self) -> Result<()> {
        let source = self.source;
        let (elements, part, _) = self.find()?;
        let (part, at) = (*part, elements.position());
        let there = elements.skip().map_err(|e| at_position(source, part, at, e))?;
        self.next += 1;
        if there { Ok(()) } else { Err(changed()) }
    }
}

impl Elements for Zipped<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        let Some(element) = self.first.next()? else { return Ok(None) };
        self.joined.clear();
        self.joined.push(&element);
        for beside in &mut self.beside {
            self.joined.append(&beside.next()?);
        }
        let element = self.joined.element(0);
        if let Some(element) = element.filter(|_| !self.compared) {
            let mut names: Vec<&[u8]> = (0..element.len()).map(|at| element.name(at)).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
                return Err(Error::request(format!(
                    "two of the datasets side by side have a feature `{}`",
                    String::from_utf8_lossy(twice[0])
                ))
                .hint("convert one of them first, and give the feature another name: `rename=…`"));
            }
            self.compared = true;
        }
        Ok(element)
    }

    fn skip(&mut self) -> Result<bool> {
        if !self.first.skip()? {
            return Ok(false);
        }
        self.beside.iter_mut().try_for_each(Beside::skip)?;
        Ok(true)
    }

    fn position(&self) -> u64 {
        self.first.position()
    }

    fn held(&self) -> u64 {
        self.first.held()
    }

    fn consumed(&self) -> u64 {
        self.first.consumed()
    }
}
