//! Tables as a dataset: element *i* is row *i*. Rows are gathered a window at a time, and lent from there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::features::{Features, Item, Leaf};
use super::window::{Lent, Mark};
use crate::decode::View;
use crate::error::{Error, Result};
use crate::source::example::bad_name;
use crate::source::{Alike, Choice, Elements, Part, Source, Want};
use crate::value::{Element, Field, Form};

/// Bytes of a window, about: it should still be in a core's cache when its rows are written.
const WINDOW_BYTES: u64 = 256 << 10;
/// Bytes of a window of more than one row, at most.
pub(super) const WINDOW_MOST: u64 = 2 << 20;
/// Rows of a window, at most.
pub(super) const WINDOW_ROWS: u64 = 8192;

/// How often the rows of a group may be found damaged, at most.
const MOST_LOST: u64 = 64;

/// Rows of a window, where so many of them have so many bytes.
pub(super) fn window_rows(bytes: u64, rows: u64) -> u64 {
    let row = bytes.div_ceil(rows.max(1)).max(1);
    (WINDOW_BYTES / row).clamp(1, WINDOW_ROWS)
}

/// The values of some rows, of all features.
#[derive(Default)]
pub(super) struct Window {
    pub bytes: Vec<u8>,
    pub leaves: Vec<Lent>,
}

impl Window {
    pub(super) fn clear(&mut self) {
        // What one large row took is not kept for small ones.
        if self.bytes.capacity() as u64 > 2 * WINDOW_MOST {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.leaves.clear();
    }
}

/// A file of rows, which it holds in groups.
pub(super) trait Table: Send + Sync {
    /// The features of its columns.
    fn features(&self) -> &Features;

    /// The number of the first row of each group, and that of all rows.
    fn groups(&self) -> &[u64];

    /// Whether to read from the middle of a group takes as much as to read it from its start.
    fn restarts(&self) -> bool;

    /// Whether a column, or what is nested in it, may have nulls.
    fn is_nullable(&self, column: usize) -> bool;

    /// Bytes of memory that reading takes, but for rows that are larger than a window.
    fn held(&self) -> u64;

    /// Why there are no more rows than these, where the file is damaged.
    fn damage(&self) -> Option<&str> {
        None
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn open(&self) -> Result<Box<dyn Rows + '_>>;
}

/// The rows of a table, as they are read.
pub(super) trait Rows: Send {
    /// How many rows of a group are read together, from its first row on, whatever memory there is.
    fn step(&self, group: usize) -> u64;

    /// Fills a window with rows of a group, one of which is `row`; says which.
    ///
    /// # Errors
    /// They cannot be read, or are damaged.
    fn fill(&mut self, group: usize, row: u64, window: &mut Window) -> Result<Range<u64>>;
}

/// A file, and which of its rows are elements.
#[derive(Clone)]
pub(super) struct Piece {
    pub part: Part,
    pub table: Arc<dyn Table>,
    pub rows: Range<u64>,
}

impl Piece {
    /// All rows of a table.
    pub(super) fn whole(part: Part, table: impl Table + 'static) -> Self {
        let rows = 0..table.groups().last().copied().unwrap_or_default();
        Self { part, table: Arc::new(table), rows }
    }

    fn elements(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// How far the positions of two elements are apart: as if all rows had as many bytes of the file.
    fn step(&self) -> u64 {
        (self.part.bytes / self.elements().max(1)).max(1)
    }

    fn alike(&self) -> Alike {
        Alike { elements: self.elements(), step: self.step(), sound: false }
    }

    /// The group that a row is in.
    fn group_of(&self, row: u64) -> usize {
        self.table.groups().partition_point(|first| *first <= row).saturating_sub(1)
    }

    /// Whether all rows are alike in all but their values.
    fn is_alike(&self) -> bool {
        let (features, table) = (self.table.features(), &self.table);
        let fixed = |leaf: &Leaf| leaf.is_fixed() && !table.is_nullable(leaf.column);
        table.damage().is_none() && features.leaves.iter().all(fixed)
    }
}

/// A dataset of tables.
pub(super) struct Tables {
    pub format: &'static str,
    parts: Vec<Part>,
    pieces: Vec<Piece>,
    views: BTreeMap<String, View>,
    classes: BTreeMap<String, Vec<String>>,
    left_out: BTreeMap<String, String>,
    /// The splits that these rows are of.
    split: Option<String>,
}

impl Tables {
    /// A dataset of these tables.
    ///
    /// # Errors
    /// They do not agree in what numbers stand for, or have nothing that can be read.
    pub(super) fn of(format: &'static str, pieces: Vec<Piece>) -> Result<Self> {
        let (mut views, mut classes) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        let mut left_out = BTreeMap::new();
        for piece in &pieces {
            let features = piece.table.features();
            if features.leaves.is_empty() && features.unread.is_empty() && !piece.rows.is_empty() {
                let none =
                    Error::input("it has no column of numbers or byte strings").in_file(&piece.part.path);
                return Err(features.left_out.iter().fold(none, |error, (name, why)| {
                    error.hint(format!("`{}`: {why}", name.escape_debug()))
                }));
            }
            check_names(features, &piece.part.path)?;
            views.extend(features.views.clone());
            left_out.extend(features.left_out.clone());
            for (name, names) in &features.classes {
                if classes.get(name).is_some_and(|known| known != names) {
                    let message =
                        "its classes are others, or in another order, than those of the files before";
                    return Err(Error::input(message).in_file(&piece.part.path).in_feature(name));
                }
                classes.insert(name.clone(), names.clone());
            }
        }
        let parts = pieces.iter().map(|piece| piece.part.clone()).collect();
        Ok(Self { format, parts, pieces, views, classes, left_out, split: None })
    }

