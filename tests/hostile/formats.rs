//! Saved datasets, tar files and `ArrayRecord` files with any one byte changed, or with what they say of themselves made up:
//! they are read to their end, or what is wrong is told.

use std::path::Path;

use lithify::error::ErrorKind;
use lithify::source::{Options, Want};
use lithify_tests::array_record::{File, Packed, hash, packed, snappy, zstd};
use lithify_tests::memory::largest;
use lithify_tests::{
    Conversion, Scratch, example, field, gzip, integers, record, strings, tar_member, varint,
};

use crate::MOST_AT_ONCE;

/// Memory for an element: what is claimed beyond must not be taken.
const LARGEST: u64 = 1 << 20;

/// Reads a dataset to its end, over damage; gives how many elements are sound.
pub fn read_all(path: &Path, from: Option<&str>) -> Option<usize> {
    let options = Options { largest_record: LARGEST, ..Options::default() };
    let source = lithify::open(&[path.to_path_buf()], from, &options).ok()?;
    let mut found = 0;
    for part in 0..source.parts().len() {
        let mut elements = source.read(part, 0..u64::MAX, Want::Whole).ok()?;
        let mut position = 0;
        loop {
            match elements.next() {
                Ok(Some(element)) => {
                    for place in 0..element.len() {
                        let _ = element.list(place).map(|list| list.count());
                    }
                    found += 1;
                }
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Input => {
                    assert!(error.place().file.is_some(), "{error}");
                    assert_eq!(error.place().byte.is_some(), source.positions_are_bytes(part), "{error}");
                }
                Err(_) => return None,
            }
            assert!(elements.position() >= position, "reading goes forward");
            position = elements.position();
        }
        for at in [1, 512, 700] {
            let bytes = source.parts()[part].bytes;
            if source.seekable(part) && at < bytes {
                let _ = source.find_element(part, at..bytes);
            }
        }
    }
    Some(found)
}

/// Calls `then` with each of the bytes changed, in two ways.
pub fn changed(bytes: &[u8], mut then: impl FnMut(&[u8])) {
    let mut changed = bytes.to_vec();
    for at in 0..bytes.len() {
        for bits in [1, 0xff] {
            changed[at] ^= bits;
            then(&changed);
            changed[at] = bytes[at];
        }
    }
}

#[test]
fn a_tar_of_which_a_byte_is_changed() {
    let array = b"\x93NUMPY\x01\0\x39\0{'descr': '<i2', 'fortran_order': True, 'shape': (2, 2)}\n\x01\0\x02\0\x03\0\x04\0";
    let tar = [
        tar_member("././@LongLink", b'L', b"a/long/name.cls\0"),
        tar_member("cut", b'0', b"5"),
        tar_member("pax", b'x', b"17 path=b/c.json\n"),
        tar_member("cut", b'0', b"[[1, 2], [3, 4]]"),
        tar_member("b/c.npy", b'0', array),
        tar_member("b/c.txt.gz", b'0', &gzip(b"text")),
        vec![0; 1024],
    ]
    .concat();
    let scratch = Scratch::new();
    changed(&tar, |bytes| {
        let path = scratch.file("a.tar", bytes);
        for from in ["webdataset", "webdataset-raw"] {
            assert!(read_all(&path, Some(from)).is_none_or(|found| found <= 3));
        }
    });
}

/// A tensor of these strings' bytes, as saved datasets have it.
fn tensor(dtype: u8, shape: &[u8], content: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|size| field(2, &[8, *size])).collect();
    [&[8, dtype][..], &field(2, &dims), &field(4, content)].concat()
}

/// A variant of these tensors.
fn variant(name: &str, tensors: &[Vec<u8>]) -> Vec<u8> {
    let tensors: Vec<u8> = tensors.iter().flat_map(|tensor| field(3, tensor)).collect();
    let body = [&field(1, name.as_bytes())[..], &tensors].concat();
    [&[u8::try_from(body.len()).unwrap()][..], &body].concat()
}

/// A spec of a type of its own, as an entry of a dict: of ragged tensors, or of sparse ones.
fn spec(key: &[u8], class: u8) -> Vec<u8> {
    let rank = field(1, &[0x60, 2]);
    let state = field(52, &[&field(1, &field(31, b""))[..], &field(1, &[0x80, 2, 9]), &rank].concat());
    let spec = field(34, &[&[8, class][..], &field(2, &state)].concat());
    field(1, &[field(1, key), field(2, &spec)].concat())
}

