//! Elements that are kept: copies of what their fields hold, and of nothing else of the buffers that they were lent from.

use std::ops::Range;
use std::path::PathBuf;

use super::{Element, Field};

/// Bytes of memory that an element takes besides its values.
const HEAD_BYTES: usize = size_of::<Head>();

/// Copies of elements, one after another in the same memory.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: Vec<u8>,
    names: Vec<u8>,
    fields: Vec<Field>,
    sizes: Vec<u64>,
    heads: Vec<Head>,
    files: Vec<PathBuf>,
}

/// Where an element is among others.
#[derive(Debug)]
struct Head {
    bytes: Range<usize>,
    names: Range<usize>,
    fields: Range<usize>,
    sizes: Range<usize>,
    stored: u64,
    position: u64,
    /// The number of the file that it is.
    file: Option<usize>,
}

impl Kept {
    /// Adds a copy of an element.
    pub fn push(&mut self, element: &Element<'_>) {
        let (bytes, names, fields) = (self.bytes.len(), self.names.len(), self.fields.len());
        for field in element.fields {
            let (name, body) = (self.names.len() - names, self.bytes.len() - bytes);
            self.names.extend_from_slice(&element.names[field.name.clone()]);
            self.bytes.extend_from_slice(&element.bytes[field.body.clone()]);
            let (name, body) = (name..self.names.len() - names, body..self.bytes.len() - bytes);
            self.fields.push(Field { name, body, ..field.clone() });
        }
        let sizes = self.sizes.len();
        self.sizes.extend_from_slice(element.sizes);
        // Most elements have the names of the one before.
        let mut names = names..self.names.len();
        if let Some(before) =
            self.heads.last().filter(|head| self.names[head.names.clone()] == self.names[names.clone()])
        {
            self.names.truncate(names.start);
            names = before.names.clone();
        }
        let file = element.file.map(|file| {
            self.files.push(file.to_path_buf());
            self.files.len() - 1
        });
        self.heads.push(Head {
            bytes: bytes..self.bytes.len(),
            names,
            fields: fields..self.fields.len(),
            sizes: sizes..self.sizes.len(),
            stored: element.stored.unwrap_or(element.bytes.len() as u64),
            position: element.position,
            file,
        });
    }

    /// Adds the features of another element to the last.
    pub fn append(&mut self, element: &Element<'_>) {
        let Some(last) = self.heads.len().checked_sub(1) else { return self.push(element) };
        self.push(element);
        let Some(added) = self.heads.pop() else { return };
        let last = &mut self.heads[last];
        let (name, body) = (last.names.len(), last.bytes.len());
        let size = last.sizes.len();
        // The names of both must follow one another.
        let names = self.names.len();
        self.names.extend_from_within(last.names.clone());
        self.names.extend_from_within(added.names);
        for field in &mut self.fields[added.fields.clone()] {
            let moved = |range: &Range<usize>, by: usize| range.start + by..range.end + by;
            field.name = moved(&field.name, name);
            field.body = moved(&field.body, body);
            field.shape = field.shape.as_ref().map(|shape| moved(shape, size));
        }
        last.names = names..self.names.len();
        last.bytes.end = added.bytes.end;
        last.fields.end = added.fields.end;
        last.sizes.end = added.sizes.end;
        last.stored += added.stored;
    }

    /// The element that was added as number `number`, from 0.
    #[must_use]
    pub fn element(&self, number: usize) -> Option<Element<'_>> {
        let head = self.heads.get(number)?;
        let (bytes, names) = (&self.bytes[head.bytes.clone()], &self.names[head.names.clone()]);
        let element = Element::named(bytes, names, &self.fields[head.fields.clone()], head.position);
        let element = element.with_sizes(&self.sizes[head.sizes.clone()]).with_stored(head.stored);
        Some(match head.file {
            Some(file) => element.of_file(&self.files[file]),
            None => element,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Forgets all, but keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.names.clear();
        self.fields.clear();
        self.sizes.clear();
        self.heads.clear();
        self.files.clear();
    }

    /// Gives back memory that no element takes.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.names.shrink_to_fit();
        self.fields.shrink_to_fit();
        self.sizes.shrink_to_fit();
        self.heads.shrink_to_fit();
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
            + self.names.len()
            + self.fields.len() * size_of::<Field>()
            + self.sizes.len() * size_of::<u64>()
            + self.heads.len() * HEAD_BYTES
            + self.files.iter().map(|file| size_of::<PathBuf>() + file.as_os_str().len()).sum::<usize>()
    }
}
