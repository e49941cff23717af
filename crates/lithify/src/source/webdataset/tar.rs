//! The blocks of a tar file: headers, names, and what the headers before a header say of it.
//!
//! ```text
//! header   0 name  124 size  148 checksum  156 type  257 "ustar"  345 prefix      512 bytes; data in blocks of 512
//! ```
//! Numbers are octal, or binary where their first bit is set. A name that does not fit is the data of a member before: of
//! type `L` (GNU), or a record `path` of type `x` (pax, POSIX.1-2001).

use std::str::from_utf8;

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows it.
    pub kind: Kind,
    /// Bytes of data after it.
    pub size: u64,
    /// The member's name.
    pub name: Vec<u8>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A file with holes, which is not stored as it is.
    Sparse,
    /// The name of the next member.
    LongName,
    /// Records about the next member.
    Records,
    /// A directory, a link, or what else is no file.
    Other,
}

/// Reads a header; `None` for the block of zeros that ends a tar file.
///
/// # Errors
/// It is no header; why.
pub fn parse(block: &[u8; BLOCK]) -> Result<Option<Header>, &'static str> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let said = number(&block[148..156]).ok_or("its checksum is no number")?;
    let (head, rest) = block.split_at(148);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    // The checksum is of the header as if it were spaces. Old writers took bytes for signed: no name has such here.
    if sum(head) + sum(&rest[8..]) + 8 * u64::from(b' ') != said {
        return Err("its checksum is wrong");
    }
    let size = number(&block[124..136]).ok_or("its size is no number")?;
    let mut name = until_nul(&block[..100]).to_vec();
    let kind = match block[156] {
        b'0' | 0 | b'7' if name.ends_with(b"/") => Kind::Other,
        b'0' | 0 | b'7' => Kind::File,
        b'S' => Kind::Sparse,
        b'L' => Kind::LongName,
        b'x' => Kind::Records,
        _ => Kind::Other,
    };
    // These have no data, whatever their size says.
    let size = if matches!(block[156], b'1'..=b'6') { 0 } else { size };
    let prefix = until_nul(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Ok(Some(Header { kind, size, name }))
}

/// What a member's records say that differs from its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Its name.
    pub name: Option<Vec<u8>>,
    /// Its size.
    pub size: Option<u64>,
    /// Whether it has holes.
    pub sparse: bool,
}

/// Reads records: `LENGTH KEY=VALUE\n` each, where the length counts all of it.
///
/// # Errors
/// They are damaged.
pub fn records(mut rest: &[u8]) -> Result<Records, &'static str> {
    const DAMAGED: &str = "its records are damaged";
    let mut found = Records::default();
    while rest.first().is_some_and(|byte| *byte != 0) {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or(DAMAGED)?;
        let length = from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok()).ok_or(DAMAGED)?;
        let (record, after) = rest.split_at_checked(length).ok_or(DAMAGED)?;
        let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n")).ok_or(DAMAGED)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(DAMAGED)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => found.name = Some(value.to_vec()),
            b"size" => {
                let size = from_utf8(value).ok().and_then(|text| text.parse().ok());
                found.size = Some(size.ok_or(DAMAGED)?);
            }
            _ if key.starts_with(b"GNU.sparse.") => found.sparse = true,
            _ => {}
        }
        rest = after;
    }
    Ok(found)
}

/// The key and the extension of a name: what is before and after the first dot of its last part. `None` for what belongs to
/// no sample.
#[must_use]
pub fn key_and_extension(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let last = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = last + name[last..].iter().position(|byte| *byte == b'.')?;
    // A name that begins with its dot has the folder for a key, if that has no dot itself.
    if dot == 0 || dot == last && name[..last].contains(&b'.') {
        return None;
    }
    // Names like `__meta__` are of the tar file, and of no sample.
    let first = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
    let first = &name[..first];
    let meta = first.len() >= 4 && first.starts_with(b"__") && first.ends_with(b"__");
    (!meta).then(|| (&name[..dot], &name[dot + 1..]))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first == 0x80 {
        let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?).unwrap_or((&[], rest));
        let fits = high.iter().all(|byte| *byte == 0);
        return fits.then(|| low.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_as_the_convention_has_it() {
        let split = |name: &str| {
            key_and_extension(name.as_bytes()).map(|(key, extension)| {
                (String::from_utf8(key.to_vec()).unwrap(), String::from_utf8(extension.to_vec()).unwrap())
            })
        };
        for (name, wanted) in [
            ("a.jpg", Some(("a", "jpg"))),
            ("dir.x/001.seg.png", Some(("dir.x/001", "seg.png"))),
            ("./a.txt", Some(("./a", "txt"))),
            ("dir/.x.txt", Some(("dir/", "x.txt"))),
            ("a.", Some(("a", ""))),
            ("_a_.txt", Some(("_a_", "txt"))),
            (".x.txt", None),
            ("d.ir/.x.txt", None),
            ("plain", None),
            ("dir.x/plain", None),
            ("__meta__", None),
            ("__meta__/a.txt", None),
        ] {
            let wanted = wanted.map(|(key, extension)| (key.to_owned(), extension.to_owned()));
            assert_eq!(split(name), wanted, "{name}");
        }
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"00000001750\0"), Some(1000));
        assert_eq!(number(b"   1750 "), Some(1000));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(2 << 32));
        assert_eq!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), None);
        assert_eq!(number(b"12x4"), None);
        assert_eq!(number(b"\xff\xff\xff\xff"), None);
    }

    #[test]
    fn records_are_read_by_their_lengths() {
        let found = records(b"11 path=a\nb\n10 size=7\n\0\0").unwrap();
        assert_eq!(found, Records { name: Some(b"a\nb".to_vec()), size: Some(7), sparse: false });
        assert!(records(b"22 GNU.sparse.major=1\n").unwrap().sparse);
        for damaged in
            [&b"99 path=a\n"[..], b"9", b"x path=a\n", b"7 path\n", b"10 path=ab", b"10 size=x\n", b"0 a=b\n"]
        {
            assert!(records(damaged).is_err(), "{damaged:?}");
        }
    }
}
