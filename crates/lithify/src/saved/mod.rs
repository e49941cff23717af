//! Plans and profiles in files, of which a task reads no more than it needs: what is small in one piece, and long lists in pages.
//!
//! ```text
//! page… │ contents (JSON: where each page is, its checksum, and what its list begins with there) │ tail
//! tail: u64 where the contents begin │ u64 their checksum │ "lithify\x01"
//! ```
//! The checksum of the contents, which hold those of all pages, is that of the whole file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::source::Part;
use crate::store::Checksum;

mod plan;
mod profile;

pub use plan::SavedPlan;
pub use profile::{SavedProfile, save_profile};

const MAGIC: &[u8; 8] = b"lithify\x01";
const TAIL_BYTES: usize = 24;
/// Items of a page, about: a page is some tens of kilobytes, which is what a disk reads at once anyway.
const PAGE_ITEMS: usize = 1024;

/// What is in a file.
#[derive(Serialize, Deserialize)]
struct Contents {
    /// What it is: a plan, or a profile.
    kind: String,
    head: Page,
    lists: BTreeMap<String, Vec<Page>>,
}

/// A piece of a list.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Page {
    /// What tells the first of its items from those before.
    key: u64,
    at: u64,
    bytes: u64,
    checksum: Checksum,
}

/// A file that is being written: it gets its name when it is complete.
struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    /// Its name until then.
    unfinished: PathBuf,
    at: u64,
    lists: BTreeMap<String, Vec<Page>>,
}

impl Writer {
    fn create(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = path.with_file_name(format!(".{name}.{}", crate::unique::name()));
        let file = File::create(&unfinished).map_err(|e| Error::io("create", path, e))?;
        let (file, path) = (BufWriter::new(file), path.to_path_buf());
        Ok(Self { file, path, unfinished, at: 0, lists: BTreeMap::new() })
    }

    fn page(&mut self, key: u64, bytes: &[u8]) -> Result<Page> {
        let page = Page { key, at: self.at, bytes: bytes.len() as u64, checksum: Checksum::of(bytes) };
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.at += page.bytes;
        Ok(page)
    }

    /// Adds a list, the keys of whose items rise.
    fn list<T: Serialize>(&mut self, name: &str, items: &[T], key: impl Fn(usize, &T) -> u64) -> Result<()> {
        let mut pages = Vec::new();
        for (number, page) in items.chunks(PAGE_ITEMS).enumerate() {
            let json = self.json(&page)?;
            pages.push(self.page(key(number * PAGE_ITEMS, &page[0]), &json)?);
        }
        self.lists.insert(name.to_owned(), pages);
        Ok(())
    }

    /// Adds a list of rows of so many numbers, of which the first is the key.
    fn table(&mut self, name: &str, numbers: &[u64], width: usize) -> Result<()> {
        let mut pages = Vec::new();
        for page in numbers.chunks(PAGE_ITEMS * width) {
            let bytes: Vec<u8> = page.iter().flat_map(|number| number.to_le_bytes()).collect();
            pages.push(self.page(page[0], &bytes)?);
        }
        self.lists.insert(name.to_owned(), pages);
        Ok(())
    }

    fn json<T: Serialize>(&self, value: &T) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|e| Error::io("write", &self.path, e.into()))
    }

    /// Completes the file, which does not have its name yet; tells its checksum.
    fn finish<T: Serialize>(mut self, kind: &str, head: &T) -> Result<Unnamed> {
        let json = self.json(head)?;
        let head = self.page(0, &json)?;
        let lists = std::mem::take(&mut self.lists);
        let contents = self.json(&Contents { kind: kind.to_owned(), head, lists })?;
        let (at, id) = (self.at, Checksum::of(&contents));
        let tail = [&at.to_le_bytes()[..], &id.0.to_le_bytes(), MAGIC].concat();
        let written = self.file.write_all(&contents).and_then(|()| self.file.write_all(&tail));
        let written = written.and_then(|()| self.file.flush()).and_then(|()| self.file.get_ref().sync_all());
        written.map_err(|e| Error::io("write", &self.path, e))?;
        Ok(Unnamed { path: std::mem::take(&mut self.path), unfinished: self.unfinished.clone(), id })
    }
}

/// A file that is complete, and waits for its name.
pub struct Unnamed {
    path: PathBuf,
    unfinished: PathBuf,
    /// The checksum of the file.
    pub id: Checksum,
}

