//! Folders of files of images or of sounds: `class/…/name.jpg` gives the features `image`, `label` and `name`, a flat folder
//! `image` and `name`; of sounds it is `audio`. What is something else, by its name or else by its first bytes, is passed over. Labels
//! are the numbers of the classes in the order of their names.
//!
//! A folder is one part. Positions in it count the bytes of the files before, and one more for each, so that no two files
//! share one: what is cut into spans of bytes elsewhere is cut at files here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::probe::{Evidence, has_ending, head_of, is_sidecar, names_in, shown_in};
use super::{Elements, Format, Options, Part, Source, Verdict, Want};
use crate::audio::Depth;
use crate::decode::{Decode, View};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{DType, Element, Field, Form, Kind};

/// What files hold.
struct Medium {
    /// What one is.
    what: &'static str,
    endings: &'static [&'static str],
    /// The names of the features, one after another: the first two have five letters.
    names: &'static [u8],
    /// Whether these are the first bytes of one.
    begins: fn(&[u8]) -> bool,
    /// Whether these first bytes, of so many, tell its size.
    is_head: fn(&[u8], u64) -> bool,
    /// What becomes of all of them; where it is nothing, what they are found to be decides.
    decode: Option<Decode>,
}

/// Where the name of the feature stands that holds a file.
const FILE: Range<usize> = 0..5;

const IMAGES: Medium = Medium {
    what: "image",
    endings: &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"],
    names: b"imagelabelname",
    begins: |head| crate::image::Format::of(head).is_some(),
    is_head: |head, _| crate::image::is_head(head),
    decode: None,
};

const SOUNDS: Medium = Medium {
    what: "sound",
    endings: &["wav", "flac"],
    names: b"audiolabelname",
    begins: |head| crate::audio::Format::of(head).is_some(),
    is_head: crate::audio::is_head,
    decode: Some(Decode::Audio { depth: Depth::Float32, mono: false }),
};

/// Bytes of a file that are read where its head is wanted. A photograph's sizes come after its Exif data and the small
/// picture in them, which take less.
const HEAD_BYTES: u64 = 64 << 10;

impl Medium {
    /// The name of the feature that holds a file.
    fn feature(&self) -> &str {
        std::str::from_utf8(&self.names[FILE]).unwrap_or_default()
    }

    /// Whether a file of this name and beginning is one.
    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        let is_one = (self.begins)(seen.head) && has_ending(seen.path, self.endings);
        if is_one { Verdict::Yes } else { Verdict::No }
    }

    /// Whether a file is one by its first bytes.
    fn begins(&self, path: &Path) -> bool {
        head_of(path).is_ok_and(|head| (self.begins)(&head))
    }

    /// Whether a directory holds such files, or one in it does.
    fn takes(&self, directory: &Path) -> bool {
        // One bad file must not hide what the others are.
        let holds = |directory: &Path| {
            let named = shown_in(directory).filter(|path| has_ending(path, self.endings));
            named.take(LOOKS).any(|path| self.begins(&path))
        };
        holds(directory) || shown_in(directory).filter(|path| path.is_dir()).any(|path| holds(&path))
    }
}

/// Folders of image files, and image files by themselves.
pub struct ImageFolder;

/// Folders of sound files, and sound files by themselves.
pub struct AudioFolder;

impl Format for AudioFolder {
    fn name(&self) -> &'static str {
        "audio-folder"
    }

    fn about(&self) -> &'static str {
        "folders of WAV and FLAC files, a class each or flat"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        SOUNDS.probe(seen)
    }

    fn takes(&self, directory: &Path) -> bool {
        SOUNDS.takes(directory)
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(Files::open(&SOUNDS, self.name(), &parts, options)?))
    }
}

impl Format for ImageFolder {
    fn name(&self) -> &'static str {
        "image-folder"
    }

    fn about(&self) -> &'static str {
        "folders of image files, a class each or flat"
    }

    fn probe(&self, seen: &Evidence<'_>) -> Verdict {
        IMAGES.probe(seen)
    }

    fn takes(&self, directory: &Path) -> bool {
        IMAGES.takes(directory)
    }

    fn open(&self, parts: Vec<Part>, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(Files::open(&IMAGES, self.name(), &parts, options)?))
    }
}

/// Files that are looked at to tell what a folder holds.
const LOOKS: usize = 64;

/// The files of a folder, in the order of their paths.
#[derive(Default)]
struct Folder {
    /// Their paths from the folder, one after another; nothing, if it is a file itself.
    names: Vec<u8>,
    files: Vec<Listed>,
    /// The names of the folders in it that hold some, sorted.
    classes: Vec<Vec<u8>>,
    /// Bytes of all files, and one for each.
    end: u64,
    changed_ns: u64,
}

