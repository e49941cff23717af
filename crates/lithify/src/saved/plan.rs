//! A plan in a file.

use std::ops::Range;
use std::path::Path;

use super::{Reader, Unnamed, Writer, numbered};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::scan::index::Index;
use crate::scan::profile::Skipped;
use crate::source::Part;
use crate::store::Checksum;

const KIND: &str = "plan";
const PARTS: &str = "parts";
const SKIPPED: &str = "skipped";
const INDEX: &str = "index";

/// A plan that was saved in a file. Of its lists, nothing is read before it is asked for.
pub struct SavedPlan {
    reader: Reader,
    /// The plan without its parts, its index, and the elements that are left out.
    head: Plan,
}

impl SavedPlan {
    /// Saves a plan in a file, which gets its name by [`Unnamed::publish`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(plan: &Plan, path: &Path) -> Result<Unnamed> {
        let mut writer = Writer::create(path)?;
        writer.list(PARTS, &plan.parts, numbered)?;
        writer.list(SKIPPED, &plan.skipped, |_, skipped| skipped.part as u64)?;
        writer.table(INDEX, &plan.index.rows(), plan.index.width())?;
        let (parts, skipped, index) = (Vec::new(), Vec::new(), plan.index.without_rows());
        writer.finish(KIND, &Plan { parts, skipped, index, ..plan.clone() })
    }

    /// Opens the file of a plan.
    ///
    /// # Errors
    /// It is none, it is damaged, or of another version of the program.
    pub fn open(path: &Path) -> Result<Self> {
        let anew = |e: Error| e.hint("make it anew with `lithify plan`");
        let reader = Reader::open(path, KIND).map_err(anew)?;
        let head: Plan = reader.head().map_err(anew)?;
        if !head.is_sound() {
            return Err(anew(Error::input("it does not hang together").in_file(path)));
        }
        Ok(Self { reader, head })
    }

    /// What tells this plan from all others.
    #[must_use]
    pub fn id(&self) -> Checksum {
        self.reader.id
    }

    /// The plan but for its lists: its parts, its index, and the elements that are left out.
    #[must_use]
    pub fn head(&self) -> &Plan {
        &self.head
    }

    /// All of it.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn whole(&self) -> Result<Plan> {
        let index = self.index(0..u64::MAX)?;
        let (_, parts) = self.reader.items(PARTS, 0, u64::MAX)?;
        let (_, skipped) = self.reader.items(SKIPPED, 0, u64::MAX)?;
        Ok(Plan { parts, skipped, index, ..self.head.clone() })
    }

    /// What must be known of it to write these elements, if their files can be read without the others: of parts, those that hold
    /// them, after the first, by which formats tell what records hold. Also the number of the part after the first in the
    /// whole plan.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn share(&self, elements: Range<u64>) -> Result<(Plan, usize)> {
        let mut index = self.index(elements.clone())?;
        let part_of = |element| index.before(element).map_or(0, |(_, entry)| entry.part);
        let (first, last) = (part_of(elements.start).max(1), part_of(elements.end.saturating_sub(1)));
        let mut parts = self.parts(0..1)?;
        parts.extend(self.parts(first..last + 1)?);
        let number = |part: usize| if part == 0 { 0 } else { part - (first - 1) };
        index.renumber(number);
        let (_, mut skipped): (_, Vec<Skipped>) =
            self.reader.items(SKIPPED, if first == 1 { 0 } else { first as u64 }, last as u64 + 1)?;
        skipped.retain(|skipped| skipped.part == 0 || (first..=last).contains(&skipped.part));
        for skipped in &mut skipped {
            skipped.part = number(skipped.part);
        }
        Ok((Plan { parts, skipped, index, ..self.head.clone() }, first))
    }

    fn index(&self, elements: Range<u64>) -> Result<Index> {
        let mut index = self.head.index.clone();
        let rows = self.reader.rows(INDEX, index.width(), elements.start, elements.end)?;
        index.set_rows(&rows);
        Ok(index)
    }

    fn parts(&self, numbers: Range<usize>) -> Result<Vec<Part>> {
        let (first, parts) = self.reader.items(PARTS, numbers.start as u64, numbers.end as u64)?;
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        Ok(parts.into_iter().skip(numbers.start - first).take(numbers.len()).collect())
    }
}