impl Unnamed {
    /// Gives it its name, in the place of what had it before.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn publish(self) -> Result<()> {
        fs::rename(&self.unfinished, &self.path).map_err(|e| Error::io("rename to", &self.path, e))
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // There is none any more, if it has its name.
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// A file that is read.
struct Reader {
    file: File,
    path: PathBuf,
    contents: Contents,
    id: Checksum,
}

impl Reader {
    fn open(path: &Path, kind: &str) -> Result<Self> {
        let failed = |e| Error::io("read", path, e);
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let bytes = file.metadata().map_err(failed)?.len();
        let other = || Error::input(format!("it is no {kind} of this version of lithify")).in_file(path);
        let mut tail = [0; TAIL_BYTES];
        let end = bytes.checked_sub(TAIL_BYTES as u64).ok_or_else(other)?;
        file.read_exact_at(&mut tail, end).map_err(failed)?;
        let number = |at: usize| u64::from_le_bytes(tail[at..at + 8].try_into().unwrap_or_default());
        if tail[16..] != *MAGIC {
            return Err(other());
        }
        let (at, id) = (number(0), Checksum(number(8)));
        let length = end.checked_sub(at).ok_or_else(other)?;
        let page = Page { key: 0, at, bytes: length, checksum: id };
        let text = read(&file, path, &page)?;
        let contents: Contents = serde_json::from_slice(&text).map_err(|_| other())?;
        if contents.kind != kind {
            return Err(Error::request(format!("it is a {}, and no {kind}", contents.kind)).in_file(path));
        }
        Ok(Self { file, path: path.to_path_buf(), contents, id })
    }

    fn head<T: DeserializeOwned>(&self) -> Result<T> {
        self.parse(&self.contents.head)
    }

    fn parse<T: DeserializeOwned>(&self, page: &Page) -> Result<T> {
        let text = read(&self.file, &self.path, page)?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::input(format!("it cannot be understood: {e}")).in_file(&self.path))
    }

    fn pages(&self, list: &str) -> &[Page] {
        self.contents.lists.get(list).map_or(&[], Vec::as_slice)
    }

    /// The items of a list from one key to another, and some before and after, as pages have them; and the key of the first.
    fn items<T: DeserializeOwned>(&self, list: &str, from: u64, to: u64) -> Result<(u64, Vec<T>)> {
        let pages = self.pages(list);
        // Several pages may begin with the same key.
        let first = pages.partition_point(|page| page.key < from).saturating_sub(1);
        let end = pages.partition_point(|page| page.key < to).max(first);
        let mut items = Vec::new();
        for page in &pages[first..end] {
            items.extend(self.parse::<Vec<T>>(page)?);
        }
        Ok((pages.get(first).map_or(0, |page| page.key), items))
    }

    /// The rows of a table from the last whose key is no larger than `from`, up to the first whose is no smaller than `to`, with it.
    fn rows(&self, table: &str, width: usize, from: u64, to: u64) -> Result<Vec<u64>> {
        let pages = self.pages(table);
        let first = pages.partition_point(|page| page.key <= from).saturating_sub(1);
        let last = (pages.partition_point(|page| page.key < to) + 1).min(pages.len());
        let mut numbers = Vec::new();
        for page in &pages[first..last.max(first)] {
            let bytes = read(&self.file, &self.path, page)?;
            numbers.extend(bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)));
        }
        let keys: Vec<u64> = numbers.iter().step_by(width).copied().collect();
        let first = keys.partition_point(|key| *key <= from).saturating_sub(1);
        let last = (keys.partition_point(|key| *key < to) + 1).min(numbers.len() / width);
        Ok(numbers.get(first * width..last * width).map(<[u64]>::to_vec).unwrap_or_default())
    }
}

fn read(file: &File, path: &Path, page: &Page) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let damaged = || Error::input("it is damaged").in_file(path).at_byte(page.at).hint("make it anew");
    let there = file.metadata().map_err(failed)?.len();
    if page.at.checked_add(page.bytes).is_none_or(|end| end > there) {
        return Err(damaged());
    }
    let mut bytes = vec![0; usize::try_from(page.bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, page.at).map_err(failed)?;
    if Checksum::of(&bytes) != page.checksum {
        return Err(damaged());
    }
    Ok(bytes)
}

/// The key of what is found by its number.
fn numbered(number: usize, _: &Part) -> u64 {
    number as u64
}
