//! The `lithify` command: reads the flags, calls the library, prints what comes of it, and ends with an exit code.

use std::process::ExitCode;

use clap::Parser;
use lithify::Error;
use lithify::error::ErrorKind;
use lithify::show::plural;

mod args;
mod batch;
mod commands;
mod json;
mod progress;
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

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let outcome = commands::run(cli.command).unwrap_or_else(|error| {
        tell(format_args!("{}", message(&error)));
        match error.kind() {
            ErrorKind::Request => Outcome::Usage,
            ErrorKind::Interrupted => Outcome::Stopped,
            ErrorKind::Input | ErrorKind::Resources | ErrorKind::Io | ErrorKind::Output => Outcome::Failed,
        }
    });
    if let Some(warning) = read_wrong() {
        tell(format_args!("{warning}"));
    }
    ExitCode::from(outcome as u8)
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
