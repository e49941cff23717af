//! The header of a `.npy` file: a dict, written as Python does (`NumPy`: `numpy/lib/_format_impl.py`).
//!
//! ```text
//! 93 'NUMPY' major minor │ u16 or u32 length │ "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }" │ data
//! ```

use std::io::Read;

use crate::value::DType;

/// The first bytes of a `.npy` file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// What is wrong with an array of no axes, whose rows would be elements.
pub(in crate::source) const NO_ROWS: &str = "it has no rows: its shape is ()";
/// Bytes of a header that are read, at most. `NumPy` itself refuses more than 10,000.
const MOST_BYTES: usize = 1 << 20;
/// Axes that `NumPy` allows.
const MOST_AXES: usize = 64;

/// What a `.npy` file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What its items are.
    pub item: Item,
    /// Whether each item's most significant byte comes first.
    pub big_endian: bool,
    /// Whether the first axis varies fastest.
    pub fortran: bool,
    /// The sizes of its axes.
    pub shape: Vec<u64>,
    /// Where its data begin, in bytes.
    pub data: u64,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A number. Times and spans of time are the int64 they are stored as.
    Number(DType),
    /// A byte string of so many bytes, filled up with NUL.
    Bytes(usize),
    /// A text of so many characters of four bytes, filled up with NUL.
    Text(usize),
}

impl Item {
    /// Bytes of one item.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Number(dtype) => dtype.size(),
            Self::Bytes(width) => width,
            Self::Text(width) => width.saturating_mul(4),
        }
    }
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// It is none, is cut, or describes what is no array of numbers or strings; why.
    pub fn read(file: &mut dyn Read) -> Result<Self, String> {
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(|_| "it is cut within its header")?;
        if !start.starts_with(MAGIC) {
            return Err("it does not begin as a .npy file".into());
        }
        let wide = match start[MAGIC.len()] {
            1 => false,
            2 | 3 => true,
            major => return Err(format!("it is of version {major}, and there are 1, 2 and 3")),
        };
        let mut length = [0; 4];
        let length_bytes = if wide { 4 } else { 2 };
        file.read_exact(&mut length[..length_bytes]).map_err(|_| "it is cut within its header")?;
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes > MOST_BYTES {
            return Err(format!("its header is said to have {bytes} bytes"));
        }
        let mut text = vec![0; bytes];
        file.read_exact(&mut text).map_err(|_| "it is cut within its header")?;
        let data = (8 + length_bytes + bytes) as u64;
        Self::parse(&String::from_utf8_lossy(&text), data)
    }

    fn parse(text: &str, data: u64) -> Result<Self, String> {
        let mut rest = Text(text);
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        rest.expect('{')?;
        while !rest.take('}') {
            let key = rest.quoted()?;
            rest.expect(':')?;
            match key {
                "descr" if rest.peek() == Some('[') => {
                    return Err("it is a structured array, whose fields are not read".into());
                }
                "descr" => descr = Some(rest.quoted()?),
                "fortran_order" => fortran = Some(rest.word()? == "True"),
                "shape" => shape = Some(rest.sizes()?),
                _ => return Err(format!("its header has an unknown key `{key}`")),
            }
            if !rest.take(',') {
                rest.expect('}')?;
                break;
            }
        }
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err("its header does not tell dtype, order and shape".into());
        };
        let (item, big_endian) = item_of(descr)?;
        let size = shape.iter().try_fold(item.size() as u64, |bytes, size| bytes.checked_mul(*size));
        if size.is_none() {
            return Err("its shape is larger than any file".into());
        }
        Ok(Self { item, big_endian, fortran: fortran && shape.len() > 1, shape, data })
    }

    /// Refuses an array that so many bytes, header and all, do not hold.
    ///
    /// # Errors
    /// Why.
    pub(in crate::source) fn check(&self, bytes: u64) -> Result<(), String> {
        let wanted = self.data.saturating_add(self.bytes());
        if bytes < wanted {
            return Err(format!("it is cut: an array of its shape takes {wanted} bytes, and it has {bytes}"));
        }
        Ok(())
    }

    /// Bytes of its data.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.item.size() as u64
    }
}

