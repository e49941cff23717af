//! Conditions on an element, as they are written: `label < 10`, `split != test`, `len(tokens) <= 512`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::str::FromStr;

use smallvec::SmallVec;

use crate::error::{Error, Result, nearest};
use crate::plan::scalar::{Item, Number, with_item};
use crate::source::wire::varint;
use crate::value::{DType, Kind, List};

/// Names that are told, at most.
const SHOWN: usize = 20;

const HINT: &str = "write a feature, one of == != < <= > >=, and a value: `label < 10`, `len(tokens) <= 512`";

/// The longest first, so that none is taken for the beginning of another.
const SIGNS: [(&str, Sign); 6] = [
    ("==", Sign { less: false, equal: true, greater: false }),
    ("!=", Sign { less: true, equal: false, greater: true }),
    ("<=", Sign { less: true, equal: true, greater: false }),
    (">=", Sign { less: false, equal: true, greater: true }),
    ("<", Sign { less: true, equal: false, greater: false }),
    (">", Sign { less: false, equal: false, greater: true }),
];

/// What must come of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sign {
    less: bool,
    equal: bool,
    greater: bool,
}

impl Sign {
    /// Whether that has come. What cannot be compared, such as NaN, is equal to nothing.
    fn allows(self, ordering: Option<Ordering>) -> bool {
        match ordering {
            Some(Ordering::Less) => self.less,
            Some(Ordering::Equal) => self.equal,
            Some(Ordering::Greater) => self.greater,
            None => self.less && self.greater,
        }
    }
}

/// A condition on one feature of an element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    /// The feature.
    pub feature: String,
    /// Whether it is about how many values there are, and not about the one that there is.
    length: bool,
    sign: Sign,
    /// What it is compared with: as a text, and as a number if it is one.
    text: String,
    number: Option<Number>,
    /// What numbers of the feature stand for, if it is not that.
    classes: Vec<String>,
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self> {
        let wrong = |what: &str| Error::request(format!("`--select {written}`: {what}")).hint(HINT);
        let at = written.find(['=', '!', '<', '>']).ok_or_else(|| wrong("it compares nothing"))?;
        let (feature, rest) = written.split_at(at);
        let (sign, value) = SIGNS
            .iter()
            .find_map(|(text, sign)| Some((*sign, rest.strip_prefix(text)?)))
            .ok_or_else(|| wrong("it has no such comparison"))?;
        let (feature, value) = (feature.trim(), value.trim());
        let counted = feature.strip_prefix("len(").and_then(|rest| rest.strip_suffix(')'));
        let feature_name = counted.unwrap_or(feature).trim();
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        if feature_name.is_empty() || value.is_empty() {
            return Err(wrong("a side of it is empty"));
        }
        let whole = text.parse().map(Number::Int).ok();
        let number = whole.or_else(|| text.parse().map(Number::Float).ok()).filter(|_| text == value);
        if counted.is_some() && number.is_none() {
            return Err(wrong("a length is a number"));
        }
        Ok(Self {
            feature: feature_name.to_owned(),
            length: counted.is_some(),
            sign,
            text: text.to_owned(),
            number,
            classes: Vec::new(),
        })
    }
}

impl Condition {
    /// The same, where what it compares with is the name of what a number stands for.
    pub(super) fn of_classes(mut self, classes: &BTreeMap<String, Vec<String>>) -> Self {
        if let (None, Some(names)) = (&self.number, classes.get(&self.feature)) {
            match names.iter().position(|name| *name == self.text) {
                Some(number) => self.number = i128::try_from(number).ok().map(Number::Int),
                None => self.classes.clone_from(names),
            }
        }
        self
    }

    /// Whether a feature meets it. One that is missing meets none.
    ///
    /// # Errors
    /// It has not one value, or another kind of value.
    pub(super) fn met_by(&self, list: Option<List<'_>>) -> Result<bool> {
        let Some(list) = list else { return Ok(false) };
        let damaged = |why: &str| Error::input(format!("the feature is damaged: {why}"));
        let count = || match list.shape() {
            Some(shape) => Ok(shape.iter().product()),
            None => list.count().map_err(|bad| damaged(bad.0)),
        };
        if self.length {
            // Of a text, its bytes; of what has axes, the first.
            let there = match (list.shape(), list.kind) {
                (Some([]), Kind::Bytes) => list.single().map_or(0, |bytes| bytes.len() as u64),
                (Some([first, ..]), _) => *first,
                _ => count()?,
            };
            let there = Number::Int(i128::from(there));
            return Ok(self.sign.allows(self.number.and_then(|wanted| compare(there, wanted))));
        }
        let several = |count: u64| {
            Error::input(format!("`--select` compares one value, and there are {count}"))
                .hint(format!("to compare how many there are, write `len({})`", self.feature))
        };
        if list.kind == Kind::Bytes {
            let Some(bytes) = list.single() else { return Err(several(count()?)) };
            return Ok(self.sign.allows(Some(bytes.cmp(self.text.as_bytes()))));
        }
        match count()? {
            1 => {}
            other => return Err(several(other)),
        }
        let flag = match (list.kind, &*self.text.to_lowercase()) {
            (Kind::Items(DType::Bool), "true") => Some(Number::Int(1)),
            (Kind::Items(DType::Bool), "false") => Some(Number::Int(0)),
            _ => None,
        };
        let Some(wanted) = self.number.or(flag) else {
            let error = Error::request(format!("`--select`: it holds numbers, and `{}` is none", self.text));
            return Err(match (nearest(&self.text, &self.classes), &self.classes[..]) {
                (Some(near), _) => error.hint(format!("did you mean `{near}`?")),
                (None, []) => error.hint("several conditions are several `--select`: all of them must hold"),
                (None, names) => {
                    let names: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
                    error.hint(format!("what its numbers stand for: {}", names.join(", ")))
                }
            });
        };
        let there = number(list).ok_or_else(|| damaged("its value is no number"))?;
        Ok(self.sign.allows(compare(there, rounded(wanted, list.kind))))
    }
}

