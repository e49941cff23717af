//! The feature lists of a `tf.train.SequenceExample`: a list of steps, each of which has values.
//!
//! ```text
//! SequenceExample  1: Features (the context)  2: FeatureLists     FeatureLists  1: entry (a map)  { 1: name  2: FeatureList }
//! FeatureList  1: Feature, repeated: the steps
//! ```
//! Where all steps have as many values, a list has the axes (steps, values), or (steps) where each has one. Where they have
//! not, its values stand on one axis, and `NAME/row_lengths` says how many each step has. Which of the two it is must be the
//! same for all elements, so that it is found out from the first ones.

use std::collections::HashMap;
use std::ops::Range;

use super::example::{self, entry_of, parse_feature};
use super::payload::{Parsed, raw_hint};
use super::wire::{self, Wire, range_in};
use crate::error::{Error, Result};
use crate::value::{DType, Field, Form, Kind};

/// What is added to the name of a list for how many values its steps have.
const ROW_LENGTHS: &[u8] = b"/row_lengths";

/// What the steps of lists are, as far as it is known: how many values each has, or `None` if they differ.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(HashMap<Vec<u8>, Option<u64>>);

/// A feature list.
struct FeatureList<'a> {
    name: &'a [u8],
    /// Its steps, as they lie in the record.
    body: &'a [u8],
    kind: Option<Kind>,
    /// How many values each step has.
    lengths: Vec<u64>,
}

impl FeatureList<'_> {
    /// How many values every step has; `None` if they differ.
    fn each(&self) -> Option<u64> {
        let first = self.lengths.first().copied().unwrap_or_default();
        self.lengths.iter().all(|length| *length == first).then_some(first)
    }
}

/// Calls `take` with each feature list of a record.
fn each_list<'a>(
    record: &'a [u8],
    mut take: impl FnMut(FeatureList<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut rest = record;
    while !rest.is_empty() {
        let (field, wire_type) = wire::tag(&mut rest).ok_or("a tag is cut or unknown")?;
        if (field, wire_type) != (2, Wire::Bytes) {
            wire::skip(&mut rest, wire_type).ok_or("a field is cut")?;
            continue;
        }
        let mut lists = wire::bytes(&mut rest).ok_or("the feature lists are cut")?;
        while !lists.is_empty() {
            let Some((1, Wire::Bytes)) = wire::tag(&mut lists) else {
                return Err("the feature lists hold something else".into());
            };
            let (name, body) = entry_of(wire::bytes(&mut lists).ok_or("a feature list is cut")?)?;
            if let Some(why) = example::bad_name(name) {
                return Err(format!("{why}: `{}`", name.escape_ascii()));
            }
            let (kind, lengths) =
                steps_of(body).map_err(|why| format!("the feature list `{}`: {why}", name.escape_ascii()))?;
            take(FeatureList { name, body, kind, lengths })?;
        }
    }
    Ok(())
}

/// What the steps of a list are, and how many values each has.
fn steps_of(mut rest: &[u8]) -> Result<(Option<Kind>, Vec<u64>), &'static str> {
    let (mut kind, mut lengths) = (None, Vec::new());
    while !rest.is_empty() {
        let Some((1, Wire::Bytes)) = wire::tag(&mut rest) else { return Err("it holds something else") };
        let feature = wire::bytes(&mut rest).ok_or("a step is cut")?;
        let (here, body) = parse_feature(feature)?;
        if here.is_some() && kind.is_some() && here != kind {
            return Err("its steps are of different kinds");
        }
        kind = kind.or(here);
        let values = Field::list(0..0, here, 0..body.len());
        let count = values.list_in(body).map_or(Ok(0), |list| list.count());
        lengths.push(count.map_err(|bad| bad.0)?);
    }
    Ok((kind, lengths))
}

impl Lists {
    /// Learns what the steps of lists are from one of the first records.
    pub(super) fn learn(&mut self, record: &[u8]) {
        // What is wrong with a record is said where it is read.
        let _ = each_list(record, |list| {
            let known = self.0.get(list.name).copied();
            let each = match (known, list.each(), list.lengths.is_empty()) {
                (None, None, _) | (Some(None), ..) => None,
                (Some(known), _, true) => known,
                (None, _, true) => return Ok(()),
                (Some(Some(known)), here, _) => here.filter(|here| *here == known),
                (None, here, _) => here,
            };
            self.0.insert(list.name.to_vec(), each);
            Ok(())
        });
    }

    /// Adds the feature lists of a record to the features of its context.
    pub(super) fn add(&self, record: &[u8], raw: &str, parsed: &mut Parsed) -> Result<()> {
        let context = parsed.fields.len();
        let wrong = |why: String| {
            Error::input(format!("the record is no tf.train.SequenceExample: {why}")).hint(raw_hint(raw))
        };
        each_list(record, |list| {
            let show = || list.name.escape_ascii();
            let mut fields = parsed.fields[..context].iter();
            if fields.any(|field| record[field.name.clone()] == *list.name) {
                return Err(format!("its context and its feature lists both have `{}`", show()));
            }
            let mut field = Field::list(range_in(record, list.name), list.kind, range_in(record, list.body));
            field.form = Form::Steps;
            // Steps that are there, but hold nothing at all, are none of any kind.
            let steps = list.lengths.len() as u64;
            if list.kind.is_none() && self.0.contains_key(list.name) && steps > 0 {
                return Err(format!("the steps of `{}` hold nothing", show()));
            }
            let known = self.0.get(list.name).copied().unwrap_or_else(|| list.each());
            match (known, list.each()) {
                (None, _) => {
                    let lengths = push_lengths(record, &list, parsed);
                    parsed.fields.push(field);
                    parsed.fields.push(lengths);
                    return Ok(());
                }
                (Some(each), here) if steps == 0 || here == Some(each) => {
                    let start = parsed.sizes.len();
                    parsed.sizes.push(steps);
                    parsed.sizes.extend((each != 1).then_some(each));
                    field.shape = Some(start..parsed.sizes.len());
                }
                (Some(each), _) => {
                    let (least, most) = (list.lengths.iter().min(), list.lengths.iter().max());
                    let range = format!("{} to {}", least.unwrap_or(&0), most.unwrap_or(&0));
                    return Err(format!(
                        "the steps of `{}` have {range} values here, but {each} in other elements",
                        show()
                    ));
                }
            }
            parsed.fields.push(field);
            Ok(())
        })
        .map_err(wrong)
    }
}

/// How many values each step has, as a feature of its own.
fn push_lengths(record: &[u8], list: &FeatureList<'_>, parsed: &mut Parsed) -> Field {
    let made = parsed.made_after(record);
    let name = push(made, &[list.name, ROW_LENGTHS].concat());
    let start = made.len();
    list.lengths.iter().for_each(|length| made.extend_from_slice(&length.to_le_bytes()));
    let body = start..made.len();
    let start = parsed.sizes.len();
    parsed.sizes.push(list.lengths.len() as u64);
    Field {
        name,
        kind: Some(Kind::Items(DType::Int64)),
        body,
        form: Form::Items { big_endian: false },
        shape: Some(start..parsed.sizes.len()),
    }
}

fn push(made: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = made.len();
    made.extend_from_slice(bytes);
    start..made.len()
}
