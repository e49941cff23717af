//! What a conversion should give, made the plain way: everything in memory, one value after another.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "the model's numbers are small, and a cast that loses something is what it is about"
)]

use std::collections::BTreeMap;

use crate::values::Values;

/// A feature of the model: its kind, and the values of each element that has it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The values of each element, where it has any.
    pub rows: Vec<Option<Values>>,
}

/// The fit that is asked for.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "they are the words of the notation")]
pub enum Fit {
    Nothing,
    Ragged,
    Pad { size: Option<usize>, left: bool, truncate: bool, mask: bool, lengths: bool, value: u8 },
    Bucket(Vec<usize>),
}

/// What is asked for of a feature.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The fit.
    pub fit: Fit,
    /// Whether elements that lack it have ones.
    pub default: bool,
    /// Whether it is kept which elements have it.
    pub present: bool,
    /// The dtype, where it is not the one that it has.
    pub dtype: Option<&'static str>,
}

impl Wish {
    /// It, in the notation.
    #[must_use]
    pub fn spec(&self, name: &str) -> String {
        let mut words = vec![format!("{name}:")];
        match &self.fit {
            Fit::Nothing => {}
            Fit::Ragged => words.push("ragged".into()),
            Fit::Bucket(caps) => {
                words.push(format!(
                    "bucket={}",
                    caps.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                ));
            }
            Fit::Pad { size, left, truncate, mask, lengths, value } => {
                words.push(size.map_or("pad=max".into(), |size| format!("pad={size}")));
                let flags = [
                    (*left, "side=left"),
                    (*truncate, "truncate"),
                    (*mask, "mask"),
                    (!*lengths, "lengths=no"),
                ];
                words.extend(flags.iter().filter(|flag| flag.0).map(|flag| flag.1.to_owned()));
                words.extend((*value > 0).then(|| format!("value={value}")));
            }
        }
        words.extend(self.default.then(|| "default=1".into()));
        words.extend(self.present.then(|| "present".into()));
        words.extend(self.dtype.map(|dtype| format!("dtype={dtype}")));
        words.join(" ")
    }
}

/// An array of the model: its `descr`, its shape, its bytes.
pub type Array = (String, Vec<usize>, Vec<u8>);

/// Items of one dtype: each as its bytes.
type Items = Vec<Vec<u8>>;

