//! `lithify.json`: what was read, what was written, and how to tell whether it still is what it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Note;
use super::journal::is_below;
use crate::error::{Error, ErrorKind, Result, printable};
use crate::machine::peak_memory;
use crate::plan::request::Request;
use crate::plan::{Fit, Io, Layout, Plan, ZarrArray};
use crate::scan::OnError;
use crate::scan::profile::Skipped;
use crate::source::{Choice, Part, read_wrong};
use crate::store::files::FileRecord;
use crate::store::{Checksum, Hasher, Stored};
use crate::value::DType;

/// The name of the file in an output directory.
pub const NAME: &str = crate::plan::MANIFEST;
/// The version of its form.
const VERSION: u32 = 1;

/// What stands in `lithify.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub version: u32,
    /// The program that wrote it.
    pub written_by: String,
    /// The format of the dataset.
    pub format: String,
    /// The files that were read.
    pub parts: Vec<Part>,
    /// Which elements of the dataset they are.
    #[serde(flatten)]
    pub choice: Choice,
    /// The names of what numbers stand for, in the order of the numbers, by feature.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub classes: BTreeMap<String, Vec<String>>,
    /// Samples a second, of features that are sounds of one rate.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub rates: BTreeMap<String, u64>,
    /// The number of elements.
    pub elements: u64,
    /// What was asked for.
    pub request: Request,
    /// What was done about bad elements.
    pub on_error: OnError,
    /// The elements that were left out.
    pub skipped: Vec<Skipped>,
    /// Elements of a block.
    pub block_rows: u64,
    /// How the arrays are kept.
    #[serde(default)]
    pub layout: Layout,
    /// The arrays.
    pub arrays: Vec<ArrayRecord>,
    /// The files of a Zarr store, in the order of their paths.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<FileRecord>,
    /// How the run went: the only part that differs from run to run.
    pub run: Run,
    /// The checksum of the file, in which zeros stand for this. It is the last that stands there.
    pub checksum: Checksum,
}

/// What stands in the file of a manifest after its checksum.
const AFTER_CHECKSUM: &str = "\"\n}";

/// An array of the output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArrayRecord {
    /// Its file, or the directory of a Zarr array, from the directory of `lithify.json`.
    pub file: PathBuf,
    /// The feature that it is of.
    pub feature: String,
    /// What of the feature it holds.
    pub role: crate::plan::Role,
    /// What it holds.
    pub dtype: DType,
    /// Its shape.
    pub shape: Vec<u64>,
    /// How elements were made to fill it.
    pub fit: Fit,
    /// What else it is in a Zarr store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zarr: Option<Box<ZarrArray>>,
    /// The checksum of the header of a `.npy` file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub header: Option<Checksum>,
    /// The bytes and checksum of each block.
    pub blocks: Vec<Note>,
}

/// How a run went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// How long pass 2 took.
    pub seconds: f64,
    /// Threads that worked.
    pub threads: usize,
    /// How blocks reached the disk.
    pub io: Io,
    /// Bytes of memory that the plan meant to take.
    pub planned_memory: u64,
    /// The most bytes of memory that the process has held.
    pub peak_memory: Option<u64>,
    /// Records that the process read wrong at first, and then as they are on the disk.
    #[serde(default)]
    pub read_wrong: u64,
    /// The plan by whose tasks it was written, if there were any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<Checksum>,
}

impl Run {
    /// How a run went of which this process did all, but for the time that it took.
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            seconds: 0.0,
            threads: plan.threads,
            io: plan.io,
            planned_memory: plan.memory.at(plan.threads),
            peak_memory: peak_memory(),
            read_wrong: read_wrong(),
            plan: None,
        }
    }
}

impl Manifest {
    pub(super) fn of(plan: &Plan, blocks: Vec<Vec<Note>>, stored: Stored, run: Run) -> Self {
        let arrays = plan.arrays.iter().zip(blocks).enumerate().map(|(number, (array, blocks))| {
            let feature = &plan.features[array.feature];
            ArrayRecord {
                file: plan.layout.path_of(&array.name),
                feature: feature.feature.clone(),
                role: array.role,
                dtype: array.dtype,
                shape: array.shape.clone(),
                fit: feature.fit.clone(),
                zarr: array.zarr.clone(),
                header: stored.headers.get(number).copied(),
                blocks,
            }
        });
        Self {
            version: VERSION,
            written_by: format!("lithify {}", env!("CARGO_PKG_VERSION")),
            format: plan.format.clone(),
            parts: plan.parts.clone(),
            choice: plan.choice.clone(),
            classes: plan.classes.clone(),
            rates: plan.rates.clone(),
            elements: plan.elements,
            request: plan.request.clone(),
            on_error: plan.on_error,
            skipped: plan.skipped.clone(),
            block_rows: plan.block_rows,
            layout: plan.layout,
            arrays: arrays.collect(),
            files: stored.files,
            run,
            checksum: Checksum(0),
        }
    }

