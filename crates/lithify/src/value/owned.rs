//! An element that is kept.

use std::path::PathBuf;

use super::{Element, Field};

/// A copy of an element. Its memory is used again for the next.
#[derive(Debug, Default)]
pub struct OwnedElement {
    bytes: Vec<u8>,
    names: Vec<u8>,
    fields: Vec<Field>,
    sizes: Vec<u64>,
    stored: Option<u64>,
    count: u64,
    position: u64,
    file: Option<PathBuf>,
}

impl OwnedElement {
    /// Becomes a copy of an element.
    pub fn copy(&mut self, element: &Element<'_>) {
        fn again<T: Clone>(into: &mut Vec<T>, from: &[T]) {
            into.clear();
            into.extend_from_slice(from);
        }
        again(&mut self.bytes, element.bytes);
        again(&mut self.names, element.names);
        again(&mut self.fields, element.fields);
        again(&mut self.sizes, element.sizes);
        (self.stored, self.count, self.position) = (element.stored, element.count, element.position);
        self.file = element.file.map(Into::into);
    }

    /// The element.
    #[must_use]
    pub fn lend(&self) -> Element<'_> {
        Element {
            bytes: &self.bytes,
            names: &self.names,
            fields: &self.fields,
            sizes: &self.sizes,
            stored: self.stored,
            count: self.count,
            position: self.position,
            file: self.file.as_deref(),
        }
    }
}
