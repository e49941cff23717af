//! Which elements of which splits are wanted: `train`, `train[:10%]+test[100:200]`, `train[2shard]`, `all`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// Its name.
    pub name: String,
    /// Its files, and how many elements are in each.
    pub shards: Vec<(PathBuf, u64)>,
}

impl Split {
    /// How many elements it has.
    fn elements(&self) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.saturating_add(shard.1))
    }
}

/// A run of the elements of a split: the number of the split, and those of its elements.
type Slice = (usize, Range<u64>);

/// Elements of a file.
pub(super) struct Kept<'s> {
    /// The file.
    pub path: &'s Path,
    /// Which of its elements.
    pub range: Range<u64>,
    /// How many it has.
    pub all: u64,
}

/// The elements that `text` means, in its order, by the files that they are in.
///
/// # Errors
/// There is no such split, or it has fewer elements.
pub(super) fn kept<'s>(text: &str, splits: &'s [Split]) -> Result<Vec<Kept<'s>>> {
    let mut kept = Vec::new();
    for (number, slice) in slices_of(text, splits)? {
        let mut start = 0_u64;
        for (path, all) in &splits[number].shards {
            let end = start.saturating_add(*all);
            let (first, last) = (slice.start.max(start), slice.end.min(end));
            if first < last {
                kept.push(Kept { path, range: first - start..last - start, all: *all });
            }
            start = end;
        }
    }
    Ok(kept)
}

/// What a boundary counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Elements,
    Percent,
    Shards,
}

/// The elements that `text` means, in its order.
fn slices_of(text: &str, splits: &[Split]) -> Result<Vec<Slice>> {
    let mut slices = Vec::new();
    for term in text.split('+').map(str::trim) {
        if term == "all" && splits.iter().all(|split| split.name != "all") {
            slices.extend(splits.iter().enumerate().map(|(number, split)| (number, 0..split.elements())));
        } else {
            slices.push(slice_of(term, splits)?);
        }
    }
    Ok(slices)
}

/// All splits, one after another, as they are asked for.
pub(super) fn all(splits: &[Split]) -> String {
    splits.iter().map(|split| split.name.as_str()).collect::<Vec<_>>().join("+")
}

fn slice_of(term: &str, splits: &[Split]) -> Result<Slice> {
    let unknown = || {
        Error::request(format!("`{term}` is no split"))
            .hint("as in `train`, `train[:10%]`, `train[100:200]`, `train[0shard]`, or `train+test`")
    };
    let (name, selector) = match term.split_once('[') {
        None => (term, None),
        Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or_else(unknown)?)),
    };
    let Some(number) = splits.iter().position(|split| split.name == name) else {
        let names: Vec<_> = splits.iter().map(|split| format!("`{}`", split.name)).collect();
        return Err(Error::request(format!("the dataset has no split `{name}`"))
            .hint(format!("it has {}", names.join(", "))));
    };
    let split = &splits[number];
    let elements = split.elements();
    let Some(selector) = selector else { return Ok((number, 0..elements)) };
    let boundary = |text: &str| match text {
        "" => Ok(None),
        text => Boundary::parse(text).map(Some).ok_or_else(unknown),
    };
    let (from, to) = match selector.split(':').collect::<Vec<_>>()[..] {
        [one] => {
            let Some(from @ Boundary { unit: Some(Unit::Shards), .. }) = boundary(one)? else {
                return Err(unknown().hint("a single number counts shards: `train[0shard]`"));
            };
            let to = Boundary { value: from.value + 1.0, ..from };
            (Some(from), Some(to))
        }
        ["", ""] => return Err(unknown()),
        [from, to] => (boundary(from)?, boundary(to)?),
        _ => return Err(unknown()),
    };
    // What is written at one end goes for both.
    let unit = [&from, &to].into_iter().flatten().find_map(|end| end.unit).unwrap_or(Unit::Elements);
    let other =
        |end: &&Option<Boundary>| end.as_ref().is_some_and(|end| end.unit.is_some_and(|mine| mine != unit));
    if [&from, &to].iter().any(other) {
        return Err(unknown().hint("both ends of a slice count the same"));
    }
    let outside = || {
        Error::request(format!("`{term}`: the split has {elements} elements in {} files", split.shards.len()))
    };
    let from = from.map_or(Some(0), |from| from.element(unit, split, false)).ok_or_else(outside)?;
    let to = to.map_or(Some(elements), |to| to.element(unit, split, true)).ok_or_else(outside)?;
    if from >= to {
        return Err(Error::request(format!("`{term}` is empty: elements {from} to {to} of {elements}")));
    }
    Ok((number, from..to))
}

