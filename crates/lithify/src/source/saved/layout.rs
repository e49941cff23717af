//! Tensors as features.
//!
//! Tensors of numbers stay where they were read. Where an element has others, all of it is laid out anew: strings as lists,
//! and of ragged and sparse tensors the tensors that they consist of.

use std::ops::Range;

use crate::decode::tensor_proto::{self, TensorView, Values};
use crate::source::wire::{self, range_in};
use crate::value::{DType, Field, Form, Kind, List};

/// An element as it is lent.
#[derive(Default)]
pub(super) struct Layout {
    /// Whether its fields are ranges of the window, and not of `bytes`.
    pub in_place: bool,
    pub bytes: Vec<u8>,
    pub fields: Vec<Field>,
    pub sizes: Vec<u64>,
    /// Typed values, brought into their form.
    pub scratch: Vec<u8>,
}

pub(super) fn not_a_tensor(why: &str) -> String {
    format!("the record is no tensor: {why}")
}

impl Layout {
    /// Adds a feature.
    pub(super) fn push(
        &mut self,
        window: &[u8],
        name: Range<usize>,
        tensor: &TensorView<'_>,
        largest: u64,
    ) -> Result<(), String> {
        if let (Values::Content(content), Some(dtype), true) = (&tensor.values, tensor.dtype, self.in_place) {
            self.add(name, Some(dtype), &tensor.shape, range_in(window, content));
            return Ok(());
        }
        let start = self.bytes.len();
        self.push_values(tensor, largest)?;
        self.add(name, tensor.dtype, &tensor.shape, start..self.bytes.len());
        Ok(())
    }

    /// Adds a feature whose values are laid out.
    pub(super) fn add(
        &mut self,
        name: Range<usize>,
        dtype: Option<DType>,
        shape: &[u64],
        body: Range<usize>,
    ) {
        let start = self.sizes.len();
        self.sizes.extend_from_slice(shape);
        let (kind, form) = match dtype {
            Some(dtype) => (Kind::Items(dtype), Form::Items { big_endian: false }),
            None => (Kind::Bytes, Form::Message),
        };
        let shape = Some(start..self.sizes.len());
        self.fields.push(Field { name, kind: Some(kind), body, form, shape });
    }

    /// Lays out the values of a tensor behind all others.
    pub(super) fn push_values(&mut self, tensor: &TensorView<'_>, largest: u64) -> Result<(), String> {
        match (&tensor.values, tensor.dtype) {
            (Values::Content(content), _) => self.bytes.extend_from_slice(content),
            (Values::Strings(content), _) => {
                let count = tensor.shape.iter().product();
                tensor_proto::push_strings(content, count, &mut self.bytes)?;
            }
            (Values::Typed { message, field }, None) => {
                for string in List::of_field(Kind::Bytes, message, *field).runs() {
                    wire::push_string(&mut self.bytes, string.map_err(|bad| bad.0)?);
                }
            }
            (Values::Typed { message, field }, Some(dtype)) => {
                let size = dtype.size() as u64;
                // Fewer values may be there than they stand for.
                let bytes = tensor.shape.iter().fold(size, |bytes, size| bytes.saturating_mul(*size));
                let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes as u64 <= largest) else {
                    return Err(format!(
                        "it has {bytes} bytes, more than the {largest} that the memory budget leaves for it"
                    ));
                };
                tensor_proto::expand(dtype, bytes, message, *field, &mut self.scratch)?;
                self.bytes.extend_from_slice(&self.scratch);
            }
        }
        Ok(())
    }
}