    /// Writes it to a file, with its checksum.
    pub(super) fn write(&mut self, path: &Path) -> Result<()> {
        let failed = |e: std::io::Error| Error::io("write", path, e);
        // It grows with the blocks, and so is not held in memory as text.
        let mut file = Hashing {
            file: BufWriter::new(File::create(path).map_err(failed)?),
            hasher: Hasher::new(),
            bytes: 0,
        };
        self.checksum = Checksum(0);
        serde_json::to_writer_pretty(&mut file, self).map_err(|e| failed(e.into()))?;
        file.flush().map_err(failed)?;
        self.checksum = file.hasher.finish();
        let text = String::from(self.checksum);
        let at = file.bytes - (AFTER_CHECKSUM.len() + text.len()) as u64;
        file.file.get_ref().write_all_at(text.as_bytes(), at).map_err(failed)
    }

    /// Whether the file of a manifest still is what was written.
    pub(super) fn is_as_written(output: &Path) -> Result<bool> {
        let path = path_for(output);
        let mut text = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let digits = String::from(Checksum(0)).len();
        let Some(at) = text.len().checked_sub(AFTER_CHECKSUM.len() + digits) else { return Ok(false) };
        let there = String::from_utf8_lossy(&text[at..at + digits]).into_owned();
        text[at..at + digits].fill(b'0');
        Ok(String::from(Checksum::of(&text)) == there)
    }

    /// The files that hold the output, from the directory of `lithify.json`, which is none of them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let arrays = self.arrays.iter().filter(|_| !self.layout.is_zarr()).map(|array| array.file.as_path());
        arrays.chain(self.files.iter().map(|file| file.path.as_path()))
    }

    /// Bytes of all arrays.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.arrays.iter().flat_map(|array| &array.blocks).map(|block| block.0).sum()
    }

    /// Bytes of the files of a Zarr store.
    #[must_use]
    pub fn stored_bytes(&self) -> Option<u64> {
        self.layout.is_zarr().then(|| self.files.iter().map(|file| file.bytes).sum())
    }

    /// Reads the manifest of an output: a directory, or one `.npy` file with its manifest beside it.
    ///
    /// # Errors
    /// There is none, or it cannot be understood.
    pub fn read(output: &Path) -> Result<Self> {
        let path = path_for(output);
        let text = std::fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound if !output.exists() => {
                let error = Error::request(format!("there is no `{}`", printable(output)));
                if super::Staging::of(output).exists() {
                    return error.hint(
                        "it was begun, and is not complete: the command that makes it goes on with it",
                    );
                }
                error
            }
            std::io::ErrorKind::NotFound => {
                let error = Error::request(format!(
                    "`{}` is no output of lithify: there is no `{}`",
                    printable(output),
                    printable(&path)
                ));
                match output.ancestors().skip(1).find(|above| above.join(NAME).is_file()) {
                    Some(above) => error.hint(format!("it belongs to `{}`: name that", printable(above))),
                    None => error,
                }
            }
            _ => Error::io("read", &path, e),
        })?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::input(format!("it cannot be understood: {e}")).in_file(&path))?;
        if manifest.version != VERSION {
            return Err(Error::input(format!(
                "it is of version {}, and this program knows {VERSION}",
                manifest.version
            ))
            .in_file(&path));
        }
        if let Some(file) = manifest.files().find(|file| !is_below(file)) {
            return Err(Error::input(format!(
                "it names `{}`, which lies outside of the output",
                file.display()
            ))
            .in_file(&path));
        }
        // One that was renamed, or copied, names files of another output.
        if manifest.layout == Layout::NpyFile
            && let Some(name) = output.file_name()
            && !manifest.arrays.iter().any(|array| array.file == Path::new(name))
        {
            let names = manifest.arrays.iter().map(|array| format!("`{}`", array.file.display()));
            return Err(Error::new(
                ErrorKind::Output,
                format!(
                    "it is of {}, and not of `{}`",
                    names.collect::<Vec<_>>().join(", "),
                    printable(output)
                ),
            )
            .in_file(&path)
            .hint("give the files their names again"));
        }
        let blocks = manifest.elements.checked_div(manifest.block_rows.max(1)).unwrap_or_default();
        let sound = |array: &ArrayRecord| {
            let sizes = array.blocks.iter().try_fold(0_u64, |sum, block| sum.checked_add(block.0));
            (blocks..=blocks + 1).contains(&(array.blocks.len() as u64))
                && sizes.is_some_and(|sum| sum < 1 << 60)
        };
        if manifest.block_rows == 0 || !manifest.arrays.iter().all(sound) {
            return Err(Error::input("what it says of blocks does not hold together").in_file(&path));
        }
        Ok(manifest)
    }
}

/// A file of which a checksum is made as it is written.
struct Hashing {
    file: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Where the manifest of an output is.
#[must_use]
pub fn path_for(output: &Path) -> PathBuf {
    if output.is_dir() { output.join(NAME) } else { output.with_extension(NAME) }
}

/// The directory that the files of an output are in.
#[must_use]
pub fn directory_of(output: &Path) -> PathBuf {
    if output.is_dir() {
        output.to_path_buf()
    } else {
        output.parent().unwrap_or(Path::new("")).to_path_buf()
    }
}