/// An end of a slice.
struct Boundary {
    value: f64,
    unit: Option<Unit>,
}

impl Boundary {
    /// Reads one.
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = match (text.strip_suffix('%'), text.strip_suffix("shard")) {
            (Some(number), _) => (number, Some(Unit::Percent)),
            (_, Some(number)) => (number, Some(Unit::Shards)),
            _ => (text, None),
        };
        let number = number.replace('_', "");
        let digits = |c: char| c.is_ascii_digit() || c == '.' && unit == Some(Unit::Percent);
        let plain = number.strip_prefix('-').unwrap_or(&number).chars().all(digits);
        let value = number.parse::<f64>().ok().filter(|value| plain && value.abs() < 2_f64.powi(53))?;
        Some(Self { value, unit })
    }

    /// The element that it stands for; `None` if it lies outside of the split.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "boundaries are rounded as TFDS does, in float64"
    )]
    fn element(&self, unit: Unit, split: &Split, is_end: bool) -> Option<u64> {
        let elements = i128::from(split.elements());
        let signed = match unit {
            Unit::Elements => self.value as i128,
            Unit::Percent if self.value.abs() > 100.0 => return None,
            Unit::Percent => (self.value * elements as f64 / 100.0).round_ties_even() as i128,
            Unit::Shards => {
                let (shards, value) = (split.shards.len() as i128, self.value as i128);
                let shard = if value < 0 || is_end && value == 0 { shards + value } else { value };
                let shard = usize::try_from(shard).ok().filter(|shard| *shard <= split.shards.len())?;
                split.shards[..shard].iter().map(|shard| i128::from(shard.1)).sum()
            }
        };
        let element = if signed < 0 { signed + elements } else { signed };
        u64::try_from(element).ok().filter(|element| *element <= split.elements())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits() -> Vec<Split> {
        let split = |name: &str, lengths: &[u64]| Split {
            name: name.into(),
            shards: lengths.iter().map(|length| ("".into(), *length)).collect(),
        };
        vec![split("train", &[2, 3]), split("val_small", &[100])]
    }

    fn slice(text: &str) -> Result<Vec<Slice>> {
        slices_of(text, &splits())
    }

    #[test]
    fn slices_are_those_of_tfds() {
        for (text, wanted) in [
            ("train", 0..5),
            ("train[1:3]", 1..3),
            ("train[-2:]", 3..5),
            ("train[:-1]", 0..4),
            // Half to even: 0.5, 1.5 and 2.5 elements.
            ("train[10%:30%]", 0..2),
            ("train[:50%]", 0..2),
            ("train[50%:]", 2..5),
            ("train[-30%:]", 3..5),
            ("train[1shard]", 2..5),
            ("train[-1shard:]", 2..5),
            ("train[:1shard]", 0..2),
        ] {
            assert_eq!(slice(text).unwrap(), [(0, wanted)], "{text}");
        }
        assert_eq!(slice("val_small[:1] + train").unwrap(), [(1, 0..1), (0, 0..5)]);
        assert_eq!(slice("all").unwrap(), [(0, 0..5), (1, 0..100)]);
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        for text in [
            "",
            "test",
            "train[",
            "train[]",
            "train[:]",
            "train[1]",
            "train[1:2:3]",
            "train[:6]",
            "train[-6:]",
            "train[3:3]",
            "train[:10%]",
            "train[:101%]",
            "train[a:]",
            "train[1.5:]",
            "train[3shard:]",
            "train[1%:2shard]",
            "train+",
            "train[nan%:]",
            "train[1e0:]",
            "train[:99999999999999999999999]",
        ] {
            assert!(slice(text).is_err(), "{text}");
        }
    }
}
