//! What pass 1 learns. Profiles of consecutive runs of elements merge, so a dataset can be scanned in any number of
//! pieces: `merge(a, merge(b, c))` is `merge(merge(a, b), c)`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::images::Images;
use super::index::Index;
pub(super) use super::sizes::earliest;
pub use super::sizes::{Sizes, bin_end, bin_of};
pub use super::sounds::Sounds;
use crate::decode::{Content, Decode, Numbers, View};
use crate::error::{Error, Lost, Place};
use crate::source::{Choice, Part};
use crate::value::{DType, Kind, List};

/// What is known of a dataset after it was read once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Profile {
    /// The format it was read as.
    pub format: String,
    /// Its files.
    pub parts: Vec<Part>,
    /// Which elements of the dataset they are.
    #[serde(flatten)]
    pub choice: Choice,
    /// The names of what numbers stand for, by feature.
    pub classes: BTreeMap<String, Vec<String>>,
    /// What the dataset has that can be no feature, and why.
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// Samples a second, of features that are sounds of one rate.
    #[serde(default)]
    pub rates: BTreeMap<String, u64>,
    /// The number of elements, without those that were skipped.
    pub elements: u64,
    /// Bytes of all records, as stored and decompressed.
    pub stored_bytes: u64,
    /// Bytes of the largest record.
    pub largest_record: u64,
    /// The features, sorted by name.
    pub features: Vec<FeatureProfile>,
    /// Elements that are damaged, or were refused by a feature's fit, and left out.
    pub skipped: Vec<Skipped>,
    /// Where elements are.
    pub index: Index,
}

/// Something that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which part.
    pub part: usize,
    /// Where in the part it starts.
    pub position: u64,
    /// Where it is, for people. Its element number is that of the row that it would have had: the number of good elements
    /// before it.
    pub place: Place,
    /// What it is.
    pub lost: Lost,
    /// Why.
    pub reason: String,
}

impl Skipped {
    /// What is left out because of an error.
    pub(crate) fn by(error: &Error, part: usize, position: u64) -> Self {
        Self {
            part,
            position,
            place: error.place().clone(),
            lost: error.lost(),
            reason: error.message().to_owned(),
        }
    }
}

/// An element that shows something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Which part.
    pub part: usize,
    /// Its number in the dataset.
    pub element: u64,
    /// Where in the part it starts.
    pub position: u64,
}

impl Witness {
    pub(super) fn after(mut self, elements: u64) -> Self {
        self.element += elements;
        self
    }
}

/// The shapes that a feature has where it is decoded or reshaped, of one dtype and one number of axes; of images, those
/// of as many channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shapes {
    /// The dtype; `None` for byte strings.
    pub dtype: Option<DType>,
    /// The shape of the first element that has it.
    pub first: (Vec<u64>, Witness),
    /// The first element whose shape is another.
    pub differs: Option<(Vec<u64>, Witness)>,
    /// The smallest size of each axis.
    pub smallest: Vec<u64>,
    /// The largest size of each axis.
    pub largest: Vec<u64>,
    /// How many values an element has.
    pub values: Sizes,
    /// How wide strings are, where the values are strings.
    pub strings: Sizes,
    /// Whether one of them ends in NUL.
    pub ends_in_nul: bool,
    /// What else is known, if they are images.
    pub images: Option<Images>,
    /// The same, if they are sounds.
    #[serde(default)]
    pub sounds: Option<Sounds>,
}

impl Shapes {
    fn of(numbers: &Numbers<'_>, witness: Witness) -> Self {
        Self {
            dtype: numbers.dtype,
            first: (numbers.shape.to_vec(), witness),
            differs: None,
            smallest: numbers.shape.to_vec(),
            largest: numbers.shape.to_vec(),
            values: Sizes::default(),
            strings: Sizes::default(),
            ends_in_nul: false,
            images: numbers.image.map(|_| Images::default()),
            sounds: numbers.sound.map(|_| Sounds::default()),
        }
    }

    /// Whether numbers of this dtype and shape belong here.
    fn takes(&self, dtype: Option<DType>, shape: &[u64], (image, sound): (bool, bool)) -> bool {
        let alike = self.dtype == dtype
            && self.largest.len() == shape.len()
            && (self.images.is_some(), self.sounds.is_some()) == (image, sound);
        // One array holds images of one number of channels, as it holds one number of axes.
        alike && (!image || self.largest.last() == shape.last())
    }

