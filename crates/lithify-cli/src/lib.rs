//! The `lithify` command: reads the flags, calls the library, prints what comes of it, and ends with an exit code.
//!
//! It is a library, so that the Python package is the command, too, and understands the same words.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ContextKind;
use clap::{CommandFactory, Parser};
use lithify::Error;
use lithify::error::ErrorKind;
use lithify::show::plural;

#[expect(missing_docs, reason = "what can be typed is documented by its help")]
pub mod args;
mod batch;
mod commands;
pub mod context;
mod instead;
pub mod json;
mod progress;
pub mod report;
mod terminal;
mod words;

use progress::tell;

/// What the process ends with: part of the interface, since batch systems act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything is done.
    Done = 0,
    /// Nothing came of it.
    Failed = 1,
    /// It was not said right.
    Usage = 2,
    /// Done, but elements were left out.
    Skipped = 3,
    /// Stopped in order: the same command may be run again. (`EX_TEMPFAIL` of sysexits.)
    Stopped = 75,
}

/// What is shown to who says nothing.
const FIRST: &str = "\
lithify turns datasets larger than memory into memory-mapped .npy arrays, or Zarr. For example:

  lithify scan 'train-*.tfrecord'                    what is in it, and what arrays of it would take
  lithify convert 'train-*.tfrecord' -o arrays/      an array for each feature, without a loss
  lithify convert photos/ -o photos.npy --feature image --resize 224x224 --channels 3

`lithify --help` names the commands, and `lithify convert --help` all that can be asked for.";

/// Does what these words say, of which the first is the name of the program; gives the exit code. Scripts call `program`.
pub fn run(words: impl IntoIterator<Item = OsString>, program: &Path) -> u8 {
    let words: Vec<_> = words.into_iter().collect();
    if words.len() <= 1 {
        tell(format_args!("{FIRST}"));
        return Outcome::Usage as u8;
    }
    let cli = match args::Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(help) => {
            // Where nobody reads it, there is nobody to be told so.
            let _ = help.print();
            return u8::try_from(help.exit_code()).unwrap_or(Outcome::Usage as u8);
        }
    };
    let outcome = commands::run(cli.command, program).unwrap_or_else(|error| {
        tell(format_args!("{}", message(&error)));
        if let Some(remedy) = error.remedy()
            && let Some(command) = instead::command(&words, remedy)
        {
            tell(format_args!("\n{}: {command}", remedy.promise()));
        }
        match error.kind() {
            ErrorKind::Request => Outcome::Usage,
            ErrorKind::Interrupted => Outcome::Stopped,
            ErrorKind::Input | ErrorKind::Resources | ErrorKind::Io | ErrorKind::Output => Outcome::Failed,
        }
    });
    if let Some(warning) = read_wrong() {
        tell(format_args!("{warning}"));
    }
    outcome as u8
}

/// What these words ask for, of which the first is the name of the program.
///
/// # Errors
/// They ask for nothing that there is.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> lithify::Result<args::Command> {
    match args::Cli::try_parse_from(words) {
        Ok(cli) => Ok(cli.command),
        Err(error) => {
            let named = |kind| error.get(kind).map(ToString::to_string);
            if let (clap::error::ErrorKind::UnknownArgument, Some(flag)) =
                (error.kind(), named(ContextKind::InvalidArg))
            {
                let unknown = Error::request(format!("there is no `{flag}`"));
                return Err(match named(ContextKind::SuggestedArg) {
                    Some(near) => unknown.hint(format!("did you mean `{near}`?")),
                    None => unknown,
                });
            }
            let text = error.to_string();
            let (message, _) = text.split_once("\n\n").unwrap_or((&text, ""));
            let message = message.strip_prefix("error: ").unwrap_or(message);
            Err(Error::request(message.trim_end()))
        }
    }
}

/// Whether a flag of some command takes no value.
#[must_use]
pub fn is_switch(flag: &str) -> bool {
    let command = args::Cli::command();
    let mut flags = command.get_subcommands().flat_map(clap::Command::get_arguments);
    flags.any(|known| known.get_long() == Some(flag) && !known.get_action().takes_values())
}

/// What must be known of a machine that gives other bytes than are on its disk, whatever came of the run.
fn read_wrong() -> Option<String> {
    match lithify::source::read_wrong() {
        0 => None,
        count => Some(format!(
            "warning: {} damaged when first read, and sound when read again: the memory of this machine errs, or what is between it and the disk",
            plural(count, "record") + if count == 1 { " was" } else { " were" }
        )),
    }
}

/// An error as it is printed: what was wrong and where, then what to do about it.
fn message(error: &Error) -> String {
    let mut text = format!("error: {error}");
    for (number, hint) in error.hints().iter().enumerate() {
        let blank = if number == 0 { "\n" } else { "" };
        text.extend([blank, "\nhint: ", hint]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_stand_apart_from_the_error() {
        let error = Error::request("it is wrong").hint("do this").hint("or that");
        assert_eq!(message(&error), "error: it is wrong\n\nhint: do this\nhint: or that");
    }
}
