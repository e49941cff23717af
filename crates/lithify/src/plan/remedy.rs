//! What could be asked for instead of what was refused, found by trying: each change that an error names is planned with, and what that
//! is refused for is changed in turn.

use std::cmp::Reverse;

use super::request::{FeatureRequest, Request};
use super::{Fit, Io, Layout, Plan, Target, decide};
use crate::error::{Change, Error, Remedy};
use crate::machine::{Machine, parse_size};
use crate::scan::profile::{FeatureProfile, Profile};

/// Plans that are tried, at most.
const MOST_TRIED: usize = 64;

/// What is asked for, and of what machine.
#[derive(Clone)]
pub(super) struct Asked {
    pub request: Request,
    pub machine: Machine,
    pub target: Target,
    /// The flags that have changed.
    pub flags: Vec<(&'static str, Option<String>)>,
    /// Whether all that it takes to plan it is known.
    pub sure: bool,
}

/// What would be done instead of what is refused, if anything is found.
pub(super) fn find(profile: &Profile, asked: &Asked, error: &Error) -> Option<Remedy> {
    let mut tried = 0;
    let found = search(profile, asked, error, &mut tried)?;
    let features = if found.request == asked.request { &[][..] } else { &found.request.features };
    let features = features.iter().map(ToString::to_string).collect();
    Some(Remedy { features, flags: found.flags, sure: found.sure })
}

/// Less padding, of what takes most first.
pub(super) fn without_padding(plan: &Plan) -> Vec<Change> {
    let bytes = |number: usize| {
        let arrays = plan.arrays.iter().filter(|array| array.feature == number);
        arrays.fold(0, |sum: u64, array| sum.saturating_add(array.bytes()))
    };
    let mut padded: Vec<_> = plan
        .features
        .iter()
        .enumerate()
        .filter(|(_, feature)| matches!(feature.fit, Fit::Pad { .. } | Fit::Bucket { .. }))
        .map(|(number, feature)| (bytes(number), &feature.feature))
        .collect();
    padded.sort_by_key(|(bytes, _)| Reverse(*bytes));
    let less = |(_, name): (u64, &String)| {
        ["pad=max", "ragged"].map(|words| Change::WordsOf(name.clone(), words.into()))
    };
    padded.into_iter().flat_map(less).collect()
}

fn search(profile: &Profile, asked: &Asked, error: &Error, tried: &mut usize) -> Option<Asked> {
    for change in error.changes() {
        let Some(changed) = asked.changed(profile, change, error.place().feature.as_deref()) else {
            continue;
        };
        if *tried == MOST_TRIED {
            return None;
        }
        if changed.request == asked.request && changed.flags == asked.flags {
            continue;
        }
        if !changed.sure {
            return Some(changed);
        }
        *tried += 1;
        let found = match decide(profile, &changed.request, &changed.machine, &changed.target) {
            Ok(_) => Some(changed),
            // Which feature was meant is a guess: no more is made of it.
            Err(_) if matches!(change, Change::Spec(said, _) if said.is_empty()) => None,
            Err(next) => search(profile, &changed, &next, tried),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

impl Asked {
    /// The same, but for a change; `None` if that makes no sense of it.
    fn changed(&self, profile: &Profile, change: &Change, feature: Option<&str>) -> Option<Self> {
        let mut changed = self.clone();
        match change {
            Change::Words(words) => changed.request.change(profile, feature?, words)?,
            Change::View(words) => {
                changed.request.change(profile, feature?, words)?;
                changed.sure = false;
            }
            Change::WordsOf(feature, words) => changed.request.change(profile, feature, words)?,
            Change::Spec(name, spec) => {
                let feature = changed.request.features.iter_mut().find(|feature| feature.name == *name)?;
                *feature = spec.parse().ok()?;
                // Only what was asked for was looked into.
                changed.sure &= profile.feature(&feature.name).is_none_or(FeatureProfile::looked_into);
            }
            Change::Flag(flag, value) => changed.set(flag, value.clone())?,
            Change::Directory => changed.write_to("")?,
            Change::Zarr => changed.write_to("zarr")?,
        }
        Some(changed)
    }

    fn set(&mut self, flag: &'static str, value: Option<String>) -> Option<()> {
        match (flag, value.as_deref()) {
            ("memory", Some(size)) => self.machine.memory = parse_size(size).ok()?,
            ("store", Some("zarr")) => self.target.layout = Layout::Zarr,
            ("io", None) => self.target.io = Io::default(),
            _ => return None,
        }
        self.flags.push((flag, value));
        Some(())
    }

    /// Gives the output another ending.
    fn write_to(&mut self, ending: &str) -> Option<()> {
        let output = self.target.output.with_extension(ending);
        self.target.layout = Layout::of(&output);
        self.flags.push(("output", Some(output.to_str()?.to_owned())));
        self.target.output = output;
        Some(())
    }
}

impl Request {
    /// Says something else of a feature, and the same of all others.
    fn change(&mut self, profile: &Profile, name: &str, words: &str) -> Option<()> {
        let changed = match self.wanted(name) {
            Some(said) => FeatureRequest { name: name.to_owned(), ..said.clone() },
            None => FeatureRequest { name: name.to_owned(), ..FeatureRequest::default() },
        };
        let changed = changed.with(words).ok()?;
        let is_this = |feature: &&mut FeatureRequest| feature.name == name || feature.name.is_empty();
        if let Some(said) = self.features.iter_mut().find(is_this) {
            *said = changed;
            return Some(());
        }
        let is_other = |other: &&str| *other != name && self.looks_at(other);
        let others = self.takes_others() && profile.names().iter().any(is_other);
        self.features.push(changed);
        if others {
            self.features.push("*".parse().ok()?);
        }
        Some(())
    }
}
