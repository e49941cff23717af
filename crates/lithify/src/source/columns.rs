//! Arrays as a dataset: element *i* is row *i* of each. What stores them gives rows in runs, as a [`Column`] does.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use super::npy::header::Item;
use super::ragged::{self, Each, Ragged};
use super::{Alike, Elements, Part, Source, Want, wire};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Element, Field, Form, Kind};

/// Bytes of rows that are read at a time, unless a row has more: they should still be in a core's cache when they are
/// written.
const RUN_BYTES: u64 = 256 << 10;

/// Bytes of several rows of features that differ in length.
const RUN_MOST: u64 = 4 * RUN_BYTES;

/// Rows without a byte that are believed: nothing else says how many there are.
const MOST_EMPTY: u64 = 1 << 22;

/// An array whose rows are elements.
pub(super) trait Column: Send + Sync {
    /// What an item is.
    fn item(&self) -> Item;

    /// Whether each item's most significant byte comes first.
    fn big_endian(&self) -> bool;

    /// The sizes of a row's axes.
    fn row_shape(&self) -> &[u64];

    /// How many rows it has.
    fn rows(&self) -> u64;

    /// Bytes of memory that reading it takes, besides the rows that are read.
    fn held(&self) -> u64 {
        0
    }

    /// Whether nothing can be wrong with its rows: they are bytes of a file, of which all are there.
    fn is_sound(&self) -> bool {
        false
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn open(&self) -> Result<Box<dyn Rows + '_>>;

    /// Bytes of a row.
    fn row_bytes(&self) -> u64 {
        self.row_shape().iter().product::<u64>() * self.item().size() as u64
    }
}

/// The rows of a column, as they are read.
pub(super) trait Rows: Send {
    /// Reads rows, in C order.
    ///
    /// # Errors
    /// They cannot be read, or are damaged.
    fn read(&mut self, rows: Range<u64>, into: &mut [u8]) -> Result<()>;
}

/// The columns of one part, all equally long.
pub(super) struct Table {
    /// With their names.
    pub columns: Vec<(String, Box<dyn Column>)>,
    /// Features that two columns make up.
    ragged: Vec<(String, Ragged)>,
    /// Bytes that what is read at once may take.
    largest: u64,
    /// Whether rows can be read from anywhere at no cost.
    pub seekable: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { columns: Vec::new(), ragged: Vec::new(), largest: 0, seekable: true }
    }

    /// Puts together what belongs together in an output, but for what is wanted by itself. `ending` is how an array of values is called
    /// beside its feature.
    pub(super) fn join(mut self, output: &Path, ending: char, wanted: Option<&BTreeSet<String>>) -> Self {
        for (feature, each) in ragged::of_output(output, &format!("{ending}values")) {
            let named = |role| format!("{feature}{ending}{role}");
            let (values, offsets) = (named("values"), named("offsets"));
            let is_wanted = |name: &str| wanted.is_some_and(|wanted| wanted.contains(name));
            if self.columns.iter().any(|column| column.0 == feature) {
                continue;
            }
            let column = |name: &str| self.columns.iter().find(|column| column.0 == name && !is_wanted(name));
            let fit = column(&values)
                .zip(column(&offsets))
                .is_some_and(|(values, offsets)| each.fits(values.1.as_ref(), offsets.1.as_ref()));
            if !fit {
                continue;
            }
            let (Some(values), Some(offsets)) = (self.take(&values, |_| true), self.take(&offsets, |_| true))
            else {
                continue;
            };
            let mut joined = Ragged { each, values, offsets, shapes: None, present: None };
            joined.shapes = self.take(&named("shapes"), |array| joined.fits_shapes(array));
            joined.present = self.take(&named("present"), |array| joined.fits_present(array));
            self.ragged.push((feature, joined));
        }
        self
    }

    /// Takes a column out, if there is one of this name that fits.
    fn take(&mut self, name: &str, fits: impl Fn(&dyn Column) -> bool) -> Option<Box<dyn Column>> {
        let is_it = |column: &(String, Box<dyn Column>)| column.0 == name && fits(column.1.as_ref());
        let place = self.columns.iter().position(is_it)?;
        Some(self.columns.remove(place).1)
    }