/// What NumPy's name for a dtype means; and whether each item's most significant byte comes first.
///
/// # Errors
/// It is none of a number or a string; why.
pub(in crate::source) fn item_of(descr: &str) -> Result<(Item, bool), String> {
    let (order, name) = match descr.chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => (order, &descr[1..]),
        _ => ('=', descr),
    };
    let unit = name.find('[').unwrap_or(name.len());
    let name = &name[..unit];
    let width = |kind: char| name.strip_prefix(kind)?.parse::<usize>().ok();
    let item = match name {
        "?" => Item::Number(DType::Bool),
        "b" => Item::Number(DType::Int8),
        "B" => Item::Number(DType::Uint8),
        "M8" | "m8" => Item::Number(DType::Int64),
        _ if name.starts_with('O') => {
            return Err("it holds pickled Python objects, which are never unpickled here".into());
        }
        _ => match (DType::named(name), width('S').or_else(|| width('a')), width('U')) {
            (Some(dtype), _, _) => Item::Number(dtype),
            (_, Some(width), _) => Item::Bytes(width),
            (_, _, Some(width)) => Item::Text(width),
            _ => return Err(format!("its dtype `{descr}` is none that can be read")),
        },
    };
    Ok((item, order == '>'))
}

/// What is left of a Python literal.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn peek(&mut self) -> Option<char> {
        self.0 = self.0.trim_start();
        self.0.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.0 = &self.0[wanted.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(format!("its header has no `{wanted}` where one must be"))
        }
    }

    fn quoted(&mut self) -> Result<&'a str, String> {
        let quote = self.peek().filter(|quote| matches!(quote, '\'' | '"'));
        let quote = quote.ok_or("its header has no text where one must be")?;
        let (text, rest) = self.0[1..].split_once(quote).ok_or("a text in its header has no end")?;
        self.0 = rest;
        Ok(text)
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        self.0 = &text[end..];
        match &text[..end] {
            word @ ("True" | "False") => Ok(word),
            other => Err(format!("its header says `{other}` where True or False must be")),
        }
    }

    fn sizes(&mut self) -> Result<Vec<u64>, String> {
        let mut sizes = Vec::new();
        self.expect('(')?;
        while !self.take(')') {
            let text = self.0.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let size = text[..end].parse().map_err(|_| "its shape is not made of sizes")?;
            // Python 2 wrote an `L` behind large numbers.
            self.0 = text[end..].strip_prefix('L').unwrap_or(&text[end..]);
            sizes.push(size);
            if sizes.len() > MOST_AXES {
                return Err("its shape has too many axes".into());
            }
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dict: &str) -> Result<Header, String> {
        let length = u16::try_from(dict.len()).unwrap().to_le_bytes();
        Header::read(&mut &[b"\x93NUMPY\x01\0", &length[..], dict.as_bytes()].concat()[..])
    }

    #[test]
    fn headers_are_read_as_numpy_reads_them() {
        let header = read("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        let wanted = Header {
            item: Item::Number(DType::Float32),
            big_endian: false,
            fortran: false,
            shape: vec![3, 4],
            data: 73,
        };
        assert_eq!(header, wanted);
        assert_eq!(header.bytes(), 48);
        let other = read(r#"{"shape":(2L,),"fortran_order":True,'descr':'>c16'}"#).unwrap();
        assert_eq!((other.big_endian, other.fortran, &other.shape[..]), (true, false, &[2][..]));
        assert_eq!(
            read("{'descr': '|S7', 'fortran_order': False, 'shape': ()}").unwrap().item,
            Item::Bytes(7)
        );
        assert_eq!(
            read("{'descr': '<U3', 'fortran_order': False, 'shape': ()}").unwrap().item,
            Item::Text(3)
        );
        assert_eq!(
            read("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,)}").unwrap().item,
            Item::Number(DType::Int64)
        );
    }

    #[test]
    fn what_is_no_array_of_numbers_or_strings_is_refused() {
        for (dict, why) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "pickled"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "structured"),
            ("{'descr': '<f16', 'fortran_order': False, 'shape': (3,)}", "dtype"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}", "True or False"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': [3]}", "`(`"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", "sizes"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999)}", "larger"),
            ("{'descr': '<f4', 'fortran_order': False}", "shape"),
            ("{'descr': '<f4', 'x': 1}", "unknown key"),
            ("", "`{`"),
        ] {
            let error = read(dict).unwrap_err();
            assert!(error.contains(why), "{dict}: {error}");
        }
        assert!(Header::read(&mut &b"\x93NUMPY\x09\0\0\0"[..]).unwrap_err().contains("version 9"));
        assert!(Header::read(&mut &b"\x93NUMPY\x02\0\xff\xff\xff\xff"[..]).is_err());
        assert!(Header::read(&mut &b"\x93NUM"[..]).is_err());
    }
}
