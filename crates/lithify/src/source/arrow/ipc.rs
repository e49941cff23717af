//! Arrow files and streams. Of a batch that is not compressed, only the rows that are wanted are read; of one that is, the
//! columns that are wanted are decompressed whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_buffer::Buffer;
use arrow_ipc::{CompressionType, RecordBatch};
use arrow_schema::{DataType, Field, UnionMode};

use super::array::{Array, Bytes, Fetch, too_large};
use super::features::{Features, Item};
use super::messages::{Listing, Stored};
use super::table::{Rows, Table, WINDOW_MOST, WINDOW_ROWS, Window, window_rows};
use super::window::{Dictionary, gather};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Part;

/// An Arrow file or stream.
pub(super) struct Ipc {
    path: PathBuf,
    bytes: u64,
    most: u64,
    listing: Listing,
    /// Where each batch starts, and where the last one ends.
    groups: Vec<u64>,
    features: Features,
    /// Columns that have nulls, or something in them has.
    nullable: Vec<bool>,
    /// Whether batches are compressed.
    compressed: bool,
    held: u64,
}

/// Rows that may take no bytes, as those of columns of which nothing is read: looking for them costs time all the same.
const FREE_ROWS: u64 = 1 << 16;

/// Refuses a batch of more rows than its bytes can be of.
fn check_rows(rows: i64, bytes: u64) -> Result<()> {
    match u64::try_from(rows) {
        // The smallest value is a bit.
        Ok(rows) if rows > FREE_ROWS && rows / 8 > bytes => {
            Err(Error::input(format!("a batch says that it has {rows} rows, but has {bytes} bytes")))
        }
        _ => Ok(()),
    }
}

impl Ipc {
    pub(super) fn open(
        part: &Part,
        most: u64,
        features: impl FnOnce(&arrow_schema::Schema) -> Features,
    ) -> Result<Self> {
        let file = File::open(&part.path).map_err(|e| Error::io("open", &part.path, e))?;
        let (mut nullable, mut compressed, mut largest) = (Vec::new(), false, 0);
        let listing = Listing::read(&file, &part.path, part.bytes, most, |schema, batch, stored| {
            nullable.resize(schema.fields().len(), false);
            let mut parts = Parts::of(batch, stored, &file, None, most);
            for (column, field) in schema.fields().iter().enumerate() {
                nullable[column] |= parts.has_nulls(field)?;
            }
            let mut bytes = stored.body.end.saturating_sub(stored.body.start);
            if batch.compression().is_some() {
                compressed = true;
                bytes = parts.decompressed().map_err(|e| Error::io("read", &part.path, e))?;
                largest = largest.max(bytes);
            }
            check_rows(batch.length(), bytes.min(most))
        })
        .map_err(|e| e.in_file(&part.path))?;
        let features = features(&listing.schema);
        let mut groups: Vec<u64> = listing.batches.iter().map(|batch| batch.first).collect();
        groups.push(listing.rows);
        let list = ((listing.batches.len() + listing.dictionaries.len()) * 64) as u64;
        let path = part.path.clone();
        let held = WINDOW_MOST.saturating_add(largest).saturating_add(list);
        let mut ipc =
            Self { path, bytes: part.bytes, most, listing, groups, features, nullable, compressed, held };
        let mut dictionaries = 0_u64;
        for id in ipc.wanted_dictionaries() {
            let held =
                ipc.dictionary(&file, id.1, id.0, usize::MAX).map_err(|e| e.in_file(&part.path))?.held();
            dictionaries = dictionaries.saturating_add(held);
        }
        ipc.held = ipc.held.saturating_add(dictionaries);
        Ok(ipc)
    }

    /// The dictionaries that features are named by, and what their values are.
    fn wanted_dictionaries(&self) -> Vec<(i64, Item)> {
        let keyed = self.features.leaves.iter().filter(|leaf| leaf.keys.is_some());
        let mut wanted: Vec<_> =
            keyed.filter_map(|leaf| Some((self.dictionary_of(leaf)?, leaf.item))).collect();
        wanted.sort_by_key(|one| one.0);
        wanted.dedup_by_key(|one| one.0);
        wanted
    }