    /// The columns that are wanted, of which all must be there; else all.
    ///
    /// # Errors
    /// One is not as long as the others.
    pub(super) fn only(mut self, wanted: Option<&BTreeSet<String>>) -> Result<Self> {
        let is_there = |name: &String| self.lengths().any(|(other, _)| other == name);
        if let Some(wanted) = wanted.filter(|wanted| wanted.iter().all(is_there)) {
            self.columns.retain(|column| wanted.contains(&column.0));
            self.ragged.retain(|feature| wanted.contains(&feature.0));
        }
        let Some((first, rows)) = self.lengths().next() else { return Ok(self) };
        let Some((name, other)) = self.lengths().find(|(_, other)| *other != rows) else {
            return Ok(self);
        };
        let message = format!(
            "`{name}` has {other} rows, and `{first}` has {rows}: they are no features of the same elements"
        );
        Err(Error::input(message)
            .hint(format!("name those that belong together: `--feature {first} --feature …`")))
    }

    /// How many rows each feature has.
    fn lengths(&self) -> impl Iterator<Item = (&String, u64)> {
        let columns = self.columns.iter().map(|(name, column)| (name, column.rows()));
        columns.chain(self.ragged.iter().map(|(name, ragged)| (name, ragged.rows())))
    }

    fn rows(&self) -> u64 {
        self.lengths().next().map_or(0, |(_, rows)| rows)
    }

    /// How far the positions of two rows are apart: bytes, as if rows stood one after another.
    fn step(&self) -> u64 {
        let ragged = self.ragged.iter().map(|feature| feature.1.row_bytes());
        self.columns.iter().map(|column| column.1.row_bytes()).chain(ragged).sum::<u64>().max(1)
    }

    fn alike(&self) -> Alike {
        let sound = self.ragged.is_empty() && self.columns.iter().all(|column| column.1.is_sound());
        Alike { elements: self.rows(), step: self.step(), sound }
    }

    /// Rows that are read at a time.
    fn run(&self) -> u64 {
        (RUN_BYTES / self.step()).max(1)
    }

    /// Bytes of memory that reading takes.
    fn held(&self) -> u64 {
        let rows = self.run().min(self.rows()).saturating_mul(self.step());
        let held = self.columns.iter().map(|column| column.1.held());
        held.chain(self.ragged.iter().map(|feature| feature.1.held())).fold(rows, u64::saturating_add)
    }
}

/// A dataset of tables, one a part.
pub(super) struct Tables {
    /// The format's name.
    pub format: &'static str,
    pub parts: Vec<Part>,
    pub by_part: Vec<Table>,
}

impl Tables {
    /// Refuses what cannot be held in memory, or what nothing can be of that is claimed.
    ///
    /// # Errors
    /// The rows that are read at a time take more bytes than `largest`; or there are more rows without a byte than anybody has.
    pub(super) fn within(mut self, largest: u64) -> Result<Self> {
        for (part, table) in self.parts.iter().zip(&mut self.by_part) {
            table.largest = largest;
            let empty =
                table.ragged.is_empty() && table.columns.iter().all(|column| column.1.row_bytes() == 0);
            if empty && table.rows() > MOST_EMPTY {
                let message =
                    format!("it claims {} rows of no bytes, more than can be gone through", table.rows());
                return Err(Error::input(message).in_file(&part.path));
            }
            let bytes = table.held();
            if bytes > largest {
                let message = format!(
                    "to read its rows takes {} KiB of memory, and the budget leaves {} KiB for that",
                    bytes.div_ceil(1 << 10),
                    largest >> 10
                );
                return Err(Error::new(ErrorKind::Resources, message).in_file(&part.path).hint(
                    "give more memory, as in `--memory 256MiB`, or use fewer threads with `--threads`",
                ));
            }
        }
        Ok(self)
    }
}

impl Source for Tables {
    fn format(&self) -> &'static str {
        self.format
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn positions_are_bytes(&self, _: usize) -> bool {
        false
    }

    fn part_now(&self, part: usize) -> Result<Part> {
        Part::whole(&self.parts[part].path)
    }

    fn seekable(&self, part: usize) -> bool {
        self.by_part[part].seekable
    }

