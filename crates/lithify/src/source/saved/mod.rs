//! Saved datasets: what `tf.data.Dataset.save` leaves behind.
//!
//! ```text
//! DIR/dataset_spec.pb   DIR/snapshot.metadata   DIR/<run>/<8 digits>.shard/<8 digits>.snapshot
//! ```
//! Each file is one of TFRecords, and each element as many records as it has components, a `TensorProto` each. Saving again
//! adds a run, and the metadata name the present one. Features are named by their place in the structure: `a`, `0`, `b/1`.
//!
//! Shards follow one another, in the order of their names. `Dataset.load` takes turns between as many shards as the machine
//! has processors, so that with more than one shard its order is another on every machine.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::framing::{FOOTER, Frames, beginning, find_record};
use super::input::Compression;
use super::npy::ARRAY;
use super::probe::{Evidence, has_ending, head_of, names_in};
use super::{Alike, Elements, Format, Options, Part, Source, Verdict, Want};
use crate::error::{Error, Result};
use reader::{Reader, records_to_next};
use spec::{Component, Metadata, What};

mod layout;
mod reader;
mod spec;
mod variants;

/// The file that says which run is the present one.
const METADATA: &str = "snapshot.metadata";
/// The file that says what elements are made of.
const SPEC: &str = "dataset_spec.pb";
/// Bytes of these files that are read, at most.
const MOST_BYTES: u64 = 64 << 20;

/// Datasets of `tf.data.Dataset.save`.
pub struct Saved;

impl Format for Saved {
    fn name(&self) -> &'static str {
        "saved-dataset"
    }

    fn about(&self) -> &'static str {
        "directories of tf.data.Dataset.save"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        let found = has_ending(seen.path, &["snapshot"])
            && root_of(seen.path).is_some_and(|root| root.join(METADATA).is_file());
        if found { Verdict::Yes } else { Verdict::No }
    }

    fn takes(&self, directory: &Path) -> bool {
        directory.join(METADATA).is_file()
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        let mut source = SavedDataset { largest: options.largest_record, ..SavedDataset::default() };
        let mut known: Option<(PathBuf, Arc<Structure>)> = None;
        for part in parts {
            if part.path.is_dir() {
                let (metadata, structure) = open_root(&part.path)?;
                for file in files_of(&part.path, &metadata)? {
                    source.push(file, &structure)?;
                }
                source.counts.push((part.path, metadata));
                continue;
            }
            let Some(root) = root_of(&part.path) else {
                return Err(Error::input("it lies in no saved dataset").in_file(&part.path));
            };
            let structure = match &known {
                Some((known, structure)) if known == root => Arc::clone(structure),
                _ => open_root(root)?.1,
            };
            known = Some((root.to_path_buf(), Arc::clone(&structure)));
            source.push(part, &structure)?;
        }
        Ok(Box::new(source))
    }
}

/// The dataset's directory, for one of its files.
fn root_of(file: &Path) -> Option<&Path> {
    file.ancestors().nth(3)
}

fn read_small(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::metadata(path).map_err(|e| Error::io("open", path, e))?.len();
    if bytes > MOST_BYTES {
        return Err(Error::input(format!("it has {bytes} bytes, which is too many")).in_file(path));
    }
    std::fs::read(path).map_err(|e| Error::io("read", path, e))
}

/// Reads what a directory says of its dataset.
fn open_root(root: &Path) -> Result<(Metadata, Arc<Structure>)> {
    let path = root.join(METADATA);
    let wrong = |why: &str| Error::input(why).in_file(&path);
    let bytes = read_small(&path)?;
    if root.join("chunks").is_dir() {
        return Err(wrong("it is of a distributed save, which cannot be read")
            .hint("load it and save it again, with `Dataset.load` and `Dataset.save`"));
    }
    let metadata = Metadata::parse(&bytes).map_err(|why| wrong(&why))?;
    if metadata.version != 2 {
        let version = metadata.version;
        return Err(wrong(&format!(
            "it is of version {version} of the format, and only version 2 can be read"
        ))
        .hint("load it and save it again, with `Dataset.load` and `Dataset.save`"));
    }
    let spec = root.join(SPEC);
    let components = match spec.is_file() {
        true => spec::parse(&read_small(&spec)?),
        // Then the metadata tell the dtypes, and each tensor its shape.
        false => metadata.components(),
    }
    .map_err(|why| Error::input(why).in_file(if spec.is_file() { &spec } else { &path }))?;
    let same = components.iter().map(|component| component.what.number()).eq(metadata.dtypes.iter().copied());
    if !same {
        return Err(wrong(&format!("its dtypes are not those of `{SPEC}`")));
    }
    if components.is_empty() {
        return Err(wrong("its elements have no components"));
    }
    let structure = Structure::of(components).map_err(|why| Error::input(why).in_file(&spec))?;
    Ok((metadata, Arc::new(structure)))
}