/// The one value of a list of numbers.
fn number(list: List<'_>) -> Option<Number> {
    let mut run = list.runs().find_map(|run| run.ok().filter(|run| !run.is_empty()))?;
    match list.kind {
        Kind::Bytes => None,
        Kind::Float => Some(f32::read(run).number()),
        Kind::Int64 => varint(&mut run).map(|value| value.cast_signed().number()),
        Kind::Items(dtype) => {
            // On the stack: this is done for every element.
            let mut item: SmallVec<[u8; 16]> = run.get(..dtype.size())?.into();
            if list.items().is_some_and(|(_, big_endian)| big_endian) {
                item.reverse();
            }
            with_item!(dtype, T => Some(T::read(&item).number()), else => None)
        }
    }
}

/// A number as a feature of floats would have it: 0.9 is not what 0.9 is in float32.
fn rounded(wanted: Number, kind: Kind) -> Number {
    let dtype = match (wanted, kind) {
        (Number::Float(_), Kind::Float) => DType::Float32,
        (Number::Float(_), Kind::Items(dtype)) if !dtype.is_integer() => dtype,
        _ => return wanted,
    };
    with_item!(dtype, T => T::from_number(wanted, false).map_or(wanted, Item::number), else => wanted)
}

#[expect(clippy::cast_precision_loss, reason = "beside a float, a whole number is as near as a float can be")]
fn compare(there: Number, wanted: Number) -> Option<Ordering> {
    match (there, wanted) {
        (Number::Int(there), Number::Int(wanted)) => Some(there.cmp(&wanted)),
        (Number::Int(there), Number::Float(wanted)) => (there as f64).partial_cmp(&wanted),
        (Number::Float(there), Number::Int(wanted)) => there.partial_cmp(&(wanted as f64)),
        (Number::Float(there), Number::Float(wanted)) => there.partial_cmp(&wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Form;

    fn items(bytes: &[u8], dtype: DType) -> List<'_> {
        let field = crate::value::Field {
            name: 0..0,
            kind: Some(Kind::Items(dtype)),
            body: 0..bytes.len(),
            form: Form::Items { big_endian: true },
            shape: None,
        };
        field.list_in(bytes).unwrap()
    }

    #[test]
    fn conditions_are_read_and_hold() {
        let met =
            |text: &str, list: Option<List<'_>>| text.parse::<Condition>().unwrap().met_by(list).unwrap();
        let seven = [0, 7];
        let list = || Some(items(&seven, DType::Int16));
        for (text, holds) in [
            ("x<8", true),
            ("x < 7", false),
            ("x<=7", true),
            ("x == 7.0", true),
            ("x!=7", false),
            ("x>6.5", true),
        ] {
            assert_eq!(met(text, list()), holds, "{text}");
        }
        assert!(met("len(x) == 1", list()) && !met("len( x ) > 1", list()) && !met("x != 7", None));
        let nan = f32::NAN.to_be_bytes();
        assert!(
            met("x != 1", Some(items(&nan, DType::Float32)))
                && !met("x == 1", Some(items(&nan, DType::Float32)))
        );
        let text = List::of_field(Kind::Bytes, &[10, 2, b'a', b'b'], 1);
        assert!(
            met("x == ab", Some(text)) && met("x > \"aa\"", Some(text)) && met("x == \"ab\"", Some(text))
        );
        for wrong in ["x", "x=1", "<3", "x<", "len(x)<y"] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
        assert!("x == ab".parse::<Condition>().unwrap().met_by(list()).is_err());
        assert!(
            "x == 1".parse::<Condition>().unwrap().met_by(Some(items(&[0, 1, 0, 2], DType::Int16))).is_err()
        );
    }
}
