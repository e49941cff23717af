//! The values of a feature, and the many ways in which they may lie on the wire.

use crate::{field, strings, varint};

/// The values of a feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Byte strings.
    Bytes(Vec<Vec<u8>>),
    /// The bits of each: a NaN is not equal to itself.
    Floats(Vec<u32>),
    /// Integers.
    Integers(Vec<i64>),
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first values, or the last.
    #[must_use]
    pub fn cut(&self, size: usize, last: bool) -> Self {
        fn of<T: Clone>(values: &[T], size: usize, last: bool) -> Vec<T> {
            let kept = values.len().min(size);
            if last { values[values.len() - kept..].to_vec() } else { values[..kept].to_vec() }
        }
        match self {
            Self::Bytes(values) => Self::Bytes(of(values, size, last)),
            Self::Floats(values) => Self::Floats(of(values, size, last)),
            Self::Integers(values) => Self::Integers(of(values, size, last)),
        }
    }
}

/// How a list is cut into runs: so many values, and whether they are packed.
pub type Runs = Vec<(usize, bool)>;

/// A varint with bytes that it could do without.
#[must_use]
pub fn long_varint(value: u64, extra: usize) -> Vec<u8> {
    let mut bytes = varint(value);
    for _ in 0..extra.min(10 - bytes.len()) {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(0);
    }
    bytes
}

/// A `Feature` whose values are cut into these runs.
#[must_use]
pub fn feature_in_runs(values: &Values, runs: &Runs, extra: usize) -> Vec<u8> {
    let items: Vec<Vec<u8>> = match values {
        Values::Bytes(values) => return strings(&values.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        Values::Floats(values) => values.iter().map(|bits| bits.to_le_bytes().to_vec()).collect(),
        Values::Integers(values) => {
            values.iter().map(|value| long_varint(value.cast_unsigned(), extra)).collect()
        }
    };
    let (number, single) = if matches!(values, Values::Floats(_)) { (2, 0x0d) } else { (3, 0x08) };
    let mut list = Vec::new();
    let mut rest = &items[..];
    for (size, packed) in runs.iter().copied().chain([(usize::MAX, true)]) {
        let (run, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        if packed {
            list.extend(field(1, &run.concat()));
        } else {
            list.extend(run.iter().flat_map(|item| [&[single], &item[..]].concat()));
        }
    }
    field(number, &list)
}