    /// The same as the elements of splits.
    pub(super) fn of_split(self, split: Option<String>) -> Self {
        Self { split, ..self }
    }
}

impl Source for Tables {
    fn format(&self) -> &'static str {
        self.format
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn classes(&self) -> BTreeMap<String, Vec<String>> {
        self.classes.clone()
    }

    fn view(&self, feature: &str) -> Option<&View> {
        self.views.get(feature)
    }

    fn left_out(&self) -> BTreeMap<String, String> {
        self.left_out.clone()
    }

    fn choice(&self) -> Choice {
        Choice { split: self.split.clone(), ..Choice::default() }
    }

    fn positions_are_bytes(&self, _: usize) -> bool {
        false
    }

    fn alike(&self, part: usize) -> Option<Alike> {
        let piece = &self.pieces[part];
        (piece.elements() > 0 && piece.is_alike()).then(|| piece.alike())
    }

    fn seekable(&self, _: usize) -> bool {
        true
    }

    fn entry(&self, part: usize, position: u64) -> u64 {
        let piece = &self.pieces[part];
        if !piece.table.restarts() {
            return position;
        }
        let row = piece.rows.start + position / piece.step();
        let first = piece.table.groups()[piece.group_of(row)].max(piece.rows.start);
        (first - piece.rows.start) * piece.step()
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        let piece = &self.pieces[part];
        let step = piece.step();
        let row = |position: u64| piece.rows.start + position.div_ceil(step).min(piece.elements());
        let mut reader = Reader {
            piece,
            rows: piece.table.open()?,
            step,
            next: row(range.start),
            until: row(range.end),
            held: 0..0,
            window: Window::default(),
            names: Vec::new(),
            fields: Vec::new(),
            sizes: Vec::new(),
            // Damage after the last row is met by whoever reads to the end.
            damaged: range.end > piece.elements() * step && piece.table.damage().is_some(),
        };
        reader.name_fields();
        Ok(Box::new(reader))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let piece = &self.pieces[part];
        let Some(position) = piece.alike().first_in(&range) else { return Ok(None) };
        if self.entry(part, position) == position {
            return Ok(Some(position));
        }
        // Where the rows before must be decoded, nobody begins in the midst of a group.
        let row = piece.rows.start + position / piece.step();
        let next = piece.table.groups()[piece.group_of(row) + 1].min(piece.rows.end);
        Ok(piece.alike().first_in(&((next - piece.rows.start) * piece.step()..range.end)))
    }
}

struct Reader<'s> {
    piece: &'s Piece,
    rows: Box<dyn Rows + 's>,
    step: u64,
    next: u64,
    until: u64,
    /// The rows that are in the window.
    held: Range<u64>,
    window: Window,
    names: Vec<u8>,
    fields: Vec<Field>,
    sizes: Vec<u64>,
    damaged: bool,
}

impl Reader<'_> {
    fn name_fields(&mut self) {
        let features = self.piece.table.features();
        for leaf in &features.leaves {
            let start = (self.names.len(), self.sizes.len());
            self.names.extend_from_slice(leaf.name.as_bytes());
            self.sizes.extend(leaf.shape.iter().map(|size| size.unwrap_or(0)));
            let form = match (leaf.item, leaf.shape.is_empty()) {
                (Item::Number(_) | Item::Bits, _) => Form::Items { big_endian: false },
                (_, true) => Form::String { unread: 0 },
                (_, false) => Form::Message,
            };
            let shape = Some(start.1..self.sizes.len());
            self.fields.push(Field { name: start.0..self.names.len(), kind: None, body: 0..0, form, shape });
        }
        // What is not read is named, and holds nothing: in the first element, which is enough for it to be known.
        let names = features.left_out.iter().map(|(name, _)| name).chain(&features.unread);
        for name in names.filter(|name| bad_name(name.as_bytes()).is_none()) {
            let start = self.names.len();
            self.names.extend_from_slice(name.as_bytes());
            self.fields.push(Field::list(start..self.names.len(), None, 0..0));
        }
    }

    fn fill(&mut self) -> Result<()> {
        let path = &self.piece.part.path;
        self.held = 0..0;
        let group = self.piece.group_of(self.next);
        match self.rows.fill(group, self.next, &mut self.window) {
            Ok(rows) => {
                self.held = rows;
                Ok(())
            }
            Err(error) => {
                // What is damaged is not only this row.
                let lost = self.lost_with(group, self.next);
                self.next = lost.min(self.until);
                Err(error.in_file(path).loses_a_stretch())
            }
        }
    }

