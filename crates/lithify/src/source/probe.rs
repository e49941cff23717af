//! What is at these paths? Lists the files, looks at their beginnings, and asks every format.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{FORMATS, Format, Part, Verdict};
use crate::error::{Error, Result, nearest, printable};

/// How many of a file's first bytes a format may see.
pub const HEAD_BYTES: usize = 4096;

/// What is known of a file before it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its first bytes, up to 4096.
    pub head: &'a [u8],
    /// Its size.
    pub bytes: u64,
}

/// Files that stand beside the data in many datasets, by ending.
const SIDECARS: [&str; 10] = ["json", "txt", "md", "pbtxt", "pb", "csv", "idx", "index", "crc", "html"];

/// A file's first bytes, up to [`HEAD_BYTES`].
pub(super) fn head_of(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|e| Error::io("read", path, e))?;
    Ok(head)
}

/// Reads a file of JSON.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::input(format!("it cannot be understood: {e}")).in_file(path))
}

/// Whether a file's name ends in one of these.
pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Whether a name is hidden by custom: `.part.crc`, `_SUCCESS`, marks that writers leave.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    matches!(name.as_encoded_bytes(), [b'.' | b'_', ..])
}

/// What is in a directory and not hidden, in no order; nothing, where it cannot be listed.
pub(super) fn shown_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| !path.file_name().is_some_and(is_hidden))
}

