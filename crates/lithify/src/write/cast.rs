//! Values from where they are stored into the items of a row, in the row's dtype: the hot loop of pass 2.

use crate::decode::Data;
use crate::error::{Error, Result};
use crate::plan::scalar::{Item, Number, with_item};
use crate::source::wire::each_varint;
use crate::value::{DType, Kind, List};

/// What is written where.
pub(super) struct Cast {
    /// What the values are; byte strings where there is none.
    pub from: Option<DType>,
    /// What the items are.
    pub to: DType,
    /// Whether a value that does not fit is clipped.
    pub saturate: bool,
    /// Whether a byte string that does not fit is cut.
    pub truncate: bool,
}

/// A value that the dtype of the array does not hold.
struct Unfit(Number);

impl Cast {
    /// Writes values into `out`, from the value numbered `skip` on, until it is full or there are no more. Gives the
    /// bytes that were written.
    ///
    /// # Errors
    /// A value does not fit the dtype, or is damaged.
    pub(super) fn write(&self, data: Data<'_>, skip: usize, out: &mut [u8]) -> Result<usize> {
        let whole = out.len();
        let unfit = |e: Unfit| self.unfit(&e);
        let left = match (data, self.to) {
            (Data::List(list), DType::Bytes(width)) => self.strings(list, width as usize, skip, out)?,
            (Data::List(list), to) if list.kind == Kind::Int64 => {
                let saturate = self.saturate;
                match self.from {
                    // There are no such integers on the wire: their bits are those of another.
                    Some(DType::Uint64) => with_item!(to, T => {
                        let cast = |value: u64| T::from_number(Number::Int(value.into()), saturate);
                        self.varints(list, skip, out, cast)?
                    }, else => 0),
                    Some(DType::Bool) => with_item!(to, T => {
                        self.varints(list, skip, out, |value| T::from_i64((value != 0).into(), saturate))?
                    }, else => 0),
                    _ => with_item!(to, T => {
                        self.varints(list, skip, out, |value| T::from_i64(value.cast_signed(), saturate))?
                    }, else => 0),
                }
            }
            (Data::List(list), to) => {
                let mut skip = skip * 4;
                let mut out = out;
                for run in list.runs() {
                    let run = run.map_err(damaged)?;
                    let passed = skip.min(run.len());
                    skip -= passed;
                    let written = items(&run[passed..], DType::Float32, false, to, self.saturate, out)
                        .map_err(unfit)?;
                    out = &mut out[written..];
                }
                out.len()
            }
            (Data::Raw { bytes, big_endian }, to) => {
                let from = self.from.unwrap_or(to);
                let rest = bytes.get(skip * from.size()..).unwrap_or_default();
                whole - items(rest, from, big_endian, to, self.saturate, out).map_err(unfit)?
            }
        };
        Ok(whole - left)
    }

    /// Gives how much of `out` is left.
    fn strings(&self, list: List<'_>, width: usize, skip: usize, out: &mut [u8]) -> Result<usize> {
        let mut items = out.chunks_exact_mut(width.max(1));
        for string in list.runs().skip(skip).take(items.len()) {
            let string = string.map_err(damaged)?;
            let Some(item) = items.next() else { break };
            if string.len() > width && !self.truncate {
                return Err(Error::input(format!(
                    "a byte string has {} bytes, more than the {width} of its item",
                    string.len()
                )));
            }
            let kept = string.len().min(width);
            item[..kept].copy_from_slice(&string[..kept]);
            item[kept..].fill(0);
        }
        Ok(items.len() * width)
    }

    /// Gives how much of `out` is left.
    fn varints<T: Item>(
        &self,
        list: List<'_>,
        mut skip: usize,
        out: &mut [u8],
        cast: impl Fn(u64) -> Option<T>,
    ) -> Result<usize> {
        let mut items = out.chunks_exact_mut(T::SIZE);
        let mut unfit = None;
        let mut take = |value: u64| match (items.next(), cast(value)) {
            (Some(item), Some(cast)) => {
                cast.write(item);
                true
            }
            (Some(_), None) => {
                unfit = Some(value);
                false
            }
            (None, _) => false,
        };
        let mut bad = false;
        for run in list.runs() {
            let run = run.map_err(damaged)?;
            // Two loops, since the one that passes nothing over is the hot one.
            let whole = if skip == 0 {
                each_varint(run, &mut take)
            } else {
                each_varint(run, |value| {
                    if skip > 0 {
                        skip -= 1;
                        true
                    } else {
                        take(value)
                    }
                })
            };
            bad |= whole.is_err();
        }
        if bad {
            return Err(Error::input("the feature is damaged: an integer is cut or too long"));
        }
        if let Some(value) = unfit {
            let value = match self.from {
                Some(DType::Uint64) => i128::from(value),
                _ => i128::from(value.cast_signed()),
            };
            return Err(self.unfit(&Unfit(Number::Int(value))));
        }
        Ok(items.len() * T::SIZE)
    }

    fn unfit(&self, unfit: &Unfit) -> Error {
        let value = match unfit.0 {
            Number::Int(whole) => whole.to_string(),
            Number::Float(float) => float.to_string(),
        };
        let error = Error::input(format!("the value {value} does not fit {}", self.to));
        match unfit.0 {
            Number::Float(float) if float.fract() != 0.0 => {
                error.hint("use a floating `dtype`, or let `saturate` cut off what comes after the point")
            }
            _ => error.hint("use a larger `dtype`, or clip such values with `saturate`"),
        }
    }
}

fn damaged(bad: crate::value::BadList) -> Error {
    Error::input(format!("the feature is damaged: {}", bad.0))
}

/// Casts items until one side ends; gives the bytes written.
fn items(
    values: &[u8],
    from: DType,
    big_endian: bool,
    to: DType,
    saturate: bool,
    out: &mut [u8],
) -> Result<usize, Unfit> {
    let count = (values.len() / from.size()).min(out.len() / to.size().max(1));
    let (values, out) = (&values[..count * from.size()], &mut out[..count * to.size()]);
    if from == to {
        out.copy_from_slice(values);
        if big_endian {
            let part = if from.is_complex() { from.size() / 2 } else { from.size() };
            out.chunks_exact_mut(part).for_each(<[u8]>::reverse);
        }
    } else {
        with_item!(from, S => with_item!(to, T => convert::<S, T>(values, big_endian, saturate, out)?, else => {}), else => {});
    }
    Ok(out.len())
}

fn convert<S: Item, T: Item>(
    values: &[u8],
    big_endian: bool,
    saturate: bool,
    out: &mut [u8],
) -> Result<(), Unfit> {
    let mut swapped = [0; 8];
    // `tf.saturate_cast` clips infinities, too, where the new dtype ends sooner.
    let clips_infinity = saturate && S::LARGEST > T::LARGEST;
    for (value, item) in values.chunks_exact(S::SIZE).zip(out.chunks_exact_mut(T::SIZE)) {
        let number = if big_endian {
            swapped[..S::SIZE].copy_from_slice(value);
            swapped[..S::SIZE].reverse();
            S::read(&swapped[..S::SIZE]).number()
        } else {
            S::read(value).number()
        };
        let number = match number {
            Number::Float(float) if clips_infinity && float.is_infinite() => {
                Number::Float(f64::MAX.copysign(float))
            }
            other => other,
        };
        T::from_number(number, saturate).ok_or(Unfit(number))?.write(item);
    }
    Ok(())
}