    fn alike(&self, part: usize) -> Option<Alike> {
        let table = &self.by_part[part];
        let numbers = |column: &(String, Box<dyn Column>)| matches!(column.1.item(), Item::Number(_));
        (table.ragged.is_empty() && table.columns.iter().all(numbers)).then(|| table.alike())
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        let table = &self.by_part[part];
        let step = table.step();
        let row = |position: u64| position.div_ceil(step).min(table.rows());
        let mut elements = Reader {
            table,
            path: &self.parts[part].path,
            rows: Vec::new(),
            ragged: Vec::new(),
            next: row(range.start),
            until: row(range.end),
            held: 0..0,
            starts: Vec::new(),
            buffer: Vec::new(),
            filled: 0,
            names: Vec::new(),
            fields: Vec::new(),
            sizes: Vec::new(),
        };
        for (name, column) in &table.columns {
            elements.add(name, column.row_shape(), kind_of(column.as_ref()));
            elements.rows.push(column.open()?);
        }
        for (name, ragged) in &table.ragged {
            // What an element says of its shape is filled in when it is lent.
            let (kind, inner) = match ragged.each {
                Each::String => ((Kind::Bytes, Form::Message), &[][..]),
                Each::Items | Each::One => (kind_of(ragged.values.as_ref()), ragged.values.row_shape()),
            };
            let shape = [&vec![0; ragged.rank() - inner.len()], inner].concat();
            elements.add(name, &shape, kind);
            elements.ragged.push((kind.0, ragged.open()?));
        }
        Ok(Box::new(elements))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        Ok(self.by_part[part].alike().first_in(&range))
    }
}

/// What the items of a column are, and how they stand in the buffer.
fn kind_of(column: &dyn Column) -> (Kind, Form) {
    match column.item() {
        Item::Number(dtype) => (Kind::Items(dtype), Form::Items { big_endian: column.big_endian() }),
        Item::Bytes(_) | Item::Text(_) => (Kind::Bytes, Form::Message),
    }
}

fn prev_power_of_two(count: u64) -> u64 {
    1 << count.max(1).ilog2()
}

struct Reader<'s> {
    table: &'s Table,
    path: &'s Path,
    rows: Vec<Box<dyn Rows + 's>>,
    ragged: Vec<(Kind, ragged::Reader<'s>)>,
    next: u64,
    until: u64,
    /// The rows that are in the buffer.
    held: Range<u64>,
    /// Where those of each column start in it.
    starts: Vec<usize>,
    /// Rows of one column after those of another; then, the present element's strings.
    buffer: Vec<u8>,
    /// Bytes of the rows.
    filled: usize,
    names: Vec<u8>,
    fields: Vec<Field>,
    sizes: Vec<u64>,
}