/// The names of what is in a directory and not hidden, sorted. They may be millions, and so are no paths.
pub(super) fn names_in(directory: &Path) -> Result<Vec<OsString>> {
    let failed = |e| Error::io("list", directory, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !is_hidden(&entry.file_name()) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

/// A dataset that was found, not yet opened.
pub(crate) struct Found {
    /// Its format.
    pub format: &'static dyn Format,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// Finds the datasets that `inputs` name: files, directories, or globs, in this order; the files of a directory or glob sorted
/// by name. What is of one format is one dataset. The format is found by content, unless `from` names it.
///
/// # Errors
/// Nothing is there, or it is of no known format.
pub(crate) fn find(inputs: &[PathBuf], from: Option<&str>) -> Result<Vec<Found>> {
    let forced = from.map(format_named).transpose()?;
    let mut datasets: Vec<(Option<&'static dyn Format>, Vec<Part>)> = Vec::new();
    // The first file whose beginning tells nothing: damaged, if the others are of a format, and unknown if not.
    let mut strange: Option<Error> = None;
    for input in inputs {
        let (mut format, mut parts) = (forced, Vec::new());
        // Some formats read directories as wholes.
        let whole = |format: &&&dyn Format| match forced {
            Some(forced) => forced.name() == format.name() && format.takes(input),
            None => format.takes(input),
        };
        if let Some(found) = FORMATS.iter().filter(|_| input.is_dir()).find(whole).copied() {
            join(&mut datasets, Some(found), vec![Part::of(input)?]);
            continue;
        }
        for (path, listed) in files_of(input)? {
            let part = Part::of(&path)?;
            if path.to_str().is_none() {
                return Err(Error::input(
                    "its name is not UTF-8, so that it could not be recorded what was read",
                )
                .in_file(&path)
                .hint("rename it, or give a link to it"));
            }
            let head = head_of(&path)?;
            let seen = Evidence { path: &path, head: &head, bytes: part.bytes };
            let found = FORMATS.iter().find(|format| format.probe(&seen) == Verdict::Yes).copied();
            match (found, format) {
                (None, _) if listed && is_sidecar(&path) => continue,
                // An empty file is an empty part of whatever the others are.
                _ if part.bytes == 0 || forced.is_some() => {}
                (None, _) if may_be_damaged(&head) => strange = strange.or_else(|| Some(unknown(&seen))),
                (None, _) if input.is_dir() => {
                    let glob = printable(&input.join("*.ENDING"));
                    return Err(unknown(&seen)
                        .hint(format!("if it is none of the dataset, name the others by a glob: `{glob}`")));
                }
                (None, _) => return Err(unknown(&seen)),
                (Some(found), _) => {
                    same_format(&path, found, format)?;
                    format = Some(found);
                }
            }
            parts.push(part);
        }
        if !parts.is_empty() {
            join(&mut datasets, format, parts);
        }
    }
    if let (true, Some(error)) = (datasets.iter().all(|dataset| dataset.0.is_none()), strange) {
        return Err(error);
    }
    if datasets.is_empty() {
        let names: Vec<_> = inputs.iter().map(|input| format!("`{}`", printable(input))).collect();
        let error = Error::input(format!("no data files in {}", names.join(", ")));
        let nested = inputs.iter().find_map(|input| directory_in(input));
        return Err(match nested {
            Some(directory) => error.hint(format!(
                "files of directories in it are not taken: name one, such as `{}`, or all with a glob",
                printable(&directory)
            )),
            None => error,
        });
    }
    let usual: &dyn Format = &super::tfrecord::ExampleFormat;
    let found =
        |(format, parts): (Option<&'static dyn Format>, _)| Found { format: format.unwrap_or(usual), parts };
    Ok(datasets.into_iter().map(found).collect())
}

/// Adds parts to the last dataset, if they are of its format, or else as one of their own.
fn join(
    datasets: &mut Vec<(Option<&'static dyn Format>, Vec<Part>)>,
    format: Option<&'static dyn Format>,
    mut parts: Vec<Part>,
) {
    let alone = format.is_some_and(Format::stands_alone) && parts.iter().any(|part| part.path.is_dir());
    match datasets.last_mut() {
        Some((before, there))
            if !alone
                && (before.is_none()
                    || format.is_none()
                    || before.map(Format::name) == format.map(Format::name)) =>
        {
            *before = before.or(format);
            there.append(&mut parts);
        }
        _ => datasets.push((format, parts)),
    }
}

fn same_format(path: &Path, found: &dyn Format, before: Option<&dyn Format>) -> Result<()> {
    match before.filter(|before| before.name() != found.name()) {
        None => Ok(()),
        Some(before) => {
            let message =
                format!("it holds {}, but the files before it hold {}", found.about(), before.about());
            Err(Error::input(message).in_file(path).hint("give files of one format"))
        }
    }
}

fn format_named(name: &str) -> Result<&'static dyn Format> {
    FORMATS.iter().find(|format| format.name() == name).copied().ok_or_else(|| {
        let known: Vec<_> =
            FORMATS.iter().map(|format| format!("`{}` ({})", format.name(), format.about())).collect();
        let error = Error::request(format!("`{name}` is not a format"));
        let mut names = FORMATS.iter().map(|format| format.name());
        let near = nearest(name, names.clone()).or_else(|| names.find(|known| known.starts_with(name)));
        match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("use {}", known.join(" or "))),
        }
    })
}

/// A directory in a directory.
fn directory_in(input: &Path) -> Option<PathBuf> {
    let mut inside: Vec<_> =
        std::fs::read_dir(input).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    inside.sort();
    inside.into_iter().find(|path| path.is_dir())
}

/// The files of an input, and whether they were listed rather than named by the user.
fn files_of(input: &Path) -> Result<Vec<(PathBuf, bool)>> {
    if input.is_dir() {
        let paths = names_in(input)?.into_iter().map(|name| input.join(name));
        return Ok(paths.filter(|path| path.is_file()).map(|path| (path, true)).collect());
    }
    let text = input.to_string_lossy();
    if !input.exists() && text.contains(['*', '?', '[']) {
        let matches =
            glob::glob(&text).map_err(|e| Error::request(format!("`{text}` is not a glob: {e}")))?;
        let mut files = Vec::new();
        for found in matches {
            let path = found.map_err(|e| {
                let path = e.path().to_path_buf();
                Error::io("list", &path, e.into())
            })?;
            if path.is_file() {
                files.push((path, true));
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(Error::input(format!("no file matches `{}`", printable(input))));
        }
        return Ok(files);
    }
    if let Err(error) = input.metadata() {
        if text.contains("://") {
            return Err(Error::request(format!(
                "`{}` is an address, and what is read are files",
                printable(input)
            ))
            .hint("copy it to a disk first, or mount it"));
        }
        let error = Error::io("open", input, error);
        return Err(match beside(input) {
            Some(near) => error.hint(format!("did you mean `{}`?", printable(&near))),
            None => error,
        });
    }
    Ok(vec![(input.to_path_buf(), false)])
}

/// What a path that leads nowhere was most likely meant to be.
fn beside(input: &Path) -> Option<PathBuf> {
    let name = input.file_name()?.to_str()?;
    let parent = input.parent()?;
    let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let names: Vec<String> =
        names_in(listed).ok()?.into_iter().filter_map(|name| name.into_string().ok()).collect();
    nearest(name, &names).map(|near| parent.join(near))
}

pub(super) fn is_sidecar(path: &Path) -> bool {
    has_ending(path, &SIDECARS)
}

fn is_text(head: &[u8]) -> bool {
    std::str::from_utf8(head)
        .is_ok_and(|text| !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()))
}

/// What a file looks like that is of no format that can be read.
fn looks_like(head: &[u8]) -> &'static str {
    match head {
        [0xff, 0xd8, 0xff, ..] | [0x89, b'P', b'N', b'G', ..] | [b'G', b'I', b'F', b'8', ..] => "an image",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "a .npy array",
        [b'P', b'K', 3, 4, ..] => "a zip or .npz file",
        [0x1f, 0x8b, ..] => GZIP,
        head if head.get(257..262) == Some(b"ustar") => "a tar file",
        head if is_text(head) => "text",
        _ => UNKNOWN,
    }
}

const GZIP: &str = "gzip data, but not of TFRecords";
const UNKNOWN: &str = "of no known format";

/// Whether a file may be one of TFRecords whose first record is damaged.
fn may_be_damaged(head: &[u8]) -> bool {
    matches!(looks_like(head), GZIP | UNKNOWN)
}

fn unknown(seen: &Evidence<'_>) -> Error {
    if seen.head.starts_with(b"version https://git-lfs") {
        return Error::input("it is a Git LFS pointer, not the data")
            .in_file(seen.path)
            .hint("fetch the data with `git lfs pull`");
    }
    let what = looks_like(seen.head);
    let ending = seen.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let reader = match ending {
        "csv" | "tsv" => Some("read_csv(…)"),
        "jsonl" | "ndjson" => Some("read_json(…, lines=True)"),
        _ => None,
    };
    if let (Some(reader), true) = (reader, is_text(seen.head)) {
        return Error::input(format!("`.{ending}` files are not read")).in_file(seen.path).hint(format!(
            "write a Parquet file of it, which is: pandas' `{reader}.to_parquet(\"data.parquet\")`"
        ));
    }
    let mut error = Error::input(format!("it is not a TFRecord file (it looks like: {what})"))
        .in_file(seen.path)
        .at_byte(0);
    if may_be_damaged(seen.head) {
        error = error.hint("a TFRecord file whose first record is damaged looks like this, too: `--from tfrecord` reads it all the same, and `--on-error skip` leaves out what is damaged");
    }
    error
}