    fn observe(&mut self, numbers: &Numbers<'_>, witness: Witness) {
        if numbers.shape[..] != self.first.0[..] {
            self.differs.get_or_insert_with(|| (numbers.shape.to_vec(), witness));
        }
        for (axis, size) in numbers.shape.iter().enumerate() {
            self.smallest[axis] = self.smallest[axis].min(*size);
            self.largest[axis] = self.largest[axis].max(*size);
        }
        self.values.observe(numbers.shape.iter().product(), witness);
        if let (Some(images), Some(facts)) = (&mut self.images, &numbers.image) {
            images.observe(facts, witness);
        }
        if let (Some(sounds), Some(facts)) = (&mut self.sounds, &numbers.sound) {
            sounds.observe(facts, witness);
        }
        if numbers.dtype.is_none() {
            for string in numbers.strings() {
                self.strings.observe(string.len() as u64, witness);
                self.ends_in_nul |= string.last() == Some(&0);
            }
        }
    }

    fn merge(&mut self, later: Self) {
        if self.differs.is_none() {
            self.differs = if later.first.0 == self.first.0 { later.differs } else { Some(later.first) };
        }
        for axis in 0..self.smallest.len() {
            self.smallest[axis] = self.smallest[axis].min(later.smallest[axis]);
            self.largest[axis] = self.largest[axis].max(later.largest[axis]);
        }
        self.values.merge(&later.values, 0);
        self.strings.merge(&later.strings, 0);
        self.ends_in_nul |= later.ends_in_nul;
        if let (Some(mine), Some(theirs)) = (&mut self.images, &later.images) {
            mine.merge(theirs, 0);
        }
        if let (Some(mine), Some(theirs)) = (&mut self.sounds, &later.sounds) {
            mine.merge(theirs, 0);
        }
    }

    /// The most that decoding an image or a sound takes, in bytes, and the first that takes it.
    #[must_use]
    pub fn heaviest(&self) -> Option<(u64, Witness)> {
        self.images.as_ref().map_or_else(|| self.sounds.as_ref()?.heaviest, |images| images.heaviest)
    }

    /// The same for elements that come after so many others.
    fn after(self, before: u64) -> Self {
        let shifted = |sizes: &Sizes| {
            let mut shifted = Sizes::default();
            shifted.merge(sizes, before);
            shifted
        };
        Self {
            first: (self.first.0, self.first.1.after(before)),
            differs: self.differs.map(|(shape, witness)| (shape, witness.after(before))),
            values: shifted(&self.values),
            strings: shifted(&self.strings),
            images: self.images.map(|images| {
                let mut shifted = Images::default();
                shifted.merge(&images, before);
                shifted
            }),
            sounds: self.sounds.map(|sounds| {
                let mut shifted = Sounds::default();
                shifted.merge(&sounds, before);
                shifted
            }),
            ..self
        }
    }
}

/// What is known of a feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureProfile {
    /// Its name.
    pub name: String,
    /// What it is stored as; more than one where elements disagree. With the first element of each.
    pub kinds: Vec<(Kind, Witness)>,
    /// How many elements have it.
    pub present: u64,
    /// The first element that lacks it.
    pub first_missing: Option<Witness>,
    /// How many values an element has.
    pub lengths: Sizes,
    /// How wide byte strings are.
    pub strings: Sizes,
    /// What the byte strings look like, and how many.
    pub contents: Vec<(Content, u64)>,
    /// Whether elements state a shape of it, rather than how many values there are.
    #[serde(default)]
    pub shaped: bool,
    /// Whether a byte string ends in NUL, which `NumPy`'s fixed-width strings do not keep.
    pub ends_in_nul: bool,
    /// What it is seen as, where that is not a plain list: one of these for each dtype and number of axes, by their first
    /// elements.
    pub seen_as: Vec<Shapes>,
    /// Whether the request names a view, so that `shapes` is of that and not of tensors that were found.
    pub viewed: bool,
    /// How it is seen by what the dataset says of it.
    #[serde(default)]
    pub declared: Option<View>,
}