#[test]
fn a_saved_dataset_of_which_a_byte_is_changed() {
    let numbers = |values: &[u8]| {
        [&[8, 9][..], &field(2, &field(2, &[8, u8::try_from(values.len()).unwrap()])), &field(10, values)]
            .concat()
    };
    let ragged =
        tensor(21, &[], &variant("RaggedTensorVariant", &[numbers(&[0, 2, 3]), numbers(&[7, 8, 9])]));
    let indices =
        [&[8, 9][..], &field(2, &[field(2, &[8, 2]), field(2, &[8, 1])].concat()), &field(10, &[0, 2])]
            .concat();
    let bodies =
        [indices, numbers(&[5, 6]), numbers(&[3])].map(|tensor| variant("tensorflow::Tensor", &[tensor]));
    let lengths: Vec<u8> = bodies.iter().map(|body| body[0]).collect();
    let sparse = tensor(21, &[3], &[lengths, bodies.map(|body| body[1..].to_vec()).concat()].concat());
    let strings = field(1, &[&field(1, b"t")[..], &field(2, &field(33, &[0x18, 7]))].concat());
    let text = tensor(7, &[2], b"\x01\x02abc");
    let entries = [spec(b"r", 3), spec(b"s", 1), strings].concat();
    let whole = field(53, &entries);
    let metadata =
        [&field(2, b"7")[..], &[0x20, 2], &field(5, &[21, 21, 7]), &[0x30, 2, 0xc0, 0x3e, 1]].concat();
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.at("d/7/00000000.shard")).unwrap();
    let write = |whole: &[u8], metadata: &[u8], records: &[&[u8]]| {
        let stream: Vec<u8> = records.iter().flat_map(|data| record(data)).collect();
        let _ = scratch.file("d/dataset_spec.pb", whole);
        let _ = scratch.file("d/snapshot.metadata", metadata);
        let _ = scratch.file("d/7/00000000.shard/00000000.snapshot", &stream);
        read_all(&scratch.at("d"), None)
    };
    let records = [&ragged[..], &sparse, &text, &ragged, &sparse, &text];
    assert_eq!(write(&whole, &metadata, &records), Some(2));
    for place in 0..3 {
        changed(records[place], |bytes| {
            let mut records = records;
            records[place] = bytes;
            assert!(write(&whole, &metadata, &records).is_some_and(|found| found >= 1));
        });
    }
    changed(&whole, |bytes| {
        let _ = write(bytes, &metadata, &records);
    });
    changed(&metadata, |bytes| {
        let _ = write(&whole, bytes, &records);
    });
}

#[test]
fn an_array_record_file_of_which_a_byte_is_changed() {
    for how in [Packed::Plain, Packed::Zstd, Packed::Snappy] {
        let mut file = File::new();
        for group in [&[&b""[..], b"one", b"\x0a\x00"][..], &[b"three"], &[b"4", b"5"]] {
            file.group(group, how);
        }
        let used = file.bytes.len();
        let whole = file.close();
        let scratch = Scratch::new();
        let read = |bytes: &[u8]| read_all(&scratch.file("data", bytes), Some("array_record-raw"));
        assert_eq!(read(&whole), Some(6));
        let postscript = whole.len() - (1 << 16);
        for at in (0..used + 200).chain(postscript..postscript + 150) {
            for bits in [1, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= bits;
                assert!(read(&changed).is_none_or(|found| found <= 6), "{at}");
            }
        }
    }
}

#[test]
fn an_array_record_file_that_lies_of_its_sizes() {
    let huge = [1 << 20, 1 << 31, 1 << 40, u64::MAX];
    // A frame of Zstandard that repeats a byte, of so many blocks.
    let bomb = |blocks: usize| {
        let run = [&(128_u32 << 13 | 2).to_le_bytes()[..3], b"x"].concat();
        [&b"\x28\xb5\x2f\xfd\x00\x58"[..], &run.repeat(blocks), &[1, 0, 0]].concat()
    };
    let piece = |compression: u8, size: u64, sizes: &[u8], values: &[u8]| {
        [&[compression][..], &varint(sizes.len() as u64), sizes, &varint(size), values].concat()
    };
    let mut made = Vec::new();
    for size in huge {
        let one = [&varint(1)[..], &varint(3)].concat();
        let sized = |packed: Vec<u8>| [varint(one.len() as u64), packed].concat();
        made.push((piece(b'z', size, &sized(zstd(&one)), &bomb(600)), 1, size));
        made.push((piece(b'z', size, &[&varint(size)[..], &bomb(600)].concat(), &zstd(b"abc")), 2, 3));
        made.push((piece(b's', size, &sized(snappy(&one)), &snappy(b"abc")), 2, size));
        made.push((piece(b'b', size, b"\x02\x06", &[0x06; 9]), 2, size));
        made.push((
            piece(b'b', size, &[&varint(size)[..], &[0x5b, 0xff, 0xff, 0x07, 0x20]].concat(), &[6]),
            2,
            size,
        ));
        made.push(([&[0][..], &varint(size)].concat(), 1, 3));
        made.push(([&[0, 10][..], &varint(size), b"abc"].concat(), 1, 3));
        made.push((packed(&[b"a", b"b", b"c"], Packed::Plain), size.min(1 << 17), size));
    }
    let scratch = Scratch::new();
    for (data, records, decoded) in made {
        for kind in [b'r', b'm', b'p', b't', b'?'] {
            let mut file = File::new();
            file.group(&[b"before"], Packed::Plain);
            file.chunk(kind, &data, records, decoded);
            file.group(&[b"after"], Packed::Plain);
            let path = scratch.file("data", &file.close());
            assert!(read_all(&path, Some("array_record-raw")).is_none_or(|found| (2..6).contains(&found)));
        }
    }
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}

