//! One element into one row of each array, by its feature's fit, in place.

use super::cast::Cast;
use super::pixels;
use super::place::{mask, place};
use crate::decode::{self, Look, Numbers};
use crate::error::{Error, Result};
use crate::image::geometry::Geometry;
use crate::plan::fit::{default_hint, show_shape};
use crate::plan::image::Frames;
use crate::plan::{FeaturePlan, Fit, Plan, Role, Rows};
use crate::scan::bucket_of;
use crate::scan::index::Counted;
use crate::store::files::FileRecord;
use crate::store::{Checksum, Region, Store};
use crate::value::{DType, Element, List, Shape, Slots, fill};

/// Where the rows of elements from `start` on begin, before which the counters stand at `totals`: the bytes before them in each
/// array.
pub(super) fn starts(plan: &Plan, start: u64, totals: &[u64]) -> impl Iterator<Item = u64> {
    plan.arrays.iter().map(move |array| {
        let row = match array.rows {
            Rows::Elements | Rows::ElementsAndEnd => start,
            Rows::Counted(counter) | Rows::CountedAndEnd(counter) => totals[counter],
        };
        row * array.row_bytes()
    })
}

/// A block of all arrays, being filled.
pub(super) struct Block<'s> {
    regions: Vec<Box<dyn Region + 's>>,
    /// What the counters have counted before the next element.
    pub totals: Vec<u64>,
}

impl<'s> Block<'s> {
    /// The block of `rows` elements from `start` on, before which the counters stand at `totals`.
    pub(super) fn begin(
        store: &'s dyn Store,
        plan: &Plan,
        start: u64,
        rows: u64,
        totals: Vec<u64>,
    ) -> Result<Self> {
        let places = plan.arrays.iter().zip(starts(plan, start, &totals)).enumerate();
        let regions = places.map(|(number, (array, at))| {
            let expected = match array.rows {
                Rows::Elements | Rows::ElementsAndEnd => rows,
                Rows::Counted(counter) | Rows::CountedAndEnd(counter) => {
                    let average =
                        (plan.counters[counter].total).saturating_mul(rows).div_ceil(plan.elements.max(1));
                    average + average / 4
                }
            };
            store.region(number, at, expected * array.row_bytes())
        });
        Ok(Self { regions: regions.collect::<Result<_>>()?, totals })
    }

    pub(super) fn next(&mut self, array: usize, bytes: usize) -> Result<&mut [u8]> {
        self.regions[array].next(bytes)
    }

    fn put_i64(&mut self, array: usize, value: u64) -> Result<()> {
        self.next(array, 8)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    pub(super) fn filled(&self) -> impl Iterator<Item = u64> {
        self.regions.iter().map(|region| region.filled())
    }

    /// Gives all of it to the store; tells the checksum of each array's bytes, and the files that were completed.
    pub(super) fn commit(self) -> Result<(Vec<Checksum>, Vec<FileRecord>)> {
        let mut files = Vec::new();
        let checksums =
            self.regions.into_iter().map(|region| region.commit(&mut files)).collect::<Result<_>>()?;
        Ok((checksums, files))
    }
}

/// Fills the arrays of one feature.
pub(super) struct Filler<'p> {
    plan: &'p FeaturePlan,
    slot: usize,
    cast: Cast,
    /// The arrays, by role.
    arrays: Vec<(Role, usize)>,
    /// The counters, by what they count.
    counters: Vec<(Counted, usize)>,
    /// The largest payload that may be expanded, in bytes.
    largest_payload: u64,
    /// The row's item size and bytes.
    item: usize,
    row: usize,
}

/// Memory that is used again for each element.
#[derive(Default)]
pub(super) struct Scratch {
    payload: decode::Scratch,
    items: Vec<u8>,
    pixels: pixels::Scratch,
    finished: pixels::Finished,
}

