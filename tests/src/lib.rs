//! What the tests share: records written byte by byte, and conversions in one call.
//!
//! Records are framed and encoded here anew, from the description of the formats, so that a mistake of the library is
//! not repeated by what it is tested with.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::{GzEncoder, ZlibEncoder};
use lithify::Result;
use lithify::convert::{Job, convert, scan_and_plan};
use lithify::error::Error;
use lithify::machine::Machine;
use lithify::plan::Io;
use lithify::plan::request::Request;
use lithify::plan::{Layout, Plan, Target};
use lithify::scan::profile::Profile;
use lithify::scan::{OnError, ScanOptions};
use lithify::source::{Choice, Options, Source};
use lithify::write::WriteOptions;
use lithify::write::manifest::Manifest;
use ndarray::ArrayD;
use ndarray_npy::{ReadNpyExt, ReadableElement};
use tempfile::TempDir;

pub mod array_record;
pub mod command;
pub mod images;
pub mod memory;
pub mod model;
pub mod sounds;
pub mod tables;
pub mod tfds;
pub mod values;

/// CRC-32C, a bit at a time turned into a table: slow and plain.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

/// The checksum that stands beside a length and beside the data.
#[must_use]
pub fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = !bytes
        .iter()
        .fold(!0_u32, |crc, byte| CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8));
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The twelve bytes before a record of this length.
#[must_use]
pub fn header(length: u64) -> Vec<u8> {
    let length = length.to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes()].concat()
}

/// A record.
#[must_use]
pub fn record(data: &[u8]) -> Vec<u8> {
    [&header(data.len() as u64)[..], data, &masked_crc(data).to_le_bytes()].concat()
}

/// A varint.
#[must_use]
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
    bytes
}

/// A field that holds bytes or a message.
#[must_use]
pub fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2)[..], &varint(bytes.len() as u64), bytes].concat()
}

/// A `Feature` of byte strings.
#[must_use]
pub fn strings(values: &[&[u8]]) -> Vec<u8> {
    field(1, &values.iter().flat_map(|value| field(1, value)).collect::<Vec<_>>())
}

/// A `Feature` of floats, packed.
#[must_use]
pub fn floats(values: &[f32]) -> Vec<u8> {
    field(2, &field(1, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()))
}

/// A `Feature` of integers, packed.
#[must_use]
pub fn integers(values: &[i64]) -> Vec<u8> {
    field(3, &field(1, &values.iter().flat_map(|value| varint(value.cast_unsigned())).collect::<Vec<_>>()))
}

/// An entry of the map of features.
#[must_use]
pub fn entry(name: &[u8], feature: &[u8]) -> Vec<u8> {
    [field(1, name), field(2, feature)].concat()
}

/// A `tf.train.Example`, with its features in this order.
#[must_use]
pub fn example(features: &[(&str, Vec<u8>)]) -> Vec<u8> {
    field(
        1,
        &features
            .iter()
            .flat_map(|(name, feature)| field(1, &entry(name.as_bytes(), feature)))
            .collect::<Vec<_>>(),
    )
}

/// A record of an Example with one integer feature `x`: 30 bytes for a value of 0 to 127.
#[must_use]
pub fn numbered(value: i64) -> Vec<u8> {
    record(&example(&[("x", integers(&[value]))]))
}

/// Bytes as one gzip member.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes as a zlib stream.
#[must_use]
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A member of a tar file, with its header.
#[must_use]
pub fn tar_member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..124].copy_from_slice(&b"0000644\0".repeat(3));
    block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend_from_slice(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

/// A directory that goes when it is dropped.
pub struct Scratch(TempDir);

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Makes a file in it, and gives its path.
    #[must_use]
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.at(name);
        // One that is written over would be brought to the disk first, on some file systems.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A text with the directory's path taken out.
    #[must_use]
    pub fn without_path(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.path().display()), "")
    }

    /// An error as text: the message, then a line for each hint. Without the directory's path.
    #[must_use]
    pub fn show(&self, error: &Error) -> String {
        let lines: Vec<_> = std::iter::once(error.to_string())
            .chain(error.hints().iter().map(|hint| format!("hint: {hint}")))
            .collect();
        self.without_path(&lines.join("\n"))
    }
}

/// A machine with so many threads and so much memory, and more disk than any test wants.
#[must_use]
pub fn machine(threads: usize, memory: u64) -> Machine {
    Machine {
        threads,
        memory,
        memory_taken: 0,
        memory_available: memory,
        memory_limit: "--memory".into(),
        disk: 1 << 50,
        disk_path: "/".into(),
        largest_file: None,
        open_files: None,
    }
}

/// A conversion, or a part of one, and what it is asked for.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// What is read.
    pub inputs: Vec<PathBuf>,
    /// The format, where it is not to be found by content.
    pub from: Option<&'static str>,
    /// What is wanted of which features, in the notation.
    pub features: Vec<String>,
    /// Which elements.
    pub choice: Choice,
    /// What is done about bad elements.
    pub on_error: OnError,
    /// Threads.
    pub threads: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// How the output is written.
    pub io: Io,
}

