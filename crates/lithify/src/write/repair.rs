//! What has changed of an output, written anew from the dataset: only the blocks that it takes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::manifest::{ArrayRecord, Manifest, directory_of};
use super::publish::keep_permissions;
use super::staging::Staging;
use super::unfinished::Left;
use super::verify::{Cure, Difference, slab_of, slab_rows, verify};
use super::{Attempt, Notes, fill_blocks};
use crate::error::{Error, ErrorKind, Result, printable};
use crate::plan::{Io, Layout, Plan};
use crate::progress::Progress;
use crate::source::Source;
use crate::store::npy::{self, ChecksumStore};
use crate::store::{self, Opening, Region, Store};

/// Makes an output what it was, as far as the dataset can say: gives what was not, and of that what still is not.
///
/// The plan is the one by which it was written: see [`plan_again`](crate::convert::plan_again).
///
/// # Errors
/// What was written is not known any more, the dataset gives something else, or reading or writing fails.
pub fn repair(
    output: &Path,
    source: &dyn Source,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<(Vec<Difference>, Vec<Difference>)> {
    // The lock is beside what a link leads to, and `.` has a name. What is missing has its own.
    let real = fs::canonicalize(output);
    let output = real.as_deref().unwrap_or(output);
    let staging = Staging::lock(output)?;
    if Left::look(&staging)?.is_some() {
        let message = format!("beside `{}` is what a run that was ended has left", printable(output));
        return Err(Error::new(ErrorKind::Output, message).hint("go on with that run first"));
    }
    staging.clear()?;
    if !Manifest::is_as_written(output)? {
        let message = format!(
            "the `lithify.json` of `{}` has changed, so that nobody knows what was written",
            printable(output)
        );
        return Err(
            Error::new(ErrorKind::Output, message).hint("convert the dataset anew, with `--overwrite`")
        );
    }
    let manifest = Manifest::read(output)?;
    let damaged = verify(output, plan.threads, progress)?;
    if damaged.iter().all(|one| one.cure == Cure::None) {
        return Ok((damaged.clone(), damaged));
    }
    let repair = Repair::new(output, source, plan, &manifest, &damaged, progress)?;
    // Nothing is touched before the dataset is known to give what was written.
    repair.derive(&ChecksumStore::new(&plan.arrays))?;
    if manifest.layout.is_zarr() { repair.files(&staging) } else { repair.rows() }?;
    super::journal::sync_all(&directory_of(output))?;
    let left = verify(output, plan.threads, progress)?;
    Ok((damaged, left))
}

/// What there is to do of an output.
struct Repair<'a> {
    directory: PathBuf,
    source: &'a dyn Source,
    plan: &'a Plan,
    manifest: &'a Manifest,
    damaged: &'a [Difference],
    /// The blocks that it takes.
    blocks: BTreeSet<u64>,
    progress: &'a dyn Progress,
}

impl<'a> Repair<'a> {
    fn new(
        output: &Path,
        source: &'a dyn Source,
        plan: &'a Plan,
        manifest: &'a Manifest,
        damaged: &'a [Difference],
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let planned = plan.arrays.iter().map(|array| plan.layout.path_of(&array.name));
        if !planned.eq(manifest.arrays.iter().map(|array| array.file.clone())) {
            return Err(changed("the arrays"));
        }
        let mut blocks = BTreeSet::new();
        for one in damaged {
            match &one.cure {
                Cure::Blocks(those) => blocks.extend(those),
                Cure::File => blocks.extend(blocks_of(&one.file, manifest, plan)),
                Cure::None => {}
            }
        }
        Ok(Self { directory: directory_of(output), source, plan, manifest, damaged, blocks, progress })
    }

    /// Fills the blocks from the dataset, which must come out as they were written.
    fn derive(&self, store: &dyn Store) -> Result<()> {
        self.progress.begin("derive", 0);
        let notes = Notes::but(self.plan, &self.blocks);
        let filled = fill_blocks(self.source, self.plan, store, self.progress, notes, None);
        self.progress.end();
        let Attempt { notes, bad } = filled?;
        for (array, (record, notes)) in
            self.plan.arrays.iter().zip(self.manifest.arrays.iter().zip(&notes.arrays))
        {
            let same = |number: &u64| {
                let number = usize::try_from(*number).unwrap_or(usize::MAX);
                record.blocks.get(number) == notes.get(number)
            };
            if !bad.is_empty() || !self.blocks.iter().all(same) {
                return Err(changed(&format!("the rows of `{}`", array.name)));
            }
        }
        Ok(())
    }