impl FeatureProfile {
    pub(super) fn new(name: &str, first_missing: Option<Witness>) -> Self {
        Self { name: name.to_owned(), first_missing, ..Self::default() }
    }

    /// Whether it was looked into: the request may be about other features.
    #[must_use]
    pub fn looked_into(&self) -> bool {
        self.present == 0 || self.lengths.count > 0
    }

    /// What it is stored as.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.kinds.first().map(|kind| kind.0)
    }

    /// What it is seen as, where that is not a plain list.
    #[must_use]
    pub fn shapes(&self) -> Option<&Shapes> {
        self.seen_as.first()
    }

    /// What it is seen as by a view; `None` where that is a plain list.
    #[must_use]
    pub fn shapes_by(&self, view: &View) -> Option<&Shapes> {
        if !view.is_plain() {
            return self.shapes();
        }
        // As it is stored, and not as the image or the tensor that it may be, too.
        let strings = self.kind()?.dtype().is_none();
        let as_stored = |shapes: &&Shapes| shapes.heaviest().is_none() && shapes.dtype.is_none() == strings;
        self.seen_as.iter().find(as_stored).filter(|_| self.shaped)
    }

    /// What else it is seen as: of another dtype or number of axes, which no array can hold beside the first.
    #[must_use]
    pub fn other_shapes(&self) -> Option<&Shapes> {
        self.seen_as.get(1)
    }

    /// Whether each of its byte strings is a serialized tensor.
    #[must_use]
    pub fn is_tensors(&self) -> bool {
        !self.viewed
            && self.strings.count > 0
            && self.contents == [(Content::Tensor, self.strings.count)]
            && self.lengths.min() == 1
            && self.lengths.max() == 1
    }

    /// Whether each of its byte strings is an encoded image whose header can be read.
    #[must_use]
    pub fn is_images(&self) -> bool {
        let images = self.seen_as.iter().filter_map(|shapes| shapes.images.as_ref());
        let (count, elements) =
            images.fold((0, 0), |sum, images| (sum.0 + images.count, sum.1 + images.heights.count));
        // A list of images may be empty.
        let all = self.shaped || elements == self.present;
        !self.viewed && count > 0 && count == self.strings.count && all
    }

    /// What is known of its sounds, if each of its byte strings is one whose header can be read.
    #[must_use]
    pub fn sounds(&self) -> Option<&Sounds> {
        let sounds = self.shapes()?.sounds.as_ref()?;
        (sounds.rates.count == self.strings.count && sounds.rates.count == self.present).then_some(sounds)
    }

    /// What is known of its images, whatever their channels.
    #[must_use]
    pub fn images(&self) -> Option<Images> {
        let mut found: Option<Images> = None;
        for images in self.seen_as.iter().filter_map(|shapes| shapes.images.as_ref()) {
            found.get_or_insert_default().merge(images, 0);
        }
        found
    }

    /// How many channels its images have, in the order of the first ones.
    #[must_use]
    pub fn image_channels(&self) -> Vec<u64> {
        let images = self.seen_as.iter().filter(|shapes| shapes.images.is_some());
        images.filter_map(|shapes| shapes.largest.last().copied()).collect()
    }

    /// The view that a request for it means, given what was found.
    #[must_use]
    pub fn view(&self, requested: &View) -> View {
        let mut view = requested.or(self.declared.as_ref());
        if view.decode.is_none() && self.is_tensors() {
            view.decode = Some(Decode::Tensor);
        }
        if view.decode.is_none() && self.is_images() {
            view.decode = Some(Decode::IMAGE);
        }
        if view.decode.is_none() && self.sounds().is_some() {
            view.decode = Some(Decode::audio(self.shapes().and_then(|shapes| shapes.dtype)));
        }
        view
    }

    /// Folds in an element that has the feature, and gives the number of values and of payload bytes. `numbers` is what
    /// the view makes of it.
    pub(super) fn observe(
        &mut self,
        list: List<'_>,
        count: u64,
        numbers: Option<&Numbers<'_>>,
        witness: Witness,
    ) -> u64 {
        if self.kinds.iter().all(|kind| !kind.0.alike(list.kind)) {
            self.kinds.push((list.kind, witness));
        }
        self.present += 1;
        self.shaped |= list.shape().is_some();
        self.lengths.observe(count, witness);
        let mut bytes = 0;
        if list.kind == Kind::Bytes {
            for string in list.runs().flatten() {
                let length = string.len() as u64 + list.unread();
                bytes += length;
                self.strings.observe(length, witness);
                self.ends_in_nul |= string.last() == Some(&0);
                let content = Content::of(string);
                match self.contents.iter_mut().find(|seen| seen.0 == content) {
                    Some(seen) => seen.1 += 1,
                    None => self.contents.push((content, 1)),
                }
            }
        }
        // An empty list of byte strings, or of what they encode, tells nothing of the other axes.
        let empty = count == 0 && list.kind == Kind::Bytes;
        if let Some(numbers) = numbers.filter(|_| !empty) {
            let takes = |shapes: &Shapes| {
                shapes.takes(
                    numbers.dtype,
                    &numbers.shape,
                    (numbers.image.is_some(), numbers.sound.is_some()),
                )
            };
            let at = self.seen_as.iter().position(takes).unwrap_or_else(|| {
                self.seen_as.push(Shapes::of(numbers, witness));
                self.seen_as.len() - 1
            });
            self.seen_as[at].observe(numbers, witness);
        }
        bytes
    }

    pub(super) fn merge(&mut self, later: Self, before: u64) {
        for (kind, witness) in later.kinds {
            if self.kinds.iter().all(|seen| !seen.0.alike(kind)) {
                self.kinds.push((kind, witness.after(before)));
            }
        }
        self.present += later.present;
        self.lengths.merge(&later.lengths, before);
        self.strings.merge(&later.strings, before);
        for (content, count) in later.contents {
            match self.contents.iter_mut().find(|seen| seen.0 == content) {
                Some(seen) => seen.1 += count,
                None => self.contents.push((content, count)),
            }
        }
        self.ends_in_nul |= later.ends_in_nul;
        self.shaped |= later.shaped;
        self.viewed |= later.viewed;
        self.declared = self.declared.take().or(later.declared);
        for theirs in later.seen_as.into_iter().map(|shapes| shapes.after(before)) {
            let takes = |mine: &&mut Shapes| {
                mine.takes(theirs.dtype, &theirs.largest, (theirs.images.is_some(), theirs.sounds.is_some()))
            };
            match self.seen_as.iter_mut().find(takes) {
                Some(mine) => mine.merge(theirs),
                None => self.seen_as.push(theirs),
            }
        }
        if self.first_missing.is_none() {
            self.first_missing = later.first_missing.map(|witness| witness.after(before));
        }
    }
}