/// Headers of blocks and chunks that have right checksums, but lead elsewhere.
#[test]
fn an_array_record_file_whose_headers_lead_astray() {
    let mut file = File::new();
    (0..90_u8).for_each(|at| drop(file.group(&[vec![at; 3000]], Packed::Plain)));
    let whole = file.close();
    let scratch = Scratch::new();
    let read = |bytes: &[u8]| read_all(&scratch.file("data", bytes), Some("array_record-raw"));
    assert_eq!(read(&whole), Some(90));
    let lies = [0, 1, 24, 65_535, 65_536, 70_000, 1 << 40, u64::MAX / 2, u64::MAX];
    for block in [0, 65_536, 131_072] {
        for (back, on) in lies.iter().flat_map(|back| lies.map(|on| (*back, on))) {
            let around = [back, on].map(u64::to_le_bytes).concat();
            let mut changed = whole.clone();
            changed[block..block + 8].copy_from_slice(&hash(&around).to_le_bytes());
            changed[block + 8..block + 24].copy_from_slice(&around);
            // Read in order, they do not matter; where the way back is needed, they cost elements at most.
            assert_eq!(read(&changed), Some(90), "{block}: {back} {on}");
            changed[50_000] ^= 1;
            changed[64 + 3 * 3100] ^= 1;
            assert!(read(&changed).is_some_and(|found| found < 90), "{block}: {back} {on}");
        }
    }
    // The next chunk would start within this one, at the end, or nowhere.
    for (data, records) in lies.iter().flat_map(|data| lies.map(|records| (*data, records))) {
        let rest = [&data.to_le_bytes()[..], &[7; 8], &(records << 8 | 0x72).to_le_bytes(), &[3; 8]].concat();
        let mut changed = whole.clone();
        changed[64..72].copy_from_slice(&hash(&rest).to_le_bytes());
        changed[72..104].copy_from_slice(&rest);
        assert!(read(&changed).is_none_or(|found| found < 90), "{data} {records}");
    }
}

/// Rows without a byte may be as many as a header claims: nobody would live to see the last.
#[test]
fn more_empty_rows_than_can_be_gone_through() {
    let scratch = Scratch::new();
    for (descr, rows) in [("|S3", 4_444_444_444_444_444_443_u64), ("|S0", 1 << 40), ("<f4", 1 << 40)] {
        let shape = if descr == "|S0" { format!("({rows},)") } else { format!("({rows}, 0)") };
        let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = u16::try_from(dict.len()).unwrap().to_le_bytes();
        let bytes = [b"\x93NUMPY\x01\0", &length[..], dict.as_bytes()].concat();
        let error = Conversion::of([scratch.file("x.npy", &bytes)]).scan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    }
}

/// What an output says of itself is no more to be believed than the rest.
#[test]
fn a_ragged_output_of_which_a_byte_is_changed() {
    let scratch = Scratch::new();
    let elements = (0..5_i64).flat_map(|at| {
        let list = integers(&(0..at).collect::<Vec<_>>());
        record(&example(&[("x", list), ("s", strings(&[&b"ab".repeat(usize::try_from(at).unwrap())]))]))
    });
    let data = scratch.file("data", &elements.collect::<Vec<_>>());
    let output = scratch.at("out");
    Conversion::of([data]).feature("x: ragged").feature("s: ragged").convert(&output).unwrap();
    assert_eq!(read_all(&output, None), Some(5));
    for name in ["lithify.json", "x.offsets.npy", "s.offsets.npy", "x.values.npy"] {
        let whole = std::fs::read(output.join(name)).unwrap();
        changed(&whole, |bytes| {
            std::fs::write(output.join(name), bytes).unwrap();
            let _ = read_all(&output, None);
        });
        std::fs::write(output.join(name), &whole).unwrap();
    }
    assert!(largest() <= MOST_AT_ONCE, "{}", largest());
}
