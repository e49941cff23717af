//! Where elements are: the position of every so-many-th element, and how much came before it.
//!
//! Ragged arrays and buckets are written in parallel, so a block must know how many values the elements before it have:
//! those running totals stand beside the positions.

use serde::{Deserialize, Serialize};

/// Bytes that an index may take in memory. Beyond, every second entry is dropped.
const MOST_BYTES: u64 = 16 << 20;

/// The element that an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the dataset.
    pub element: u64,
    /// Which part it is in.
    pub part: usize,
    /// Where in the part it starts.
    pub position: u64,
}

/// What a running total counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Of which feature.
    pub feature: String,
    /// What of it.
    pub what: Counted,
}

/// What is counted of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// Values as they are stored.
    Values,
    /// Bytes of byte strings.
    Bytes,
    /// Values as the view sees them.
    Seen,
    /// Bytes of byte strings as the view sees them.
    SeenBytes,
    /// Items of the first of several axes, as the view sees them.
    Rows,
    /// Elements whose length falls in the bucket of this number.
    Bucket(usize),
}

/// Sparse positions and running totals. Entries rise by element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    entries: Vec<Entry>,
    counters: Vec<Counter>,
    /// For each counter: its total before each entry.
    totals: Vec<Vec<u64>>,
    /// For each counter: its total over the dataset.
    sums: Vec<u64>,
}

impl Index {
    /// The last entry at or before an element.
    #[must_use]
    pub fn before(&self, element: u64) -> Option<(usize, Entry)> {
        let at = self.entries.partition_point(|entry| entry.element <= element).checked_sub(1)?;
        Some((at, self.entries[at]))
    }

    /// The first entry at or after an element.
    #[must_use]
    pub fn after(&self, element: u64) -> Option<Entry> {
        self.entries.get(self.entries.partition_point(|entry| entry.element < element)).copied()
    }

    /// The number of the first element after a part.
    #[must_use]
    pub fn end_of(&self, part: usize) -> u64 {
        let next = self.entries.partition_point(|entry| entry.part <= part);
        self.entries.get(next).map_or(u64::MAX, |entry| entry.element)
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries, since there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of a counter.
    #[must_use]
    pub fn counter(&self, feature: &str, what: Counted) -> Option<usize> {
        self.counters.iter().position(|counter| counter.what == what && counter.feature == feature)
    }

    /// A counter's total before the entry numbered `entry`.
    #[must_use]
    pub fn total_before(&self, counter: usize, entry: usize) -> u64 {
        self.totals[counter].get(entry).copied().unwrap_or_default()
    }

    /// A counter's total over the dataset.
    #[must_use]
    pub fn sum(&self, counter: usize) -> u64 {
        self.sums.get(counter).copied().unwrap_or_default()
    }

    /// How many numbers tell of an entry.
    pub(crate) fn width(&self) -> usize {
        3 + self.counters.len()
    }

    /// The entries as numbers: of each its element, its part, its position, and the totals before it.
    pub(crate) fn rows(&self) -> Vec<u64> {
        let row = |(number, entry): (usize, &Entry)| {
            let totals = self.totals.iter().map(move |totals| totals[number]);
            [entry.element, entry.part as u64, entry.position].into_iter().chain(totals)
        };
        self.entries.iter().enumerate().flat_map(row).collect()
    }

    /// The index of the same counters without entries.
    pub(crate) fn without_rows(&self) -> Self {
        let (counters, sums) = (self.counters.clone(), self.sums.clone());
        Self { entries: Vec::new(), totals: vec![Vec::new(); counters.len()], counters, sums }
    }

    /// Takes the entries that [`rows`](Self::rows) gave, or a run of them.
    pub(crate) fn set_rows(&mut self, rows: &[u64]) {
        *self = self.without_rows();
        for row in rows.chunks_exact(self.width()) {
            let part = usize::try_from(row[1]).unwrap_or(usize::MAX);
            self.entries.push(Entry { element: row[0], part, position: row[2] });
            self.totals.iter_mut().zip(&row[3..]).for_each(|(totals, total)| totals.push(*total));
        }
    }

    /// Gives parts other numbers, in the same order.
    pub(crate) fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        self.entries.iter_mut().for_each(|entry| entry.part = number(entry.part));
    }

    pub(super) fn push(&mut self, entry: Entry) {
        for (totals, sum) in self.totals.iter_mut().zip(&self.sums) {
            totals.push(*sum);
        }
        self.entries.push(entry);
        if self.bytes() > MOST_BYTES {
            self.thin();
        }
    }

    /// A new counter. The caller knows that there is none yet.
    pub(super) fn add_counter(&mut self, feature: &str, what: Counted) -> usize {
        self.counters.push(Counter { feature: feature.to_owned(), what });
        self.totals.push(vec![0; self.entries.len()]);
        self.sums.push(0);
        self.counters.len() - 1
    }