impl Conversion {
    /// The conversion of these inputs with two threads, in which bad elements are an error.
    #[must_use]
    pub fn of<P: Into<PathBuf>>(inputs: impl IntoIterator<Item = P>) -> Self {
        Self {
            inputs: inputs.into_iter().map(Into::into).collect(),
            from: None,
            features: Vec::new(),
            choice: Choice::default(),
            on_error: OnError::Fail,
            threads: 2,
            memory: 1 << 30,
            io: Io::default(),
        }
    }

    /// … in which bad elements are left out.
    #[must_use]
    pub fn skipping(mut self) -> Self {
        self.on_error = OnError::Skip;
        self
    }

    /// … of this format.
    #[must_use]
    pub fn from(mut self, format: &'static str) -> Self {
        self.from = Some(format);
        self
    }

    /// … of this feature.
    #[must_use]
    pub fn feature(mut self, spec: impl Into<String>) -> Self {
        self.features.push(spec.into());
        self
    }

    /// … of these splits.
    #[must_use]
    pub fn split(mut self, split: &str) -> Self {
        self.choice.split = Some(split.to_owned());
        self
    }

    /// … of elements that meet this condition.
    #[must_use]
    pub fn select(mut self, condition: &str) -> Self {
        self.choice.select.push(condition.to_owned());
        self
    }

    /// … in the random order of this seed.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.choice.shuffle = Some(seed);
        self
    }

    /// … of no more than so many elements.
    #[must_use]
    pub fn limit(mut self, elements: u64) -> Self {
        self.choice.limit = Some(elements);
        self
    }

    /// … on so many threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// … with so much memory.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// … written in this way.
    #[must_use]
    pub fn io(mut self, io: Io) -> Self {
        self.io = io;
        self
    }

    /// The machine that it runs on.
    #[must_use]
    pub fn machine(&self) -> Machine {
        machine(self.threads, self.memory)
    }

    /// What is wanted.
    ///
    /// # Errors
    /// The notation is wrong.
    pub fn request(&self) -> Result<Request> {
        Ok(Request { features: self.features.iter().map(|text| text.parse()).collect::<Result<_>>()? })
    }

    /// Opens the inputs.
    ///
    /// # Errors
    /// As the library.
    pub fn open(&self) -> Result<Box<dyn Source>> {
        let options = Options {
            choice: self.choice.clone(),
            features: self.request()?.names(),
            ..self.machine().source_options()
        };
        lithify::open(&self.inputs, self.from, &options)
    }

    /// Opens and scans.
    ///
    /// # Errors
    /// As the library.
    pub fn scan(&self) -> Result<Profile> {
        let request = self.request()?;
        lithify::scan(
            self.open()?.as_ref(),
            &ScanOptions {
                request: &request,
                on_error: self.on_error,
                threads: self.threads,
                largest_payload: self.machine().largest_record(),
                excluded: &[],
                progress: &(),
            },
        )
    }

    /// Calls `then` with everything that a conversion to `output` needs.
    fn job<R>(&self, output: &Path, then: impl FnOnce(&dyn Source, &Job<'_>) -> Result<R>) -> Result<R> {
        let source = self.open()?;
        self.job_of(output, |job| then(source.as_ref(), job))
    }

    /// Calls `then` with everything that a conversion to `output` needs but for what is read.
    ///
    /// # Errors
    /// What `then` says.
    pub fn job_of<R>(&self, output: &Path, then: impl FnOnce(&Job<'_>) -> Result<R>) -> Result<R> {
        let request = self.request()?;
        let layout = Layout::of(output);
        let target = Target { output: output.to_path_buf(), layout, on_error: self.on_error, io: self.io };
        let writing = WriteOptions { overwrite: false, restart: false, durable: None, progress: &() };
        then(&Job { request: &request, target: &target, machine: &self.machine(), writing: &writing })
    }

    /// Opens, scans and plans.
    ///
    /// # Errors
    /// As the library.
    pub fn plan(&self, output: &Path) -> Result<(Profile, Plan)> {
        self.job(output, |source, job| scan_and_plan(source, job, &[]))
    }

    /// Opens, scans, plans and writes.
    ///
    /// # Errors
    /// As the library.
    pub fn convert(&self, output: &Path) -> Result<Manifest> {
        self.job(output, convert)
    }
}

/// Reads an array with a reader that is not the library's.
#[must_use]
pub fn read_npy<T: ReadableElement>(path: &Path) -> ArrayD<T> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("cannot open {}: {e}", path.display()));
    ArrayD::read_npy(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The data of an array whose dtype the other reader does not know, after a header that is checked for `descr` and
/// `shape`.
#[must_use]
pub fn read_npy_bytes(path: &Path, descr: &str, shape: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    let wanted = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    assert_eq!(header.trim_end(), wanted, "the header of {}", path.display());
    bytes[10 + length..].to_vec()
}

/// The files below a directory, hidden ones too, by path from there and with their bytes, sorted.
#[must_use]
pub fn files_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                waiting.push(entry);
            } else {
                found.push((
                    entry.strip_prefix(directory).unwrap().to_path_buf(),
                    std::fs::read(&entry).unwrap(),
                ));
            }
        }
    }
    found.sort();
    found
}
