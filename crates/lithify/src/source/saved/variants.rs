//! Ragged and sparse tensors, each the tensors that it consists of. One component holds one of them, or a batch, which is
//! then one of a rank more.

use std::ops::Range;

use super::layout::{Layout, not_a_tensor};
use super::spec::{What, only, repeated, text};
use crate::decode::tensor_proto::{self, TensorView, parse_shape};
use crate::source::wire;
use crate::value::{DType, Shape, advance};

impl What {
    /// What is added to the name of a component to name its features.
    pub(super) fn suffixes(&self) -> Vec<String> {
        match self {
            Self::Tensor { .. } | Self::Ragged { rank: 0 } => vec![String::new()],
            Self::Ragged { rank } => {
                let splits = (0..*rank).map(|axis| format!("/row_splits_{axis}"));
                splits.chain(["/flat_values".to_owned()]).collect()
            }
            Self::Sparse => ["/indices", "/values", "/dense_shape"].map(str::to_owned).to_vec(),
        }
    }
}

/// A component's variants: their bodies, which lie in a tensor as strings do, and the shape that they have.
fn variants(tensor: &[u8]) -> Result<(Shape, Vec<&[u8]>), String> {
    let shape = parse_shape(only(tensor, 2)?.unwrap_or_default())?;
    let count =
        shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size)).ok_or("it is too large")?;
    let content = only(tensor, 4)?.unwrap_or_default();
    let (mut lengths, mut bytes) = tensor_proto::split(content, count)?;
    let mut found = Vec::new();
    while !lengths.is_empty() {
        let length = wire::varint(&mut lengths).and_then(|length| usize::try_from(length).ok());
        let (body, rest) = length.and_then(|length| bytes.split_at_checked(length)).ok_or("it is cut")?;
        found.push(body);
        bytes = rest;
    }
    Ok((shape, found))
}

/// The tensors of a variant of this type, which must be so many.
fn tensors_of<'a>(body: &'a [u8], wanted: &str, count: usize) -> Result<Vec<TensorView<'a>>, String> {
    let found = text(only(body, 1)?)?;
    if found != wanted {
        return Err(format!("it is a variant of type `{}`, and `{wanted}` is wanted", found.escape_debug()));
    }
    let tensors = repeated(body, 3)?;
    if tensors.len() != count {
        return Err(format!("it consists of {} tensors, and must of {count}", tensors.len()));
    }
    tensors.into_iter().map(|tensor| tensor_proto::parse(tensor).map_err(not_a_tensor)).collect()
}

impl Layout {
    /// The integers of a tensor of row splits, or of indices.
    fn integers(&mut self, tensor: &TensorView<'_>, largest: u64) -> Result<Vec<i64>, String> {
        let start = self.bytes.len();
        self.push_values(tensor, largest)?;
        let bytes = &self.bytes[start..];
        let integers = match tensor.dtype {
            Some(DType::Int64) => bytes.as_chunks().0.iter().map(|item| i64::from_le_bytes(*item)).collect(),
            Some(DType::Int32) => {
                bytes.as_chunks().0.iter().map(|item| i64::from(i32::from_le_bytes(*item))).collect()
            }
            _ => return Err("its row splits or indices are no integers".into()),
        };
        self.bytes.truncate(start);
        Ok(integers)
    }

    /// Adds a feature of integers of this dtype.
    fn push_integers(&mut self, name: Range<usize>, dtype: DType, shape: &[u64], integers: &[i64]) {
        let start = self.bytes.len();
        for integer in integers {
            self.bytes.extend_from_slice(&integer.to_le_bytes()[..dtype.size()]);
        }
        self.add(name, Some(dtype), shape, start..self.bytes.len());
    }

