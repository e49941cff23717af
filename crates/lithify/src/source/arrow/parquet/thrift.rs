//! Thrift's compact protocol, as far as must be known to look at what Parquet says in it before somebody else believes it.
//! (`thrift/doc/specs/thrift-compact-protocol.md`.)

/// The type of structs.
pub(super) const STRUCT: u8 = 12;
/// How deeply structs and lists may be nested: Parquet's own are half of that.
const DEEPEST: usize = 24;

/// Bytes that are read from their front on. Nothing is given where they are cut or damaged.
pub(super) struct Compact<'a> {
    pub rest: &'a [u8],
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number, by zigzag.
    pub(super) fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The type of the next field, whose number is known by that of the last; 0 at the end of the struct.
    pub(super) fn field(&mut self, id: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        if byte.trailing_zeros() >= 4 {
            return Some(0);
        }
        *id = match byte >> 4 {
            0 => self.number()?,
            more => id.wrapping_add(i64::from(more)),
        };
        Some(byte & 0xf)
    }

    /// Passes over a value of a type.
    pub(super) fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            // In a field, its type is its value.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => self.rest = self.rest.get(8..)?,
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.rest = self.rest.get(length..)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                let (count, kind) = (usize::try_from(count).ok()?, head & 0xf);
                // Each takes a byte at least.
                if count > self.rest.len() {
                    return None;
                }
                match kind {
                    1 | 2 => self.rest = self.rest.get(count..)?,
                    kind => (0..count).try_for_each(|_| self.skip(kind, depth + 1))?,
                }
            }
            STRUCT => {
                let mut id = 0;
                while let kind @ 1.. = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            // There are no maps in Parquet.
            _ => return None,
        }
        Some(())
    }
}