    fn dictionary_of(&self, leaf: &super::features::Leaf) -> Option<i64> {
        let fields = self.listing.schema.fields();
        let before: usize = fields.iter().take(leaf.column).map(|field| nodes_of(field.data_type())).sum();
        let mut node = before;
        let mut data_type = fields[leaf.column].data_type();
        for step in &leaf.steps {
            node += 1;
            data_type = match (step, data_type) {
                (super::features::Step::Child(number), DataType::Struct(fields)) => {
                    node +=
                        fields.iter().take(*number).map(|field| nodes_of(field.data_type())).sum::<usize>();
                    fields[*number].data_type()
                }
                (_, other) => items_of(other)?.data_type(),
            };
        }
        self.listing.dictionaries_of.get(node).copied().flatten()
    }

    /// The values of a dictionary, as they are for a batch.
    fn dictionary(&self, file: &File, item: Item, id: i64, batch: usize) -> Result<Dictionary> {
        let known = self.listing.dictionaries.iter().filter(|one| one.id == id && one.from <= batch);
        let known: Vec<_> = known.collect();
        let first = known.iter().rposition(|one| !one.adds).unwrap_or(0);
        let mut dictionary = Dictionary::default();
        for one in &known[first.min(known.len())..] {
            let read = Stored::read(file, self.bytes, one.at, self.most)
                .map_err(|e| Error::io("read", &self.path, e))?;
            let Some(stored) = read.map_err(Error::input)? else { continue };
            let message = stored.message()?;
            let header = message.header_as_dictionary_batch().and_then(|header| header.data());
            let header = header.ok_or_else(|| Error::input("a dictionary is damaged"))?;
            let mut parts = Parts::of(&header, &stored, file, Some(self.most), self.most);
            let values = parts.array(&Field::new("", plain(item), true), true)?;
            dictionary.add(item, &values, &Fetch { file: Some(file), most: self.most })?;
        }
        Ok(dictionary)
    }
}

/// A type whose arrays have the buffers of these values.
fn plain(item: Item) -> DataType {
    match item {
        Item::Strings { large: false } => DataType::Binary,
        Item::Strings { large: true } => DataType::LargeBinary,
        Item::Views => DataType::BinaryView,
        Item::Number(_) | Item::Bits | Item::Wide(_) => DataType::UInt8,
    }
}

fn items_of(data_type: &DataType) -> Option<&Field> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => Some(item),
        _ => None,
    }
}

/// How many arrays a column is of.
fn nodes_of(data_type: &DataType) -> usize {
    let children = match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| nodes_of(field.data_type())).sum(),
        DataType::RunEndEncoded(ends, values) => nodes_of(ends.data_type()) + nodes_of(values.data_type()),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| nodes_of(field.data_type())).sum(),
        other => items_of(other).map_or(0, |item| nodes_of(item.data_type())),
    };
    1 + children
}

impl Table for Ipc {
    fn features(&self) -> &Features {
        &self.features
    }

    fn groups(&self) -> &[u64] {
        &self.groups
    }

    fn restarts(&self) -> bool {
        self.compressed
    }

    fn is_nullable(&self, column: usize) -> bool {
        self.nullable.get(column).copied().unwrap_or(true)
    }

    fn held(&self) -> u64 {
        self.held
    }

    fn damage(&self) -> Option<&str> {
        self.listing.damage.as_deref()
    }

    fn open(&self) -> Result<Box<dyn Rows + '_>> {
        let file = File::open(&self.path).map_err(|e| Error::io("open", &self.path, e))?;
        Ok(Box::new(Reader { ipc: self, file, loaded: None, dictionaries: HashMap::new() }))
    }
}