    /// Where what is lost with a row ends: what is read together with it, and in large groups a good part of them. Wherever reading
    /// begins, it is the same.
    fn lost_with(&self, group: usize, row: u64) -> u64 {
        let groups = self.piece.table.groups();
        let (first, end) = (groups[group], groups[group + 1]);
        let step = self.rows.step(group).max(1);
        let lost = (end - first).div_ceil(step).div_ceil(MOST_LOST).max(1).saturating_mul(step);
        first.saturating_add(((row - first) / lost + 1).saturating_mul(lost)).min(end)
    }

    /// What is wrong with the row at a place of the window.
    fn check(&self, row: usize) -> Result<()> {
        for (leaf, lent) in self.piece.table.features().leaves.iter().zip(&self.window.leaves) {
            let error = match lent.mark(row) {
                Mark::Good | Mark::Missing => continue,
                Mark::NullValue => {
                    Error::input(format!("a value in it is null, which no {} stands for", leaf.item.kind()))
                        .hint("fill nulls before: `pyarrow.compute.fill_null`, or `fillna` of pandas")
                }
                Mark::NullList => Error::input("a list in it is null").hint(
                    "make empty lists of them before, or leave such elements out with `--on-error skip`",
                ),
                Mark::Length(found, declared) => {
                    Error::input(format!("a list in it has {found} items, and {declared} are declared"))
                }
                Mark::PathOnly => Error::input("it is not in the file: there is only the path to it")
                    .hint("`save_to_disk` and `to_parquet` of `datasets` keep the files themselves"),
            };
            return Err(error.in_feature(&leaf.name).in_file(&self.piece.part.path));
        }
        Ok(())
    }
}

impl Elements for Reader<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        self.next_run(1)
    }

    fn next_run(&mut self, most: u64) -> Result<Option<Element<'_>>> {
        if self.next >= self.until {
            let damage = if std::mem::take(&mut self.damaged) { self.piece.table.damage() } else { None };
            return damage.map_or(Ok(None), |why| {
                Err(Error::input(why).in_file(&self.piece.part.path).loses_a_stretch())
            });
        }
        if !self.held.contains(&self.next) {
            self.fill()?;
        }
        let place = |row: u64| usize::try_from(row - self.held.start).unwrap_or(usize::MAX);
        let first = place(self.next);
        let end = place(self.next.saturating_add(most).min(self.held.end).min(self.until));
        // A run ends before a row that is not as the others are.
        let marked = |row: &usize| self.window.leaves.iter().any(|lent| lent.mark(*row) != Mark::Good);
        let end = (first + 1..end).find(marked).unwrap_or(end);
        let count = if marked(&first) { 1 } else { (end - first) as u64 };
        let position = (self.next - self.piece.rows.start) * self.step;
        self.next += count;
        self.check(first)?;
        let rows = first..first + usize::try_from(count).unwrap_or(usize::MAX);
        let (mut at, mut stored) = (0, 0);
        let leaves = &self.piece.table.features().leaves;
        for ((leaf, lent), field) in leaves.iter().zip(&self.window.leaves).zip(&mut self.fields) {
            let missing = lent.mark(first) == Mark::Missing;
            field.kind = (!missing).then(|| leaf.item.kind());
            field.body = if missing { 0..0 } else { lent.body(rows.clone()) };
            stored += field.body.len();
            if let Some(counts) = &lent.counts {
                self.sizes[at] = counts.at(first + 1) - counts.at(first);
            }
            at += leaf.shape.len();
        }
        let fields = if position == 0 { &self.fields[..] } else { &self.fields[..leaves.len()] };
        let element = Element::named(&self.window.bytes, &self.names, fields, position);
        Ok(Some(element.with_sizes(&self.sizes).with_stored(stored as u64).times(count)))
    }

    fn skip(&mut self) -> Result<bool> {
        let there = self.next < self.until;
        self.next += u64::from(there);
        Ok(there)
    }

    fn held(&self) -> u64 {
        self.piece.table.held()
    }

    fn position(&self) -> u64 {
        (self.next - self.piece.rows.start) * self.step
    }
}

/// Refuses names that are none, or are not of one column.
fn check_names(features: &Features, path: &Path) -> Result<()> {
    let mut names: Vec<&str> = features.leaves.iter().map(|leaf| leaf.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("two of its columns are called `{}`", twice[0].escape_debug());
        return Err(Error::input(message)
            .in_file(path)
            .hint("give each another name: pyarrow's `rename_columns`"));
    }
    if let Some(name) = names.iter().find(|name| bad_name(name.as_bytes()).is_some()) {
        let message = format!("`{}` is no name of a feature", name.escape_debug());
        return Err(Error::input(message)
            .in_file(path)
            .hint("give it another name: pyarrow's `rename_columns`"));
    }
    Ok(())
}