    #[inline]
    pub(super) fn count(&mut self, counter: usize, more: u64) {
        self.sums[counter] += more;
    }

    /// What each counter has counted.
    pub(super) fn sums(&self) -> &[u64] {
        &self.sums
    }

    /// Counts an element that adds so much to each counter.
    pub(super) fn count_all(&mut self, each: &[u64]) {
        self.sums.iter_mut().zip(each).for_each(|(sum, each)| *sum += each);
    }

    /// Makes of the index of one element that of `elements` of the kind, with an entry every `spacing` of them, whose
    /// positions are `step` apart.
    pub(super) fn repeat(&mut self, elements: u64, spacing: u64, step: u64) {
        let each = self.sums.clone();
        let Some(&first) = self.entries.first() else { return };
        let mut at = spacing;
        while at < elements {
            self.sums.iter_mut().zip(&each).for_each(|(sum, each)| *sum = each * at);
            self.push(Entry { element: first.element + at, position: first.position + at * step, ..first });
            at += spacing;
        }
        self.sums.iter_mut().zip(&each).for_each(|(sum, each)| *sum = each * elements);
    }

    /// Appends the index of the elements that come after these `elements`.
    pub(super) fn merge(&mut self, later: &Self, elements: u64) {
        let start = self.entries.len();
        // An entry at the start of a piece may be of an element in the middle of its part.
        self.entries
            .extend(later.entries.iter().map(|entry| Entry { element: entry.element + elements, ..*entry }));
        for (number, counter) in later.counters.iter().enumerate() {
            // Most often the counters of both stand in the same order.
            let same = (self.counters.get(number) == Some(counter)).then_some(number);
            let mine = same.or_else(|| self.counter(&counter.feature, counter.what)).unwrap_or_else(|| {
                self.counters.push(counter.clone());
                self.totals.push(vec![0; start]);
                self.sums.push(0);
                self.counters.len() - 1
            });
            let base = self.sums[mine];
            self.totals[mine].extend(later.totals[number].iter().map(|total| base + total));
            self.sums[mine] += later.sums[number];
        }
        for (totals, sum) in self.totals.iter_mut().zip(&self.sums) {
            totals.resize(self.entries.len(), *sum);
        }
        while self.bytes() > MOST_BYTES && self.thin() {}
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.entries.len() * (size_of::<Entry>() + self.counters.len() * size_of::<u64>())) as u64
    }

    /// Drops every second entry, but for those at the start of a part. Says whether that helped.
    fn thin(&mut self) -> bool {
        let before = self.entries.len();
        let first = |at: usize| at == 0 || self.entries[at - 1].part != self.entries[at].part;
        let kept: Vec<usize> = (0..before).filter(|at| at % 2 == 0 || first(*at)).collect();
        for totals in &mut self.totals {
            *totals = kept.iter().map(|at| totals[*at]).collect();
        }
        self.entries = kept.iter().map(|at| self.entries[*at]).collect();
        self.entries.len() < before
    }

    /// Drops counters that nobody will ask for.
    pub(super) fn keep_counters(&mut self, mut wanted: impl FnMut(&Counter) -> bool) {
        let kept: Vec<usize> = (0..self.counters.len()).filter(|at| wanted(&self.counters[*at])).collect();
        self.totals = kept.iter().map(|at| std::mem::take(&mut self.totals[*at])).collect();
        self.sums = kept.iter().map(|at| self.sums[*at]).collect();
        self.counters = kept.iter().map(|at| self.counters[*at].clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(lengths: &[u64]) -> Index {
        let mut index = Index::default();
        let counter = index.add_counter("x", Counted::Values);
        for (element, length) in lengths.iter().enumerate() {
            let element = element as u64;
            index.push(Entry { element, part: 0, position: element * 10 });
            index.count(counter, *length);
        }
        index
    }

    #[test]
    fn totals_run_on_over_pieces() {
        let mut whole = piece(&[1, 2, 3]);
        whole.merge(&piece(&[4, 5]), 3);
        let counter = whole.counter("x", Counted::Values).unwrap();
        let before: Vec<_> = (0..5).map(|entry| whole.total_before(counter, entry)).collect();
        assert_eq!((before, whole.sum(counter)), (vec![0, 1, 3, 6, 10], 15));
        assert_eq!(whole.before(4).unwrap().1.element, 4);
        assert_eq!(whole.after(5), None);
    }

    #[test]
    fn thinning_keeps_totals_beside_their_entries() {
        let mut index = piece(&[1; 9]);
        assert!(index.thin());
        let counter = index.counter("x", Counted::Values).unwrap();
        for at in 0..index.len() {
            assert_eq!(index.total_before(counter, at), index.entries[at].element);
        }
    }
}