struct Listed {
    /// Where its path ends.
    name_end: usize,
    position: u64,
    class: Option<u32>,
}

impl Folder {
    fn list(medium: &Medium, root: &Path) -> Result<Self> {
        let mut folder = Self::default();
        if root.is_dir() {
            folder.walk(medium, root, &mut Vec::new(), None, &mut Vec::new())?;
        } else {
            folder.add(root, &[], None)?;
        }
        if folder.files.is_empty() {
            let message = format!("there are no {} files in it", medium.what);
            return Err(Error::input(message).in_file(root));
        }
        Ok(folder)
    }

    /// Adds the files of a directory, sorted by name, with those of the directories in it where they stand.
    fn walk(
        &mut self,
        medium: &Medium,
        directory: &Path,
        path: &mut Vec<u8>,
        class: Option<u32>,
        above: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let here = std::fs::metadata(directory).map_err(|e| Error::io("open", directory, e))?;
        let here = (here.dev(), here.ino());
        if above.contains(&here) {
            return Err(Error::input("it leads back to a directory that it is in")
                .in_file(directory)
                .hint("remove the link"));
        }
        above.push(here);
        for name in names_in(directory)? {
            let (full, length) = (directory.join(&name), path.len());
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            if full.is_dir() {
                let top = length == 0;
                let number = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
                let before = self.files.len();
                self.walk(medium, &full, path, if top { Some(number) } else { class }, above)?;
                if top && self.files.len() > before {
                    self.classes.push(name.as_bytes().to_vec());
                }
            } else if has_ending(&full, medium.endings) || !is_sidecar(&full) && medium.begins(&full) {
                self.add(&full, path, class)?;
            }
            path.truncate(length);
        }
        above.pop();
        Ok(())
    }

    fn add(&mut self, full: &Path, path: &[u8], class: Option<u32>) -> Result<()> {
        let part = Part::of(full)?;
        self.names.extend_from_slice(path);
        self.files.push(Listed { name_end: self.names.len(), position: self.end, class });
        self.end += part.bytes + 1;
        self.changed_ns = self.changed_ns.max(part.modified_ns);
        Ok(())
    }

    fn part(&self, root: &Path) -> Part {
        Part { path: root.to_path_buf(), bytes: self.end, modified_ns: self.changed_ns, dataset: 0 }
    }

    fn name(&self, file: usize) -> &[u8] {
        let start = file.checked_sub(1).map_or(0, |before| self.files[before].name_end);
        &self.names[start..self.files[file].name_end]
    }

    /// The number of the first file at or after a position.
    fn from(&self, position: u64) -> usize {
        self.files.partition_point(|file| file.position < position)
    }
}

struct Files {
    medium: &'static Medium,
    /// The format's name.
    format: &'static str,
    parts: Vec<Part>,
    folders: Vec<Folder>,
    /// The names of all classes, sorted.
    classes: Vec<Vec<u8>>,
    /// How files are seen, where nothing else is asked.
    view: Option<View>,
    largest: u64,
}

impl Files {
    fn open(
        medium: &'static Medium,
        format: &'static str,
        parts: &[Part],
        options: &Options,
    ) -> Result<Self> {
        let folders =
            parts.iter().map(|part| Folder::list(medium, &part.path)).collect::<Result<Vec<_>>>()?;
        let parts = parts.iter().zip(&folders).map(|(part, folder)| folder.part(&part.path)).collect();
        let names: BTreeSet<&[u8]> =
            folders.iter().flat_map(|folder| folder.classes.iter().map(Vec::as_slice)).collect();
        let classes: Vec<Vec<u8>> = names.into_iter().map(<[u8]>::to_vec).collect();
        let view = medium.decode.map(|decode| View { decode: Some(decode), ..View::default() });
        Ok(Self { medium, format, parts, folders, classes, view, largest: options.largest_record })
    }
}

impl Source for Files {
    fn format(&self) -> &'static str {
        self.format
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn part_now(&self, part: usize) -> Result<Part> {
        let path = &self.parts[part].path;
        Ok(Folder::list(self.medium, path)?.part(path))
    }

    fn classes(&self) -> BTreeMap<String, Vec<String>> {
        let names = self.classes.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        let names: Vec<_> = names.collect();
        if names.is_empty() { BTreeMap::new() } else { BTreeMap::from([("label".to_owned(), names)]) }
    }