struct Reader<'a> {
    ipc: &'a Ipc,
    file: File,
    /// The number of the batch that is loaded, and its columns.
    loaded: Option<(usize, Vec<Option<Array>>)>,
    /// The values of dictionaries, and for which batches they were read.
    dictionaries: HashMap<i64, (Range<usize>, Dictionary)>,
}

impl Reader<'_> {
    fn load(&mut self, number: usize) -> Result<()> {
        let ipc = self.ipc;
        // What was decompressed goes before what comes.
        self.loaded = None;
        let at = ipc.listing.batches[number].at;
        let read =
            Stored::read(&self.file, ipc.bytes, at, ipc.most).map_err(|e| Error::io("read", &ipc.path, e))?;
        let stored = read.ok().flatten().ok_or_else(|| Error::input("a batch is not there any more"))?;
        let message = stored.message()?;
        let batch = message.header_as_record_batch().ok_or_else(|| Error::input("a batch is damaged"))?;
        let mut parts = Parts::of(&batch, &stored, &self.file, Some(ipc.most), ipc.most);
        let mut columns = Vec::new();
        for (column, field) in ipc.listing.schema.fields().iter().enumerate() {
            let wanted = ipc.features.leaves.iter().any(|leaf| leaf.column == column);
            let array = parts.array(field, wanted)?;
            if wanted && array.len < ipc.groups[number + 1] - ipc.groups[number] {
                return Err(Error::input("a column has fewer rows than its batch").in_feature(field.name()));
            }
            columns.push(wanted.then_some(array));
        }
        for (id, item) in ipc.wanted_dictionaries() {
            if !self.dictionaries.get(&id).is_some_and(|known| known.0.contains(&number)) {
                let next = ipc.listing.dictionaries.iter().filter(|one| one.id == id).map(|one| one.from);
                let until = next.filter(|from| *from > number).min().unwrap_or(usize::MAX);
                let read = ipc.dictionary(&self.file, item, id, number)?;
                self.dictionaries.insert(id, (number..until, read));
            }
        }
        self.loaded = Some((number, columns));
        Ok(())
    }

    fn gather(&self, rows: Range<u64>, most: u64, window: &mut Window) -> Result<()> {
        let fetch = Fetch { file: Some(&self.file), most };
        let Some((_, columns)) = &self.loaded else { return Ok(()) };
        window.clear();
        for leaf in &self.ipc.features.leaves {
            let Some(Some(column)) = columns.get(leaf.column) else { continue };
            let id = leaf.keys.and_then(|_| self.ipc.dictionary_of(leaf));
            let dictionary = id.and_then(|id| self.dictionaries.get(&id)).map(|known| &known.1);
            let lent = gather(leaf, column, rows.clone(), dictionary, &fetch, &mut window.bytes);
            window.leaves.push(lent.map_err(|e| e.in_feature(&leaf.name))?);
        }
        Ok(())
    }
}

impl Rows for Reader<'_> {
    fn step(&self, _: usize) -> u64 {
        WINDOW_ROWS
    }

    fn fill(&mut self, group: usize, row: u64, window: &mut Window) -> Result<Range<u64>> {
        if self.loaded.as_ref().is_none_or(|loaded| loaded.0 != group) {
            self.load(group)?;
        }
        let (first, end) = (self.ipc.groups[group], self.ipc.groups[group + 1]);
        let bytes = self.loaded.iter().flat_map(|loaded| &loaded.1).flatten().map(Array::bytes).sum();
        let mut step = window_rows(bytes, end - first);
        loop {
            // Windows stand in the same places wherever reading begins, so that damage is met in the same place.
            let start = first + (row - first) / step * step;
            let rows = start..(start + step).min(end);
            let most = if step == 1 { self.ipc.most } else { WINDOW_MOST.min(self.ipc.most) };
            match self.gather(rows.start - first..rows.end - first, most, window) {
                Err(e) if e.kind() == ErrorKind::Resources && step > 1 => step = step.div_ceil(2),
                done => return done.map(|()| rows),
            }
        }
    }
}

