//! Any bytes as an ArrayRecord file, whose headers of blocks and chunks have right checksums, which are hard to guess: it is
//! read, sought in and scanned.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lithify::source::array_record::hash;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| lithify_fuzz::place("array_record"));

const BLOCK: usize = 1 << 16;

/// Adds a chunk without its end, which may be wrong: a kind and how many records it says it has, then its data.
fn push_chunk(file: &mut Vec<u8>, kind: u8, records: u64, decoded: u64, data: &[u8]) {
    let rest = [
        &(data.len() as u64).to_le_bytes()[..],
        &hash(data).to_le_bytes(),
        &(records << 8 | u64::from(kind)).to_le_bytes(),
        &decoded.to_le_bytes(),
    ]
    .concat();
    file.extend(hash(&rest).to_le_bytes());
    file.extend(rest);
    file.extend(data);
}

fn push_block_header(file: &mut Vec<u8>, back: u64, on: u64) {
    let around = [back, on].map(u64::to_le_bytes).concat();
    file.extend(hash(&around).to_le_bytes());
    file.extend(around);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let mut file = Vec::new();
    push_block_header(&mut file, 0, 64);
    push_chunk(&mut file, b's', 0, 0, &[]);
    while let [kind, records, decoded, size, after @ ..] = rest {
        let (data, after) = after.split_at(usize::from(*size).min(after.len()));
        rest = after;
        if file.len() + 300 > BLOCK {
            break;
        }
        let kind = [b'r', b'r', b'r', b'p', b'm', b't', *kind][usize::from(kind % 7)];
        push_chunk(&mut file, kind, u64::from(*records), u64::from(*decoded) << (records % 9), data);
        let start = file.len() - 40 - data.len();
        file.resize(file.len().max(start + usize::from(*records)), 0);
    }
    let end = file.len() as u64;
    file.resize(BLOCK, 0);
    if first & 1 == 1 {
        let lie = u64::from(*first) << (first & 31);
        push_block_header(&mut file, lie, lie);
    }
    file.resize(2 * BLOCK, 0);
    let mut postscript = vec![0, 1, 16, 8];
    postscript.extend([end as u8 | 0x80, (end >> 7) as u8 | 0x80, (end >> 14) as u8 | 0x80, 0x80, 0]);
    postscript.extend(b"\x10\xde\xc0\xeb\xfe\x84\xce\xc3\xc9\x71");
    push_block_header(&mut file, 0, BLOCK as u64);
    push_chunk(&mut file, b'r', 1, 16, &postscript);
    file.resize(3 * BLOCK, 0);
    if std::fs::write(&*FILE, &file).is_err() {
        return;
    }
    lithify_fuzz::walk(&FILE, Some("array_record-raw"));
});