impl Profile {
    /// Makes of the profile of one element that of `elements` that differ from it in nothing but their numbers.
    pub(super) fn repeat(&mut self, elements: u64, spacing: u64, step: u64) {
        self.elements *= elements;
        self.stored_bytes = self.stored_bytes.saturating_mul(elements);
        self.repeat_features(elements);
        self.index.repeat(elements, spacing, step);
    }

    /// Makes of what is known of the features of one element what is known of those of so many.
    pub(super) fn repeat_features(&mut self, elements: u64) {
        for feature in &mut self.features {
            feature.present *= elements;
            feature.lengths.repeat(elements);
            feature.seen_as.iter_mut().for_each(|shapes| shapes.values.repeat(elements));
        }
    }

    /// The names of the features of which there are values.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let filled = self.features.iter().filter(|feature| feature.kind().is_some());
        filled.map(|feature| feature.name.as_str()).collect()
    }

    /// The features that were looked into.
    pub fn looked_into(&self) -> impl Iterator<Item = &FeatureProfile> {
        self.features.iter().filter(|feature| feature.looked_into())
    }

    /// What is known of the feature of this name.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&FeatureProfile> {
        self.features
            .binary_search_by(|feature| feature.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.features[at])
    }

    /// Where a witness is, for people. Where each element is a file, it is for [`crate::convert`] to find its name: until
    /// then the place is one in the list of files.
    #[must_use]
    pub fn place(&self, witness: Witness) -> Place {
        Place {
            file: self.parts.get(witness.part).map(|part| part.path.clone()),
            element: Some(witness.element),
            byte: Some(witness.position),
            feature: None,
        }
    }
}
