//! What samples are read as and written as.

use half::{bf16, f16};

/// A sample that is read: any number. All arithmetic is in f32, as in TensorFlow's kernels. (Those do not take u32 and
/// u64, which are read as their nearest f32 here.)
pub trait Sample: Copy {
    /// Whether the number is finite, always.
    const FINITE: bool;

    /// The number, rounded to f32 where it has more digits.
    fn to_f32(self) -> f32;
}

/// A sample that is written.
pub trait Output: Copy {
    /// The number as it is written.
    fn from_f32(value: f32) -> Self;

    /// Writes a row of samples, as many as `out` has; `row` may have more.
    fn write(row: &[f32], out: &mut [Self]);
}

impl Sample for f32 {
    const FINITE: bool = false;

    #[inline]
    fn to_f32(self) -> f32 {
        self
    }
}

macro_rules! exact {
    ($finite:literal, $($sample:ty)*) => {$(
        impl Sample for $sample {
            const FINITE: bool = $finite;

            #[inline]
            fn to_f32(self) -> f32 {
                f32::from(self)
            }
        }
    )*};
}

macro_rules! rounded {
    ($($sample:ty)*) => {$(
        impl Sample for $sample {
            const FINITE: bool = true;

            #[inline]
            #[expect(
                clippy::cast_precision_loss,
                reason = "this is `tf.cast(x, tf.float32)`: to the nearest"
            )]
            fn to_f32(self) -> f32 {
                self as f32
            }
        }
    )*};
}

exact!(true, i8 i16 u8 u16);
exact!(false, f16 bf16);
rounded!(i32 i64 u32 u64);

impl Sample for f64 {
    const FINITE: bool = false;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "this is `tf.cast(x, tf.float32)`: to the nearest")]
    fn to_f32(self) -> f32 {
        self as f32
    }
}

impl Output for f32 {
    #[inline]
    fn from_f32(value: f32) -> Self {
        value
    }

    fn write(row: &[f32], out: &mut [Self]) {
        out.copy_from_slice(&row[..out.len()]);
    }
}

/// `tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8)`: half to even. Not a number becomes 0.
impl Output for u8 {
    #[inline]
    fn from_f32(value: f32) -> Self {
        // Comparisons, unlike `max` and `min`, are one instruction each. Clipping first gives the same: 0 and 255 are
        // whole.
        let value = if value > 0.0 { value } else { 0.0 };
        let value = if value < 255.0 { value } else { 255.0 };
        // From 2^23 on, an f32 has no digits behind the point: the sum is rounded by the processor, half to even, and
        // its lowest byte is the whole number. `round_ties_even` would call a function on processors without SSE 4.1.
        (value + 8_388_608.0).to_bits().to_le_bytes()[0]
    }

    fn write(row: &[f32], out: &mut [Self]) {
        // Sixteen bytes are packed into one register.
        let (chunks, rest) = out.as_chunks_mut::<16>();
        let (values, rest_values) = row[..chunks.len() * 16 + rest.len()].as_chunks::<16>();
        for (out, values) in chunks.iter_mut().zip(values) {
            *out = values.map(Self::from_f32);
        }
        for (out, value) in rest.iter_mut().zip(rest_values) {
            *out = Self::from_f32(*value);
        }
    }
}