impl Column {
    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().flatten().map(Values::len)
    }

    fn texts(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.rows.iter().flatten().flat_map(|values| match values {
            Values::Bytes(values) => &values[..],
            _ => &[],
        })
    }

    /// Whether it holds byte strings.
    #[must_use]
    pub fn of_text(&self) -> bool {
        self.rows.iter().flatten().any(|values| matches!(values, Values::Bytes(_)))
    }

    /// The dtype of an item, unless byte strings stay as long as they are.
    fn item(&self, wish: &Wish) -> Option<(String, usize)> {
        let widest = self.texts().map(Vec::len).max().unwrap_or_default().max(1);
        let padded = matches!(wish.fit, Fit::Pad { .. } | Fit::Bucket(_));
        if self.of_text() {
            let keeps = widest <= 64 && self.texts().all(|text| text.last() != Some(&0));
            return (keeps || padded).then(|| (format!("|S{widest}"), widest));
        }
        let of_float = self.rows.iter().flatten().any(|values| matches!(values, Values::Floats(_)));
        Some(match wish.dtype {
            Some("int32") => ("<i4".into(), 4),
            Some("float64") => ("<f8".into(), 8),
            _ if of_float => ("<f4".into(), 4),
            _ => ("<i8".into(), 8),
        })
    }

    /// Values as items; `None` where one does not fit.
    fn items(values: &Values, descr: &str, width: usize) -> Option<Items> {
        let item = |integer: Option<i64>, float: f64| match descr {
            "<i4" => match integer {
                Some(integer) => i32::try_from(integer).ok().map(|item| item.to_le_bytes().to_vec()),
                None if float.fract() == 0.0 && (-2_147_483_648.0..2_147_483_648.0).contains(&float) => {
                    Some((float as i32).to_le_bytes().to_vec())
                }
                None => None,
            },
            "<f8" => Some(integer.map_or(float, |integer| integer as f64).to_le_bytes().to_vec()),
            "<f4" => Some((float as f32).to_le_bytes().to_vec()),
            _ => integer.map(|integer| integer.to_le_bytes().to_vec()),
        };
        match values {
            Values::Bytes(values) => {
                Some(values.iter().map(|text| [&text[..], &vec![0; width - text.len()]].concat()).collect())
            }
            Values::Floats(values) => {
                values.iter().map(|bits| item(None, f64::from(f32::from_bits(*bits)))).collect()
            }
            Values::Integers(values) => values.iter().map(|integer| item(Some(*integer), 0.0)).collect(),
        }
    }

    /// What becomes of it, or `None` where that is refused.
    #[must_use]
    pub fn arrays(&self, wish: &Wish, asked: bool) -> Option<BTreeMap<String, Array>> {
        let elements = self.rows.len();
        let name = |suffix: &str| format!("{}{suffix}", self.name);
        let mut arrays = BTreeMap::new();
        let item = self.item(wish);
        let fixed = item.is_some();
        let (descr, width) = item.clone().unwrap_or(("|u1".into(), 1));
        let longest = self.lengths().max()?;
        let (uniform, missing) =
            (self.lengths().all(|length| length == longest), self.rows.iter().any(Option::is_none));
        if missing && !wish.present && matches!(wish.fit, Fit::Bucket(_)) {
            // An element without it has no row in any bucket, which nothing would tell.
            return None;
        }
        let rows: Vec<Option<Items>> = match (item, &wish.fit) {
            (None, _) => Vec::new(),
            // What is cut need not fit.
            (Some(_), Fit::Pad { size: Some(size), left, truncate: true, .. }) => {
                let cut = self.rows.iter().map(|row| row.as_ref().map(|values| values.cut(*size, *left)));
                cut.map(|row| row.map_or(Some(None), |values| Self::items(&values, &descr, width).map(Some)))
                    .collect::<Option<_>>()?
            }
            _ => self
                .rows
                .iter()
                .map(|row| {
                    row.as_ref().map_or(Some(None), |values| Self::items(values, &descr, width).map(Some))
                })
                .collect::<Option<_>>()?,
        };
        let offsets = |lengths: &mut dyn Iterator<Item = usize>| {
            let mut sums = vec![0_i64];
            lengths.for_each(|length| sums.push(sums[sums.len() - 1] + length as i64));
            let bytes = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
            ("<i8".to_owned(), vec![sums.len()], bytes)
        };
        let one = |value: u8| match &descr[..] {
            "<f4" => f32::from(value).to_le_bytes().to_vec(),
            "<f8" => f64::from(value).to_le_bytes().to_vec(),
            text if text.starts_with("|S") => {
                [value.to_string().into_bytes(), vec![0; width]].concat()[..width].to_vec()
            }
            _ => [&[value][..], &vec![0; width - 1]].concat(),
        };
        let mut present = wish.present;
        let mut ragged = |present: &mut bool| {
            *present |= missing && !asked;
            if fixed {
                let all = rows.iter().flatten().flatten().flatten().copied().collect::<Vec<_>>();
                arrays.insert(name(".values"), (descr.clone(), vec![all.len() / width], all));
                arrays.insert(
                    name(".offsets"),
                    offsets(&mut rows.iter().map(|row| row.as_ref().map_or(0, Vec::len))),
                );
                return;
            }
            let all: Vec<u8> = self.texts().flatten().copied().collect();
            arrays.insert(name(".values"), ("|u1".into(), vec![all.len()], all));
            let texts = |row: &Option<Values>| match row {
                Some(Values::Bytes(texts)) => texts.clone(),
                _ => Vec::new(),
            };
            if self.lengths().all(|length| length == 1) {
                arrays.insert(
                    name(".offsets"),
                    offsets(&mut self.rows.iter().map(|row| texts(row).concat().len())),
                );
            } else {
                arrays.insert(name(".offsets"), offsets(&mut self.rows.iter().map(|row| texts(row).len())));
                arrays.insert(name(".value_offsets"), offsets(&mut self.texts().map(Vec::len)));
            }
        };
        match &wish.fit {
            Fit::Nothing if uniform && fixed && (!missing || wish.default || asked) => {
                if missing && !wish.default {
                    return None;
                }
                let shape = if longest == 1 { vec![elements] } else { vec![elements, longest] };
                let fill = vec![one(1); longest];
                let bytes = rows.iter().flat_map(|row| row.as_ref().unwrap_or(&fill).concat()).collect();
                arrays.insert(name(""), (descr, shape, bytes));
            }
            Fit::Nothing | Fit::Ragged if wish.default => return None,
            Fit::Nothing | Fit::Ragged => ragged(&mut present),
            Fit::Pad { size, left, truncate, mask, lengths, value } => {
                let size = size.unwrap_or(longest);
                if longest > size && !truncate {
                    return None;
                }
                let (mut data, mut marks, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
                let filled = vec![one(1); size];
                for row in &rows {
                    // A default stands for data that are not there: it has no length, and nothing of it is marked.
                    let missing = row.is_none();
                    let row = row.as_ref().or(wish.default.then_some(&filled)).cloned().unwrap_or_default();
                    let kept = row.len().min(size);
                    let row = if *left { &row[row.len() - kept..] } else { &row[..kept] };
                    let padding = if *value > 0 {
                        vec![one(*value); size - kept]
                    } else {
                        vec![vec![0; width]; size - kept]
                    };
                    let ones = (vec![u8::from(!missing); kept], vec![0_u8; size - kept]);
                    if *left {
                        data.extend([padding.concat(), row.concat()].concat());
                        marks.extend([ones.1, ones.0].concat());
                    } else {
                        data.extend([row.concat(), padding.concat()].concat());
                        marks.extend([ones.0, ones.1].concat());
                    }
                    sizes.extend((if missing { 0 } else { kept as i64 }).to_le_bytes());
                }
                arrays.insert(name(""), (descr, vec![elements, size], data));
                if *lengths {
                    arrays.insert(name(".lengths"), ("<i8".into(), vec![elements], sizes));
                }
                if *mask {
                    arrays.insert(name(".mask"), ("|b1".into(), vec![elements, size], marks));
                }
            }
            Fit::Bucket(caps) => {
                if wish.default || caps.last().is_some_and(|last| longest > *last) {
                    return None;
                }
                for (number, cap) in caps.iter().enumerate() {
                    let lower = number.checked_sub(1).map(|before| caps[before]);
                    let of = |row: &Items| row.len() <= *cap && lower.is_none_or(|lower| row.len() > lower);
                    let chosen: Vec<_> = rows
                        .iter()
                        .enumerate()
                        .filter_map(|(at, row)| row.as_ref().filter(|row| of(row)).map(|row| (at, row)))
                        .collect();
                    let data = chosen
                        .iter()
                        .flat_map(|(_, row)| [row.concat(), vec![0; (cap - row.len()) * width]].concat())
                        .collect();
                    let numbers = |take: &dyn Fn(&(usize, &Items)) -> usize| {
                        (
                            "<i8".to_owned(),
                            vec![chosen.len()],
                            chosen
                                .iter()
                                .flat_map(|one| (take(one) as i64).to_le_bytes())
                                .collect::<Vec<u8>>(),
                        )
                    };
                    arrays
                        .insert(name(&format!(".le{cap}")), (descr.clone(), vec![chosen.len(), *cap], data));
                    arrays.insert(name(&format!(".le{cap}.elements")), numbers(&|one| one.0));
                    arrays.insert(name(&format!(".le{cap}.lengths")), numbers(&|one| one.1.len()));
                }
            }
        }
        if present {
            let marks = self.rows.iter().map(|row| u8::from(row.is_some())).collect();
            arrays.insert(name(".present"), ("|b1".into(), vec![elements], marks));
        }
        Some(arrays)
    }
}