/// Features that are filled or give others their shape, without repetition.
pub(super) fn slots_of(plan: &Plan) -> Slots {
    let mut names: Vec<&str> = Vec::new();
    for feature in &plan.features {
        for name in std::iter::once(feature.feature.as_str()).chain(feature.view.shape_features()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Slots::of(names)
}

impl<'p> Filler<'p> {
    pub(super) fn of(plan: &'p Plan, number: usize, slots: &Slots) -> Self {
        let feature = &plan.features[number];
        let arrays: Vec<_> = (0..plan.arrays.len())
            .filter(|at| plan.arrays[*at].feature == number)
            .map(|at| (plan.arrays[at].role, at))
            .collect();
        let counters = (0..plan.counters.len())
            .filter(|at| plan.counters[*at].feature == number)
            .map(|at| (plan.counters[at].what, at))
            .collect();
        let item = feature.dtype.size();
        let row = feature.row_shape().map_or(1, |shape| shape.iter().product::<u64>());
        Self {
            plan: feature,
            slot: slots.slot(&feature.feature).unwrap_or_default(),
            cast: Cast {
                from: None,
                to: feature.dtype,
                saturate: feature.saturate,
                truncate: feature.cut_strings,
            },
            arrays,
            counters,
            largest_payload: plan.memory.payload,
            item,
            row: usize::try_from(row).unwrap_or(usize::MAX).saturating_mul(item),
        }
    }

    fn array(&self, role: Role) -> Option<usize> {
        self.arrays.iter().find(|array| array.0 == role).map(|array| array.1)
    }

    fn counter(&self, what: Counted) -> Option<usize> {
        self.counters.iter().find(|counter| counter.0 == what).map(|counter| counter.1)
    }

    fn named(&self, error: Error) -> Error {
        error.in_feature(&self.plan.feature)
    }

    /// Sees the feature of an element, which must hold what it holds in the others.
    fn see<'e>(
        &self,
        list: List<'e>,
        element: &Element<'e>,
        slots: &Slots,
        look: Look,
        scratch: &'e mut decode::Scratch,
    ) -> Result<Numbers<'e>> {
        if !list.kind.alike(self.plan.kind) {
            return Err(Error::input(format!(
                "it holds {} here, but {} in other elements",
                list.kind, self.plan.kind
            )));
        }
        let sibling = |name: &str| slots.named(name, element);
        let numbers = self.plan.view.numbers(list, &sibling, look, scratch, self.largest_payload)?;
        if numbers.dtype != self.plan.stored {
            let show = |dtype: Option<DType>| dtype.map_or("strings".into(), |dtype| dtype.to_string());
            let (here, there) = (show(numbers.dtype), show(self.plan.stored));
            return Err(Error::input(format!("its values are {here} here, but {there} in other elements")));
        }
        Ok(numbers)
    }

    /// Counts an element that is passed over.
    pub(super) fn count(
        &self,
        element: &Element<'_>,
        slots: &Slots,
        totals: &mut [u64],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Some(list) = slots.list(self.slot, element) else { return Ok(()) };
        if self.counters.is_empty() {
            return Ok(());
        }
        let numbers =
            self.see(list, element, slots, Look::Outline, &mut scratch.payload).map_err(|e| self.named(e))?;
        self.add(&numbers, totals);
        Ok(())
    }

    fn add(&self, numbers: &Numbers<'_>, totals: &mut [u64]) {
        let seen: u64 = numbers.shape.iter().product();
        for (what, counter) in &self.counters {
            totals[*counter] += match what {
                Counted::Values | Counted::Seen => seen,
                Counted::Bytes | Counted::SeenBytes => numbers.string_bytes(),
                Counted::Rows => numbers.rows(),
                Counted::Bucket(bucket) => match &self.plan.fit {
                    Fit::Bucket { caps, .. } => u64::from(bucket_of(caps, seen) == Some(*bucket)),
                    _ => 0,
                },
            };
        }
    }

    /// Writes the feature of the element numbered `number`.
    pub(super) fn fill(
        &self,
        number: u64,
        element: &Element<'_>,
        slots: &Slots,
        block: &mut Block<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let list = slots.list(self.slot, element);
        let Scratch { payload, items, pixels, finished } = scratch;
        let seen = list.map(|list| self.see(list, element, slots, Look::Values, payload));
        let numbers = seen.transpose().map_err(|e| self.named(e))?;
        if let Some(array) = self.array(Role::Present) {
            block.next(array, 1)?[0] = u8::from(numbers.is_some());
        }
        if let Some(array) = self.array(Role::Rates) {
            let sound = numbers.as_ref().and_then(|numbers| numbers.sound);
            block.put_i64(array, sound.map_or(0, |sound| sound.rate.into()))?;
        }
        let finish = &self.plan.finish;
        let numbers = match numbers {
            // What is resized is finished afterwards.
            Some(numbers) if finish.changes() && !matches!(self.plan.fit, Fit::Resize { .. }) => {
                Some(pixels::finished(numbers, finish, finished).map_err(|e| self.named(e))?)
            }
            numbers => numbers,
        };
        match &self.plan.fit {
            &Fit::Resize { ref shape, geometry, method, antialias, frames } => {
                let wanted = pixels::Wanted { geometry, method, antialias, frames, plan: self.plan, shape };
                self.resize(&wanted, numbers.as_ref(), block, pixels)
            }
            Fit::Exact { shape } => self.exact(shape, element.count(), numbers.as_ref(), block),
            Fit::Pad { shape, left, truncate } => {
                self.pad(shape, *left, *truncate, numbers.as_ref(), block, items)
            }
            Fit::Ragged { rank, row } => self.ragged(*rank, row, numbers.as_ref(), block),
            Fit::RaggedBytes { rank, .. } => self.ragged_bytes(*rank, numbers.as_ref(), block),
            Fit::Bucket { caps, left, truncate } => match &numbers {
                Some(numbers) => self.bucket(caps, *left, *truncate, number, numbers, block),
                None => Ok(()),
            },
        }
        .map_err(|e| self.named(e))
    }

    fn cast(&self, numbers: &Numbers<'_>) -> Cast {
        Cast { from: numbers.dtype, ..self.cast }
    }

    /// Fills the row of an element, or those of a run of elements.
    fn exact(
        &self,
        shape: &[u64],
        count: u64,
        numbers: Option<&Numbers<'_>>,
        block: &mut Block<'_>,
    ) -> Result<()> {
        let Some(array) = self.array(Role::Data) else { return Ok(()) };
        let rows = usize::try_from(count).unwrap_or(usize::MAX);
        let out = block.next(array, self.row.saturating_mul(rows))?;
        match (numbers, &self.plan.default) {
            (Some(numbers), _) => {
                let fits = numbers.shape[..] == *shape || shape.is_empty() && numbers.shape[..] == [1];
                if !fits {
                    let wanted = if shape.is_empty() { "one value".into() } else { show_shape(shape) };
                    return Err(Error::input(format!(
                        "its shape is {}, but the array's rows are {wanted}",
                        show_shape(&numbers.shape)
                    )));
                }
                self.cast(numbers).write(numbers.data, 0, out).map(drop)
            }
            (None, Some(default)) => {
                fill(out, default);
                Ok(())
            }
            (None, None) => Err(self.missing()),
        }
    }

    fn resize(
        &self,
        wanted: &pixels::Wanted<'_>,
        numbers: Option<&Numbers<'_>>,
        block: &mut Block<'_>,
        scratch: &mut pixels::Scratch,
    ) -> Result<()> {
        // Of no frames, there is nothing to resize.
        let numbers = numbers.filter(|numbers| wanted.frames == Frames::Same || numbers.rows() > 0);
        let frames = numbers.map_or(0, Numbers::rows);
        let (array, bytes) = match (wanted.frames, self.array(Role::Data), self.array(Role::Values)) {
            (Frames::Ragged, _, Some(array)) => {
                self.offset(block)?;
                let frames = usize::try_from(frames).unwrap_or(usize::MAX);
                (array, self.row.saturating_mul(frames))
            }
            (_, Some(array), _) => (array, self.row),
            _ => return Ok(()),
        };
        let out = block.next(array, bytes)?;
        let nothing = || pixels::Placed { size: [0; 2], lengths: vec![0; wanted.shape.len()] };
        let placed = match (numbers, &self.plan.default) {
            (Some(numbers), _) => wanted.resize(numbers, out, scratch)?,
            (None, Some(default)) => {
                fill(out, default);
                nothing()
            }
            (None, None) if wanted.frames != Frames::Same => {
                fill(out, &self.plan.fill);
                nothing()
            }
            (None, None) => return Err(self.missing()),
        };
        if let (Some(numbers), Frames::Ragged) = (numbers, wanted.frames) {
            self.add(numbers, &mut block.totals);
        }
        if let Some(array) = self.array(Role::Sizes) {
            placed.size.iter().try_for_each(|side| block.put_i64(array, *side))?;
        }
        if let Some(array) = self.array(Role::Lengths) {
            let whole = matches!(wanted.geometry, Geometry::KeepAspect(_));
            let kept = if whole { &placed.lengths[..] } else { &placed.lengths[..1] };
            kept.iter().try_for_each(|length| block.put_i64(array, *length))?;
        }
        Ok(())
    }

    /// Writes where the values of an element start.
    fn offset(&self, block: &mut Block<'_>) -> Result<()> {
        let counter = self.counters.first().map(|counter| counter.1).unwrap_or_default();
        match self.array(Role::Offsets) {
            Some(array) => block.put_i64(array, block.totals[counter]),
            None => Ok(()),
        }
    }

    fn missing(&self) -> Error {
        Error::input("the feature is missing")
            .hint(format!("give what stands for it: `{}`", default_hint(self.plan.stored)))
    }

    fn pad(
        &self,
        shape: &[u64],
        left: bool,
        truncate: bool,
        numbers: Option<&Numbers<'_>>,
        block: &mut Block<'_>,
        items: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(array) = self.array(Role::Data) else { return Ok(()) };
        // A default stands for data that are not there: the true length is none.
        let missing = Shape::from_elem(0, shape.len());
        let lengths = numbers.map_or(&missing[..], |numbers| &numbers.shape[..]);
        if lengths.len() != shape.len() {
            return Err(Error::input(format!(
                "its shape is {}, but the array's rows are {}",
                show_shape(lengths),
                show_shape(shape)
            )));
        }
        if let (Some((length, room)), false) =
            (lengths.iter().zip(shape).find(|(length, room)| length > room), truncate)
        {
            return Err(Error::input(format!("it has {length} values on an axis of {room}"))
                .hint("cut such elements with `truncate`"));
        }
        let kept: Shape = lengths.iter().zip(shape).map(|(length, room)| *length.min(room)).collect();
        let out = block.next(array, self.row)?;
        match (numbers, &self.plan.default) {
            (Some(numbers), _) if shape.len() == 1 => {
                self.pad_row(numbers, kept[0], left, out)?;
            }
            (Some(numbers), _) => {
                let count = usize::try_from(numbers.shape.iter().product::<u64>()).unwrap_or(usize::MAX);
                items.clear();
                items.resize(count.saturating_mul(self.item), 0);
                self.cast(numbers).write(numbers.data, 0, items)?;
                fill(out, &self.plan.fill);
                place(items, &numbers.shape, out, shape, self.item, left);
            }
            (None, Some(default)) => fill(out, default),
            (None, None) => fill(out, &self.plan.fill),
        }
        if let Some(array) = self.array(Role::Lengths) {
            for length in &kept {
                block.put_i64(array, *length)?;
            }
        }
        if let Some(array) = self.array(Role::Mask) {
            let out = block.next(array, self.row / self.item)?;
            if let [kept] = kept[..] {
                mask(out, usize::try_from(kept).unwrap_or_default(), left);
            } else {
                out.fill(0);
                let count = usize::try_from(kept.iter().product::<u64>()).unwrap_or_default();
                items.clear();
                items.resize(count, 1);
                place(items, &kept, out, shape, 1, left);
            }
        }
        Ok(())
    }

    /// Writes the `kept` values of a list to one end of a row, and fills the rest.
    fn pad_row(&self, numbers: &Numbers<'_>, kept: u64, left: bool, out: &mut [u8]) -> Result<()> {
        let cast = self.cast(numbers);
        let data = usize::try_from(kept).unwrap_or_default() * self.item;
        if left {
            let skip = usize::try_from(numbers.shape[0] - kept).unwrap_or_default();
            let (padding, row) = out.split_at_mut(out.len() - data);
            cast.write(numbers.data, skip, row)?;
            fill(padding, &self.plan.fill);
        } else {
            let (row, padding) = out.split_at_mut(data);
            cast.write(numbers.data, 0, row)?;
            fill(padding, &self.plan.fill);
        }
        Ok(())
    }

    fn ragged(
        &self,
        rank: usize,
        row: &[u64],
        numbers: Option<&Numbers<'_>>,
        block: &mut Block<'_>,
    ) -> Result<()> {
        self.offset(block)?;
        self.shape(rank, numbers, block)?;
        let odd = |numbers: &&Numbers<'_>| {
            !row.is_empty() && numbers.rows() > 0 && numbers.shape.get(1..) != Some(row)
        };
        if let Some(numbers) = numbers.filter(odd) {
            let (here, rows) = (show_shape(&numbers.shape), show_shape(row));
            return Err(Error::input(format!("its shape is {here}, but the array's rows are {rows}")));
        }
        if let (Some(numbers), Some(array)) = (numbers, self.array(Role::Values)) {
            let count = usize::try_from(numbers.shape.iter().product::<u64>()).unwrap_or(usize::MAX);
            let out = block.next(array, count.saturating_mul(self.item))?;
            self.cast(numbers).write(numbers.data, 0, out)?;
            self.add(numbers, &mut block.totals);
        }
        Ok(())
    }

    /// Writes the shape of an element, where shapes are kept. One without values counts as empty.
    fn shape(&self, rank: usize, numbers: Option<&Numbers<'_>>, block: &mut Block<'_>) -> Result<()> {
        let missing = Shape::from_elem(0, rank);
        let shape = numbers.map_or(&missing, |numbers| &numbers.shape);
        // What a schema calls a scalar is one value.
        if shape.len() != rank && !(rank == 1 && shape.is_empty()) {
            return Err(Error::input(format!(
                "its shape is {}, but others have {rank} axes",
                show_shape(shape)
            )));
        }
        if let Some(array) = self.array(Role::Shapes) {
            for size in shape {
                block.put_i64(array, *size)?;
            }
        }
        Ok(())
    }

    fn ragged_bytes(&self, rank: usize, numbers: Option<&Numbers<'_>>, block: &mut Block<'_>) -> Result<()> {
        self.shape(rank, numbers, block)?;
        let bytes = self.counter(Counted::Bytes).unwrap_or_default();
        let strings = self.counter(Counted::Seen);
        if let Some(array) = self.array(Role::Offsets) {
            block.put_i64(array, block.totals[strings.unwrap_or(bytes)])?;
        }
        for string in numbers.into_iter().flat_map(Numbers::strings) {
            if let Some(array) = self.array(Role::ValueOffsets) {
                block.put_i64(array, block.totals[bytes])?;
            }
            if let Some(array) = self.array(Role::Values) {
                block.next(array, string.len())?.copy_from_slice(string);
            }
            block.totals[bytes] += string.len() as u64;
            if let Some(strings) = strings {
                block.totals[strings] += 1;
            }
        }
        Ok(())
    }

    fn bucket(
        &self,
        caps: &[u64],
        left: bool,
        truncate: bool,
        number: u64,
        numbers: &Numbers<'_>,
        block: &mut Block<'_>,
    ) -> Result<()> {
        let length = numbers.shape.iter().product::<u64>();
        let Some(bucket) = bucket_of(caps, length) else { return Ok(()) };
        let cap = caps[bucket];
        if length > cap && !truncate {
            return Err(Error::input(format!(
                "it has {length} values, more than the {cap} of the last bucket"
            )));
        }
        if let Some(array) = self.array(Role::Bucket(bucket)) {
            let row = usize::try_from(cap).unwrap_or(usize::MAX).saturating_mul(self.item);
            self.pad_row(numbers, length.min(cap), left, block.next(array, row)?)?;
        }
        if let Some(array) = self.array(Role::BucketMask(bucket)) {
            let out = block.next(array, usize::try_from(cap).unwrap_or(usize::MAX))?;
            mask(out, usize::try_from(length.min(cap)).unwrap_or(usize::MAX), left);
        }
        if let Some(array) = self.array(Role::BucketElements(bucket)) {
            block.put_i64(array, number)?;
        }
        if let Some(array) = self.array(Role::BucketLengths(bucket)) {
            block.put_i64(array, length.min(cap))?;
        }
        self.add(numbers, &mut block.totals);
        Ok(())
    }

    /// Writes what comes after the last element: the ends of offsets.
    pub(super) fn end(&self, block: &mut Block<'_>) -> Result<()> {
        let bytes = self.counter(Counted::Bytes);
        let counts =
            self.counters.iter().find(|counter| counter.0 != Counted::Bytes).map(|counter| counter.1);
        if let (Some(array), Some(counter)) = (self.array(Role::Offsets), counts.or(bytes)) {
            block.put_i64(array, block.totals[counter])?;
        }
        if let (Some(array), Some(counter)) = (self.array(Role::ValueOffsets), bytes) {
            block.put_i64(array, block.totals[counter])?;
        }
        Ok(())
    }
}