impl Reader<'_> {
    /// Adds a field.
    fn add(&mut self, name: &str, row_shape: &[u64], (kind, form): (Kind, Form)) {
        let start = (self.names.len(), self.sizes.len());
        self.names.extend_from_slice(name.as_bytes());
        self.sizes.extend_from_slice(row_shape);
        let (name, shape) = (start.0..self.names.len(), Some(start.1..self.sizes.len()));
        self.fields.push(Field { name, kind: Some(kind), body: 0..0, form, shape });
    }

    /// Reads the rows among which the next is. They are the same wherever reading begins and ends, so that damage is met in the
    /// same place.
    fn fill(&mut self) -> Result<()> {
        self.held = 0..0;
        self.filled = 0;
        let mut rows = self.around(self.table.run());
        if let Err(error) = self.read_rows(&mut rows) {
            // What is damaged is not only this row.
            self.next = rows.end.min(self.until);
            return Err(error.in_file(self.path).loses_a_stretch());
        }
        self.filled = self.buffer.len();
        self.held = rows;
        Ok(())
    }

    /// The run of so many rows that the next is in.
    fn around(&self, run: u64) -> Range<u64> {
        let first = self.next / run * run;
        first..first.saturating_add(run).min(self.table.rows())
    }

    /// Reads rows into the buffer: fewer where those of features that differ in length are too many bytes.
    fn read_rows(&mut self, rows: &mut Range<u64>) -> Result<()> {
        if !self.ragged.is_empty() {
            let mut run = prev_power_of_two(self.table.run());
            *rows = self.around(run);
            while run > 1 && self.ragged_bytes(rows)? > RUN_MOST {
                run /= 2;
                *rows = self.around(run);
            }
        }
        self.starts.clear();
        // What one large element took is not kept for small ones.
        if self.buffer.capacity() as u64 > 4 * RUN_MOST {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        let count = rows.end - rows.start;
        for ((_, column), reader) in self.table.columns.iter().zip(&mut self.rows) {
            let start = self.buffer.len();
            let bytes = usize::try_from(count.saturating_mul(column.row_bytes())).unwrap_or(usize::MAX);
            self.buffer.resize(start + bytes, 0);
            reader.read(rows.clone(), &mut self.buffer[start..])?;
            self.starts.push(start);
        }
        for (_, ragged) in &mut self.ragged {
            ragged.read(rows.clone(), self.table.largest, &mut self.buffer)?;
        }
        Ok(())
    }

    /// Bytes that rows of features that differ in length take.
    fn ragged_bytes(&mut self, rows: &Range<u64>) -> Result<u64> {
        self.ragged
            .iter_mut()
            .try_fold(0_u64, |sum, (_, ragged)| Ok(sum.saturating_add(ragged.bytes_of(rows.clone())?)))
    }

    /// Points the fields of ragged features at an element's values.
    fn lend_ragged(&mut self, place: usize) -> Result<()> {
        let columns = self.rows.len();
        for ((kind, ragged), field) in self.ragged.iter().zip(&mut self.fields[columns..]) {
            let (count, items) = ragged.element(place);
            let values = ragged.ragged.values.as_ref();
            let each = ragged.ragged.each;
            if !ragged.is_there(place) || each == Each::One && count == 0 {
                (field.kind, field.body) = (None, 0..0);
                continue;
            }
            field.kind = Some(*kind);
            match (each, &field.shape) {
                (Each::Items, Some(sizes)) => {
                    ragged.shape(place, count, &mut self.sizes[sizes.clone()])?;
                }
                (Each::One, _) if count > 1 => {
                    return Err(Error::input("an element has several values where one is expected"));
                }
                _ => {}
            }
            let start = self.buffer.len();
            field.body = match (each, values.item()) {
                (Each::String, _) => {
                    wire::push_length(&mut self.buffer, items.len());
                    self.buffer.extend_from_within(items);
                    start..self.buffer.len()
                }
                (_, Item::Number(_)) => items,
                (_, item) => {
                    push_strings(&mut self.buffer, items, item, values.big_endian())?;
                    start..self.buffer.len()
                }
            };
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
            return Ok(None);
        }
        if !self.held.contains(&self.next) {
            self.fill()?;
        }
        self.buffer.truncate(self.filled);
        let within = usize::try_from(self.next - self.held.start).unwrap_or_default();
        // Elements that differ in length are not lent together.
        let most = if self.ragged.is_empty() { most } else { 1 };
        let count = most.min(self.held.end.min(self.until) - self.next);
        let rows = usize::try_from(count).unwrap_or(usize::MAX);
        let columns = self.table.columns.iter().zip(&self.starts).zip(&mut self.fields);
        for (((_, column), start), field) in columns {
            let bytes = usize::try_from(column.row_bytes()).unwrap_or(usize::MAX);
            let row = start + within * bytes..start + (within + rows) * bytes;
            field.body = match column.item() {
                Item::Number(_) => row,
                item => {
                    let start = self.buffer.len();
                    let pushed = push_strings(&mut self.buffer, row, item, column.big_endian());
                    if pushed.is_err() {
                        self.next += 1;
                    }
                    pushed.map_err(|e| e.in_file(self.path))?;
                    start..self.buffer.len()
                }
            };
        }
        let position = self.next * self.table.step();
        self.next += count;
        self.lend_ragged(within).map_err(|e| e.in_file(self.path))?;
        let element = Element::named(&self.buffer, &self.names, &self.fields, position);
        Ok(Some(element.with_sizes(&self.sizes).with_stored(count * self.table.step()).times(count)))
    }

    fn skip(&mut self) -> Result<bool> {
        let there = self.next < self.until;
        self.next += u64::from(there);
        Ok(there)
    }

    fn position(&self) -> u64 {
        self.next * self.table.step()
    }

    fn held(&self) -> u64 {
        self.table.held()
    }
}

/// Adds the strings of a row to the end of the buffer, as a list on the wire. What fills them up is left out.
pub(super) fn push_strings(
    buffer: &mut Vec<u8>,
    row: Range<usize>,
    item: Item,
    big_endian: bool,
) -> Result<()> {
    let width = item.size();
    if width == 0 {
        return Ok(());
    }
    let mut text = String::new();
    for at in row.step_by(width) {
        let stored = at..at + width;
        let length = match item {
            Item::Text(_) => {
                text.clear();
                for unit in buffer[stored.clone()].as_chunks::<4>().0 {
                    let code = if big_endian { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) };
                    let character = char::from_u32(code);
                    text.push(character.ok_or_else(|| Error::input(format!("{code:#x} is no character")))?);
                }
                text.truncate(text.trim_end_matches('\0').len());
                text.len()
            }
            _ => buffer[stored.clone()].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        };
        wire::push_length(buffer, length);
        match item {
            Item::Text(_) => buffer.extend_from_slice(text.as_bytes()),
            _ => buffer.extend_from_within(stored.start..stored.start + length),
        }
    }
    Ok(())
}