    fn view(&self, feature: &str) -> Option<&View> {
        self.view.as_ref().filter(|_| feature == self.medium.feature())
    }

    fn elements_are_files(&self, _: usize) -> bool {
        true
    }

    fn seekable(&self, _: usize) -> bool {
        true
    }

    fn read(&self, part: usize, range: Range<u64>, want: Want) -> Result<Box<dyn Elements + '_>> {
        let folder = &self.folders[part];
        let until = folder.from(range.end);
        // The number of each of the folder's classes among all.
        let number = |name: &Vec<u8>| self.classes.binary_search(name).unwrap_or_default() as u64;
        Ok(Box::new(Reader {
            source: self,
            part,
            want,
            next: folder.from(range.start).min(until),
            until,
            labels: folder.classes.iter().map(number).collect(),
            path: PathBuf::new(),
            buffer: Vec::new(),
            fields: Vec::new(),
        }))
    }

    fn find_element(&self, part: usize, range: Range<u64>) -> Result<Option<u64>> {
        let folder = &self.folders[part];
        let found = folder.files.get(folder.from(range.start)).map(|file| file.position);
        Ok(found.filter(|position| *position < range.end))
    }
}

struct Reader<'s> {
    source: &'s Files,
    part: usize,
    want: Want,
    next: usize,
    until: usize,
    labels: Vec<u64>,
    path: PathBuf,
    /// The file's bytes, the label, and the name.
    buffer: Vec<u8>,
    fields: Vec<Field>,
}

impl Reader<'_> {
    /// Reads the file at `path` into the buffer, or its head; says how many bytes are left.
    fn load(&mut self) -> Result<u64> {
        let failed = |e| Error::io("read", &self.path, e);
        let mut file = File::open(&self.path).map_err(|e| Error::io("open", &self.path, e))?;
        let bytes = file.metadata().map_err(failed)?.len();
        self.buffer.clear();
        if self.want == Want::Heads && bytes > HEAD_BYTES {
            file.by_ref().take(HEAD_BYTES).read_to_end(&mut self.buffer).map_err(failed)?;
            if (self.source.medium.is_head)(&self.buffer, bytes) {
                return Ok(bytes - self.buffer.len() as u64);
            }
        }
        if bytes > self.source.largest {
            let most = self.source.largest;
            let message = format!(
                "the file has {bytes} bytes, more than the {most} that the memory budget leaves for one"
            );
            return Err(Error::new(ErrorKind::Resources, message)
                .in_file(&self.path)
                .hint("give more memory with `--memory`, or use fewer threads with `--threads`"));
        }
        // One that grows while it is read is not the one that was listed.
        let rest = bytes.saturating_sub(self.buffer.len() as u64);
        self.buffer.reserve(usize::try_from(rest).unwrap_or(0));
        file.take(rest).read_to_end(&mut self.buffer).map_err(failed)?;
        Ok(0)
    }

    /// Adds bytes to the buffer; says where they are.
    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}

impl Elements for Reader<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        if self.next >= self.until {
            return Ok(None);
        }
        let (source, number) = (self.source, self.next);
        let (folder, root) = (&source.folders[self.part], &source.parts[self.part].path);
        let (file, name) = (&folder.files[number], folder.name(number));
        self.path.clone_from(root);
        if !name.is_empty() {
            self.path.push(OsStr::from_bytes(name));
        }
        self.next += 1;
        let unread = self.load()?;
        self.fields.clear();
        let file_bytes = Field::string(FILE, 0..self.buffer.len());
        self.fields.push(Field { form: Form::String { unread }, ..file_bytes });
        if let Some(class) = file.class {
            let label = self.push(&self.labels[class as usize].to_le_bytes());
            let (kind, form) = (Some(Kind::Items(DType::Int64)), Form::Items { big_endian: false });
            // A number by itself has no axes.
            self.fields.push(Field { name: 5..10, kind, body: label, form, shape: Some(0..0) });
        }
        let name = if name.is_empty() { root.file_name().unwrap_or_default().as_bytes() } else { name };
        let name = self.push(name);
        self.fields.push(Field::string(10..14, name));
        Ok(Some(
            Element::named(&self.buffer, source.medium.names, &self.fields, file.position)
                .of_file(&self.path),
        ))
    }

    fn skip(&mut self) -> Result<bool> {
        let there = self.next < self.until;
        self.next += usize::from(there);
        Ok(there)
    }

    fn position(&self) -> u64 {
        let folder = &self.source.folders[self.part];
        folder.files.get(self.next).map_or(folder.end, |file| file.position)
    }
}