    /// Adds the values of tensors that follow one another on their first axis.
    fn push_joined(
        &mut self,
        name: Range<usize>,
        tensors: &[&TensorView<'_>],
        largest: u64,
    ) -> Result<(), String> {
        let (start, first) = (self.bytes.len(), tensors.first().ok_or("it is empty")?);
        let mut rows = 0;
        for tensor in tensors {
            let alike = tensor.dtype == first.dtype && tensor.shape.get(1..) == first.shape.get(1..);
            rows += tensor.shape.first().filter(|_| alike).ok_or("its tensors differ in dtype or shape")?;
            self.push_values(tensor, largest)?;
            if (self.bytes.len() - start) as u64 > largest {
                return Err(format!(
                    "it has more than the {largest} bytes that the memory budget leaves for it"
                ));
            }
        }
        let mut shape = first.shape.clone();
        shape[0] = rows;
        self.add(name, first.dtype, &shape, start..self.bytes.len());
        Ok(())
    }

    /// Adds a ragged tensor of so many ragged axes: the splits of each, and the values.
    pub(super) fn push_ragged(
        &mut self,
        record: &[u8],
        rank: usize,
        names: &mut impl Iterator<Item = Range<usize>>,
        largest: u64,
    ) -> Result<(), String> {
        let (batch, bodies) = variants(record)?;
        let inner = rank.checked_sub(batch.len()).ok_or("it has another rank than the structure says")?;
        let parts = bodies.into_iter().map(|body| tensors_of(body, "RaggedTensorVariant", inner + 1));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let first = parts.first().ok_or("it is empty")?;
        let dtype = if inner > 0 { first[0].dtype } else { None }.unwrap_or(DType::Int64);
        let mut splits: Vec<Vec<i64>> = Vec::new();
        // The axes of the batch are as long everywhere, but for the last, which is that of the rows of its tensors.
        for axis in 1..batch.len() {
            let rows: u64 = batch[..axis].iter().product();
            let step = batch[axis].cast_signed();
            splits.push((0..=rows.cast_signed()).map(|row| row * step).collect());
        }
        let outer = splits.len();
        splits.resize(rank, vec![0]);
        for part in &parts {
            let mut rows = part[inner].shape.first().map(|rows| rows.cast_signed());
            for (axis, tensor) in part[..inner].iter().enumerate().rev() {
                let ends = self.integers(tensor, largest)?;
                let joined = &mut splits[batch.len() + axis];
                let before = joined.last().copied().unwrap_or_default();
                joined.extend(ends.iter().skip(1).map(|end| before.wrapping_add(*end)));
                rows = i64::try_from(ends.len().saturating_sub(1)).ok();
            }
            if !batch.is_empty() {
                let before = splits[outer].last().copied().unwrap_or_default();
                splits[outer].push(before.wrapping_add(rows.ok_or("its values have no axis")?));
            }
        }
        for splits in &splits {
            let name = names.next().ok_or("it has too many axes")?;
            self.push_integers(name, dtype, &[splits.len() as u64], splits);
        }
        let values: Vec<_> = parts.iter().map(|part| &part[inner]).collect();
        let name = names.next().ok_or("it has too many axes")?;
        match (&values[..], rank) {
            // The values alone, which may have any shape.
            ([only], 0) => {
                let start = self.bytes.len();
                self.push_values(only, largest)?;
                self.add(name, only.dtype, &only.shape, start..self.bytes.len());
                Ok(())
            }
            _ => self.push_joined(name, &values, largest),
        }
    }

    /// Adds a sparse tensor: where its values are, these, and its shape.
    pub(super) fn push_sparse(
        &mut self,
        record: &[u8],
        names: &mut impl Iterator<Item = Range<usize>>,
        largest: u64,
    ) -> Result<(), String> {
        const WRONG: &str = "its indices, values and shape do not belong together";
        let (shape, bodies) = variants(record)?;
        let Some((3, batch)) = shape.split_last() else { return Err(WRONG.into()) };
        let tensors = bodies.into_iter().map(|body| tensors_of(body, "tensorflow::Tensor", 1));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?.concat();
        let (mut indices, mut values, mut dense) = (Vec::new(), Vec::new(), Vec::new());
        let mut place = vec![0; batch.len()];
        for part in tensors.as_chunks::<3>().0 {
            let (mine, sizes) = (self.integers(&part[0], largest)?, self.integers(&part[2], largest)?);
            let rank = sizes.len();
            if dense.is_empty() {
                dense.resize(rank, 0);
            }
            if dense.len() != rank || part[0].shape.last() != Some(&(rank as u64)) {
                return Err(WRONG.into());
            }
            dense.iter_mut().zip(&sizes).for_each(|(most, size)| *most = (*most).max(*size));
            for index in mine.chunks_exact(rank.max(1)) {
                indices.extend(place.iter().map(|at: &u64| at.cast_signed()));
                indices.extend_from_slice(index);
            }
            values.push(&part[1]);
            advance(&mut place, batch);
        }
        let rank = batch.len() + dense.len();
        let mut sizes: Vec<i64> = batch.iter().map(|size| size.cast_signed()).collect();
        sizes.extend(dense);
        let rows = (indices.len() / rank.max(1)) as u64;
        let mut next = || names.next().ok_or("it has too many tensors");
        self.push_integers(next()?, DType::Int64, &[rows, rank as u64], &indices);
        self.push_joined(next()?, &values, largest)?;
        self.push_integers(next()?, DType::Int64, &[rank as u64], &sizes);
        Ok(())
    }
}
