//! `tf.train.Example`, read from the wire in place.
//!
//! ```text
//! Example   1: Features        Features  1: entry, repeated (a map)      entry  1: name   2: Feature
//! Feature   one of  1: BytesList   2: FloatList   3: Int64List           lists  1: the values, repeated
//! ```
//! TensorFlow's own parser and a protobuf parser disagree about messages that no writer makes. What both accept is
//! accepted here, packed and unpacked runs of one list are joined as protobuf joins them, and the rest is refused.

use super::wire::{self, Wire, range_in};
use crate::value::{Field, Kind};

/// Finds the features of the Example in `record`, or those of the context, if it is a `SequenceExample`: says whether it
/// has feature lists, too.
///
/// # Errors
/// Says what makes the record no Example.
pub fn parse(record: &[u8], fields: &mut Vec<Field>) -> Result<bool, &'static str> {
    fields.clear();
    let (mut rest, mut has_lists) = (record, false);
    while !rest.is_empty() {
        match wire::tag(&mut rest).ok_or("a tag is cut or unknown")? {
            (1, Wire::Bytes) => {
                let features = wire::bytes(&mut rest).ok_or("the features are cut")?;
                parse_features(record, features, fields)?;
            }
            (2, Wire::Bytes) => {
                wire::bytes(&mut rest).ok_or("the feature lists are cut")?;
                has_lists = true;
            }
            (_, wire_type) => wire::skip(&mut rest, wire_type).ok_or("an unknown field is cut")?,
        }
    }
    Ok(has_lists)
}

fn parse_features(record: &[u8], mut rest: &[u8], fields: &mut Vec<Field>) -> Result<(), &'static str> {
    while !rest.is_empty() {
        let Some((1, Wire::Bytes)) = wire::tag(&mut rest) else {
            return Err("the features hold something else");
        };
        let entry = wire::bytes(&mut rest).ok_or("a feature is cut")?;
        fields.push(parse_entry(record, entry)?);
    }
    Ok(())
}

fn parse_entry(record: &[u8], rest: &[u8]) -> Result<Field, &'static str> {
    let (name, feature) = entry_of(rest)?;
    let (kind, body) = parse_feature(feature)?;
    Ok(Field::list(range_in(record, name), kind, range_in(record, body)))
}

/// The name and the value of a map's entry.
pub(super) fn entry_of(mut rest: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (mut name, mut feature) = (None, None);
    while !rest.is_empty() {
        let slot = match wire::tag(&mut rest) {
            Some((1, Wire::Bytes)) => &mut name,
            Some((2, Wire::Bytes)) => &mut feature,
            _ => return Err("a feature holds something else"),
        };
        let bytes = wire::bytes(&mut rest).ok_or("a feature's name or value is cut")?;
        if slot.replace(bytes).is_some() {
            return Err("a feature has two names or two values");
        }
    }
    name.zip(feature).ok_or("a feature lacks its name or its value")
}

/// The kind of a feature, and its list.
pub(super) fn parse_feature(mut rest: &[u8]) -> Result<(Option<Kind>, &[u8]), &'static str> {
    let mut found = (None, &rest[..0]);
    while !rest.is_empty() {
        let kind = match wire::tag(&mut rest).ok_or("a feature's kind is cut")? {
            (1, Wire::Bytes) => Kind::Bytes,
            (2, Wire::Bytes) => Kind::Float,
            (3, Wire::Bytes) => Kind::Int64,
            (1..=3, _) => return Err("a feature's list is no message"),
            (_, wire_type) if found.0.is_some() => {
                wire::skip(&mut rest, wire_type).ok_or("an unknown field is cut")?;
                continue;
            }
            _ => return Err("a feature is of an unknown kind"),
        };
        let body = wire::bytes(&mut rest).ok_or("a feature's list is cut")?;
        if found.0.is_some() {
            return Err("a feature has two lists");
        }
        found = (Some(kind), body);
    }
    Ok(found)
}

/// What is wrong with a feature's name, if anything. TensorFlow takes any bytes; protobuf wants UTF-8; and a name with
/// control characters is the mark of another message that happens to parse as an Example.
#[must_use]
pub fn bad_name(name: &[u8]) -> Option<&'static str> {
    match std::str::from_utf8(name) {
        Err(_) => Some("a feature's name is not UTF-8"),
        Ok(name) if name.chars().any(char::is_control) => Some("a feature's name holds control characters"),
        Ok("") => Some("a feature's name is empty"),
        Ok(_) => None,
    }
}