    fn is_damaged(&self, array: &ArrayRecord) -> bool {
        self.damaged.iter().any(|one| one.file == array.file)
    }

    /// Writes rows in place, of the arrays that are damaged.
    fn rows(&self) -> Result<()> {
        for array in self.manifest.arrays.iter().filter(|array| self.is_damaged(array)) {
            let path = self.directory.join(&array.file);
            let bytes = npy::header(array.dtype, &array.shape).len() as u64
                + array.blocks.iter().map(|block| block.0).sum::<u64>();
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
            }
            if path.is_symlink() {
                let message = "it is a symbolic link, and was none when it was written";
                return Err(Error::new(ErrorKind::Output, message).in_file(&path).hint("remove it"));
            }
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(|e| Error::io("open", &path, e))?;
            file.set_len(bytes).map_err(|e| Error::io("set the size of", &path, e))?;
        }
        let damaged = self.manifest.arrays.iter().map(|array| self.is_damaged(array)).collect::<Vec<_>>();
        let of_damaged = self.plan.arrays.iter().zip(&damaged).filter(|one| *one.1).map(|one| one.0.clone());
        let of_damaged: Vec<_> = of_damaged.collect();
        let how = (Layout::NpyDirectory, Io::Pwrite);
        let store = store::open(&self.directory, &self.directory, how, &of_damaged, Opening::Again)?;
        let others = ChecksumStore::new(&self.plan.arrays);
        self.derive(&Damaged { which: damaged, store: store.as_ref(), others })
    }

    /// Makes files anew, and puts them where they belong.
    fn files(&self, staging: &Staging) -> Result<()> {
        staging.create()?;
        let made = staging.output();
        let how = (self.plan.layout, self.plan.io);
        let store = store::open(&made, &staging.slabs(), how, &self.plan.arrays, Opening::New)?;
        self.derive(store.as_ref())?;
        for one in self.damaged.iter().filter(|one| one.cure == Cure::File) {
            let (from, to) = (made.join(&one.file), self.directory.join(&one.file));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
            }
            if let Ok(before) = fs::symlink_metadata(&to) {
                keep_permissions(&before, &from);
            }
            fs::rename(&from, &to).map_err(|e| Error::io("rename to", &to, e))?;
        }
        Ok(())
    }
}

/// A store of the arrays that are damaged. Of the others, nothing is written.
struct Damaged<'a> {
    which: Vec<bool>,
    store: &'a dyn Store,
    others: ChecksumStore,
}

impl Store for Damaged<'_> {
    fn region(&self, array: usize, offset: u64, expected: u64) -> Result<Box<dyn Region + '_>> {
        if !self.which[array] {
            return self.others.region(array, offset, expected);
        }
        let number = self.which[..array].iter().filter(|damaged| **damaged).count();
        self.store.region(number, offset, expected)
    }
}

fn changed(what: &str) -> Error {
    Error::input(format!("the dataset does not give {what} any more that were written"))
        .hint("convert it anew, with `--overwrite`")
}

/// The blocks that have a part in a file of a Zarr store; none of a document.
fn blocks_of(file: &Path, manifest: &Manifest, plan: &Plan) -> Vec<u64> {
    let Some((number, slab)) = slab_of(file, manifest) else { return Vec::new() };
    let array = &manifest.arrays[number];
    let bytes = slab_rows(array).saturating_mul(plan.arrays[number].row_bytes());
    let start = slab.saturating_mul(bytes);
    let wanted = start..start.saturating_add(bytes);
    let mut at = 0;
    let overlaps = |(block, note): (usize, &super::Note)| {
        let here = at..at + note.0;
        at = here.end;
        (here.start < wanted.end && wanted.start < here.end).then_some(block as u64)
    };
    array.blocks.iter().enumerate().filter_map(overlaps).collect()
}