/// The files of the present run, shard after shard.
fn files_of(root: &Path, metadata: &Metadata) -> Result<Vec<Part>> {
    let run = root.join(&metadata.run);
    let mut files = Vec::new();
    if metadata.elements == 0 && !run.is_dir() {
        return Ok(files);
    }
    for shard in names_in(&run)? {
        let shard = run.join(shard);
        if !has_ending(&shard, &["shard"]) {
            continue;
        }
        let all =
            names_in(&shard)?.into_iter().filter(|name| has_ending(Path::new(name), &["snapshot"])).count();
        for number in 0..all {
            let path = shard.join(format!("{number:08}.snapshot"));
            if !path.is_file() {
                return Err(Error::input(format!(
                    "there are {all} files, but not the one numbered {number}"
                ))
                .in_file(&shard));
            }
            files.push(Part::of(&path)?);
        }
    }
    Ok(files)
}

/// What elements are made of, and the features that they have.
struct Structure {
    components: Vec<Component>,
    /// The names of the features, one after another, and where each is.
    names: Vec<u8>,
    features: Vec<Range<usize>>,
}

impl Structure {
    fn of(components: Vec<Component>) -> Result<Self, String> {
        let (mut names, mut features) = (Vec::new(), Vec::new());
        for component in &components {
            let path = if component.path.is_empty() { ARRAY } else { &component.path };
            for suffix in component.what.suffixes() {
                let start = names.len();
                names.extend_from_slice(path.as_bytes());
                names.extend_from_slice(suffix.as_bytes());
                features.push(start..names.len());
            }
        }
        let mut sorted: Vec<_> = features.iter().map(|name| &names[name.clone()]).collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two of its components would be named `{}`", twice[0].escape_ascii()));
        }
        Ok(Self { components, names, features })
    }

    /// Bytes of an element, where all elements of a file must have as many: where the shapes and dtypes are fixed.
    fn fixed_size(&self, part: &Part, compression: Compression, largest: u64) -> Option<u64> {
        let fixed = |what: &What| match what {
            What::Tensor { dtype: Some(_), shape: Some(shape), .. } => shape.iter().all(Option::is_some),
            _ => false,
        };
        let all = self.components.iter().all(|component| fixed(&component.what));
        if !all || compression != Compression::None {
            return None;
        }
        // Of the first element and of the last, the lengths of all records, after which the next ones must be there.
        let sizes_at = |position: u64| {
            let mut frames = Frames::open(part, Compression::None, position..u64::MAX, largest).ok()?;
            let mut ends = vec![0];
            for component in &self.components {
                let data = frames.record(ends.last().copied()?).ok()??;
                let fits = component.what.may_be(&frames.window()[data.clone()]);
                ends.push(fits.then_some(data.end + FOOTER)?);
            }
            Some(ends)
        };
        let first = sizes_at(0)?;
        let size = first.last().map(|size| *size as u64)?;
        let alike = part.bytes.is_multiple_of(size) && sizes_at(part.bytes - size)? == first;
        alike.then_some(size)
    }
}

#[derive(Default)]
struct SavedDataset {
    parts: Vec<Part>,
    compression: Vec<Compression>,
    structures: Vec<Arc<Structure>>,
    /// Bytes of an element, where all of a part have as many.
    sizes: Vec<Option<u64>>,
    largest: u64,
    /// What the datasets say of themselves, where each is read as a whole.
    counts: Vec<(PathBuf, Metadata)>,
}

impl SavedDataset {
    fn push(&mut self, part: Part, structure: &Arc<Structure>) -> Result<()> {
        let compression = beginning(&head_of(&part.path)?).0;
        self.sizes.push(structure.fixed_size(&part, compression, self.largest));
        self.parts.push(part);
        self.compression.push(compression);
        self.structures.push(Arc::clone(structure));
        Ok(())
    }

    fn frames(&self, part: usize, range: Range<u64>) -> Result<Frames<'_>> {
        Frames::open(&self.parts[part], self.compression[part], range, self.largest)
    }
}

impl Source for SavedDataset {
    fn format(&self) -> &'static str {
        Saved.name()
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn seekable(&self, part: usize) -> bool {
        self.compression[part] == Compression::None
    }

    fn alike(&self, part: usize) -> Option<Alike> {
        let step = self.sizes[part]?;
        Some(Alike { elements: self.parts[part].bytes / step, step, sound: false })
    }

    fn count(&self) -> Result<Option<(u64, &Path)>> {
        if let Some((root, _)) = self.counts.iter().find(|count| !count.1.finalized) {
            return Err(Error::input("the dataset was not saved to its end").in_file(&root.join(METADATA)));
        }
        let said = self.counts.iter().map(|count| count.1.elements).sum::<u64>();
        Ok(self.counts.last().map(|(root, _)| (said, root.as_path())))
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        Ok(Box::new(Reader::new(self.frames(part, range)?, &self.structures[part], self.largest)))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        if let Some(size) = self.sizes[part] {
            let position = range.start.next_multiple_of(size);
            return Ok((position < range.end && position < self.parts[part].bytes).then_some(position));
        }
        let Some(position) = find_record(&self.parts[part], range.clone())? else { return Ok(None) };
        let mut frames = self.frames(part, position..u64::MAX)?;
        let bytes = records_to_next(&mut frames, &self.structures[part].components);
        let found = bytes.map(|bytes| position + bytes as u64);
        Ok(found.filter(|position| *position < range.end && *position < self.parts[part].bytes))
    }
}