/// The parts of a batch, taken one after another as its columns say.
struct Parts<'a> {
    nodes: Vec<(i64, i64)>,
    buffers: Vec<(i64, i64)>,
    views: Vec<i64>,
    /// The node, the buffer and the column of views that come next.
    next: [usize; 3],
    body: Range<u64>,
    compression: Option<CompressionType>,
    file: &'a File,
    /// Bytes that may still be decompressed; `None` where buffers are not wanted.
    left: Option<u64>,
    most: u64,
}

impl<'a> Parts<'a> {
    fn of(batch: &RecordBatch<'_>, stored: &Stored, file: &'a File, left: Option<u64>, most: u64) -> Self {
        let nodes = batch.nodes().into_iter().flatten();
        let buffers = batch.buffers().into_iter().flatten();
        Self {
            nodes: nodes.map(|node| (node.length(), node.null_count())).collect(),
            buffers: buffers.map(|buffer| (buffer.offset(), buffer.length())).collect(),
            views: batch.variadicBufferCounts().into_iter().flatten().collect(),
            next: [0; 3],
            body: stored.body.clone(),
            compression: batch.compression().map(|compression| compression.codec()),
            file,
            left,
            most,
        }
    }

    fn node(&mut self) -> Result<(u64, u64)> {
        let node = self.nodes.get(self.next[0]).copied();
        self.next[0] += 1;
        let node =
            node.and_then(|(length, nulls)| Some((u64::try_from(length).ok()?, u64::try_from(nulls).ok()?)));
        node.ok_or_else(|| Error::input("a batch does not have the columns of the schema"))
    }

    /// Whether a column or what is nested in it has nulls.
    fn has_nulls(&mut self, field: &Field) -> Result<bool> {
        let mut nulls = false;
        for _ in 0..nodes_of(field.data_type()) {
            nulls |= self.node()?.1 > 0;
        }
        Ok(nulls)
    }

