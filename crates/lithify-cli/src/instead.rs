//! The command line that would do what was refused: what was typed, but for what must be said otherwise.

use std::ffi::{OsStr, OsString};

use clap::CommandFactory;
use lithify::error::Remedy;
use lithify::plan::request::KEYS;

use crate::args::Cli;
use crate::batch::quoted;

/// What was typed, changed by a remedy, as a shell reads it; `None` if it is a command of which none of that can be asked. `typed` begins
/// with the name of the program.
#[must_use]
pub fn command(typed: &[OsString], remedy: &Remedy) -> Option<String> {
    let mut cli = Cli::command();
    // Flags know whether they take values only then.
    cli.build();
    let command = cli.find_subcommand(typed.get(1)?)?;
    let has = |flag: &str| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
    if !(has("feature") && remedy.flags.iter().all(|(name, _)| has(name))) {
        return None;
    }
    let replaced = |flag: &str| {
        let of_features = ["feature", "recipe"].contains(&flag) || KEYS.iter().any(|key| key.name == flag);
        remedy.flags.iter().any(|(name, _)| *name == flag) || of_features && !remedy.features.is_empty()
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (flag, words) in groups(command, typed) {
        let ended = !after.is_empty() || words[0] == "--";
        if !flag.is_some_and(|flag| replaced(&flag)) {
            if ended { &mut after } else { &mut before }.extend(words.iter().map(|word| quoted(word)));
        }
    }
    let flags = remedy.flags.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
    let added = flags.chain(remedy.features.iter().map(|spec| ("feature", spec)));
    before.extend(added.flat_map(|(name, value)| [format!("--{name}"), quoted(OsStr::new(value))]));
    Some([before, after].concat().join(" "))
}

/// The words, each flag with its value, and what the flag is called in full.
fn groups<'t>(command: &clap::Command, typed: &'t [OsString]) -> Vec<(Option<String>, &'t [OsString])> {
    let known = |word: &OsStr| {
        let word = word.to_str()?;
        let (arg, has_value) = if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
            (command.get_arguments().find(|arg| arg.get_long() == Some(name))?, value)
        } else {
            let mut letters = word.strip_prefix('-')?.chars();
            let letter = letters.next()?;
            (command.get_arguments().find(|arg| arg.get_short() == Some(letter))?, letters.next().is_some())
        };
        let takes_next = arg.get_action().takes_values() && !has_value;
        Some((arg.get_long()?.to_owned(), takes_next))
    };
    let (mut groups, mut at) = (Vec::new(), 0);
    while at < typed.len() {
        if typed[at] == "--" {
            groups.extend(typed[at..].chunks(1).map(|word| (None, word)));
            break;
        }
        let found = known(&typed[at]);
        let end = (at + if found.as_ref().is_some_and(|(_, takes_next)| *takes_next) { 2 } else { 1 })
            .min(typed.len());
        groups.push((found.map(|(flag, _)| flag), &typed[at..end]));
        at = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(typed: &str, features: &[&str], flags: &[(&'static str, Option<&str>)]) -> String {
        let typed: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
        let features = features.iter().map(ToString::to_string).collect();
        let flags = flags.iter().map(|(name, value)| (*name, value.map(str::to_owned))).collect();
        command(&typed, &Remedy { features, flags, sure: true }).unwrap_or_default()
    }

    #[test]
    fn only_what_must_be_said_otherwise_changes() {
        for (typed, features, flags, wanted) in [
            (
                "lithify convert a -o out --feature x --pad 3 --truncate --threads 2",
                &["x: pad=5"][..],
                &[][..],
                "lithify convert a -o out --threads 2 --feature 'x: pad=5'",
            ),
            (
                "lithify convert -fx -oout.npy --memory=1MiB -q -- -a",
                &[],
                &[("memory", Some("9MiB")), ("output", Some("out"))],
                "lithify convert -fx -q --memory 9MiB --output out -- -a",
            ),
            ("lithify convert a -o b --io mapped", &[], &[("io", None)], "lithify convert a -o b"),
            ("lithify verify a", &["x: pad=5"], &[], ""),
        ] {
            assert_eq!(changed(typed, features, flags), wanted);
        }
    }
}
