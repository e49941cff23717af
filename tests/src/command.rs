//! The command, run as from a shell.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use crate::Scratch;

/// The command: the one that `LITHIFY` names, or the one that was built beside these tests.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LITHIFY") {
        return path.into();
    }
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("lithify");
    let built = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let sources = newest_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates"));
    assert!(
        built.is_some_and(|built| built >= sources),
        "{} is not there, or older than its sources: build it with `cargo build --workspace`, or name it by LITHIFY",
        path.display()
    );
    path
}

/// When the source that was changed last was changed.
fn newest_below(directory: &Path) -> SystemTime {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let times = entries.map(|path| match path.is_dir() {
        true => newest_below(&path),
        false if path.extension().is_some_and(|ending| ending == "rs") => {
            path.metadata().unwrap().modified().unwrap()
        }
        false => SystemTime::UNIX_EPOCH,
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What a command has printed, and what it ended with.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` for a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// What came of a command.
#[must_use]
pub fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Runs the command with these arguments.
#[must_use]
pub fn run_in<S: AsRef<OsStr>>(directory: &Path, arguments: &[S]) -> Ran {
    ran(&Command::new(binary()).args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap())
}

/// The words of a command line; what stands in single quotes is one word.
#[must_use]
pub fn words(line: &str) -> Vec<&str> {
    line.split('\'')
        .enumerate()
        .flat_map(|(at, piece)| if at % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect() })
        .collect()
}

/// Runs a command line in the scratch directory: see [`words`].
#[must_use]
pub fn run(scratch: &Scratch, line: &str) -> Ran {
    run_in(scratch.path(), &words(line))
}

/// A shell's words before the command, such as `ulimit -f 100`.
#[must_use]
pub fn run_after(scratch: &Scratch, before: &str, line: &str) -> Ran {
    let script = format!("{before} && exec \"$0\" {line}");
    ran(&Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(binary())
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .unwrap())
}