    /// Where the next buffer is.
    fn place(&mut self) -> Result<Range<u64>> {
        let (offset, length) = self.buffers.get(self.next[1]).copied().unwrap_or((-1, -1));
        self.next[1] += 1;
        let offset = u64::try_from(offset).ok().and_then(|offset| self.body.start.checked_add(offset));
        let end =
            offset.zip(u64::try_from(length).ok()).and_then(|(offset, length)| offset.checked_add(length));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= self.body.end => Ok(offset..end),
            _ => Err(Error::input("a buffer of a batch lies outside of it")),
        }
    }

    fn buffer(&mut self, wanted: bool) -> Result<Bytes> {
        let place = self.place()?;
        let codec = self.compression.filter(|_| wanted && !place.is_empty());
        let (Some(codec), Some(left)) = (codec, self.left) else { return Ok(Bytes::Stored(place)) };
        let fetch = Fetch { file: Some(self.file), most: self.most };
        let mut bytes = Vec::new();
        fetch.get(&Bytes::Stored(place.clone()), 0..place.end - place.start, &mut bytes)?;
        let damaged = |why: &dyn std::fmt::Display| Error::input(format!("it cannot be decompressed: {why}"));
        let Some((length, packed)) = bytes.split_first_chunk::<8>() else {
            return Err(damaged(&"a buffer is cut"));
        };
        let Ok(length) = u64::try_from(i64::from_le_bytes(*length)) else {
            // What would not become smaller is as it was.
            return Ok(Bytes::Stored(place.start + 8..place.end));
        };
        if length > left {
            return Err(too_large(self.most - left + length, self.most));
        }
        self.left = Some(left - length);
        let mut plain = Vec::new();
        let limited = |stream: &mut dyn Read, plain: &mut Vec<u8>| {
            stream.take(length.saturating_add(1)).read_to_end(plain).map_err(|e| damaged(&e))
        };
        match codec {
            CompressionType::LZ4_FRAME => {
                limited(&mut lz4_flex::frame::FrameDecoder::new(packed), &mut plain)?
            }
            CompressionType::ZSTD => {
                let decoder = zstd::stream::read::Decoder::with_buffer(packed);
                limited(&mut decoder.map_err(|e| damaged(&e))?, &mut plain)?
            }
            other => return Err(damaged(&format!("compression {} is unknown", other.0))),
        };
        if plain.len() as u64 != length {
            return Err(damaged(&format!("it should be {length} bytes, and is others")));
        }
        Ok(Bytes::Held(Buffer::from_vec(plain)))
    }

    /// Bytes of all buffers once they are decompressed.
    fn decompressed(&mut self) -> std::io::Result<u64> {
        let mut sum = 0_u64;
        self.next[1] = 0;
        while self.next[1] < self.buffers.len() {
            let Ok(place) = self.place() else { continue };
            let mut length = [0; 8];
            if place.end - place.start >= 8 {
                std::os::unix::fs::FileExt::read_exact_at(self.file, &mut length, place.start)?;
                let length = u64::try_from(i64::from_le_bytes(length)).unwrap_or(0);
                sum = sum.saturating_add(length).saturating_add(place.end - place.start);
            }
        }
        Ok(sum)
    }

    /// The next array. What is not wanted is passed over.
    fn array(&mut self, field: &Field, wanted: bool) -> Result<Array> {
        let data_type = field.data_type();
        let (len, nulls) = self.node()?;
        let (mut valid, mut buffers, mut children) = (None, Vec::new(), Vec::new());
        let has_bits =
            !matches!(data_type, DataType::Null | DataType::RunEndEncoded(..) | DataType::Union(..));
        if has_bits {
            let bits = self.buffer(wanted && nulls > 0)?;
            valid = (nulls > 0).then_some((bits, 0));
        }
        let own = match data_type {
            DataType::Null
            | DataType::Struct(_)
            | DataType::FixedSizeList(..)
            | DataType::RunEndEncoded(..) => 0,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::Union(_, UnionMode::Dense) => 2,
            DataType::BinaryView | DataType::Utf8View => {
                let more = self.views.get(self.next[2]).and_then(|more| usize::try_from(*more).ok());
                self.next[2] += 1;
                let more = more.filter(|more| *more <= self.buffers.len());
                1 + more.ok_or_else(|| Error::input("it is not said in how many buffers its views are"))?
            }
            _ => 1,
        };
        for _ in 0..own {
            buffers.push(self.buffer(wanted)?);
        }
        match data_type {
            DataType::Struct(fields) => {
                for field in fields {
                    children.push(self.array(field, wanted)?);
                }
            }
            DataType::RunEndEncoded(ends, values) => {
                for field in [ends, values] {
                    children.push(self.array(field, wanted)?);
                }
            }
            DataType::Union(fields, _) => {
                for (_, field) in fields.iter() {
                    children.push(self.array(field, wanted)?);
                }
            }
            other => {
                if let Some(item) = items_of(other) {
                    children.push(self.array(item, wanted)?);
                }
            }
        }
        Ok(Array { len, offset: 0, valid, buffers, children })
    }
}

/// Whether a file begins as a stream does: with a message whose header is that of a schema.
pub(super) fn is_stream(head: &[u8], path: &Path) -> bool {
    let Some((continues, rest)) = head.split_first_chunk::<4>() else { return false };
    let length = rest.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length));
    if *continues != super::messages::CONTINUES || !(8..1 << 24).contains(&length) {
        return false;
    }
    // A header that is longer than what was read of the file is looked at by itself.
    let end = length as usize + 8;
    let read = || {
        let mut all = Vec::new();
        File::open(path).ok()?.take(end as u64).read_to_end(&mut all).ok()?;
        Some(all)
    };
    let all = if head.len() >= end { head.to_vec() } else { read().unwrap_or_default() };
    let header = all.get(8..end);
    header.is_some_and(|header| {
        arrow_ipc::root_as_message(header)
            .is_ok_and(|message| message.header_type() == arrow_ipc::MessageHeader::Schema)
    })
}
