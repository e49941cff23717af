//! Which features a request is about: those that it names, and those whose names fit a pattern.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::request::{FeatureRequest, Request};

/// A feature that is wanted, and how.
pub(super) struct Wanted {
    pub request: FeatureRequest,
    /// Whether it is one of all or of those that fit a pattern, of which nothing is said.
    pub any: bool,
}

impl FeatureRequest {
    /// Whether it is about all features whose names fit.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }

    /// The same of one feature.
    fn of(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }
}

impl Request {
    /// The features that must be read for it; `None` if that is not known before they are.
    #[must_use]
    pub fn names(&self) -> Option<BTreeSet<String>> {
        let is_known = |feature: &FeatureRequest| !feature.name.is_empty() && !feature.is_pattern();
        let known = !self.takes_others() && self.features.iter().all(is_known);
        let names = |feature: &FeatureRequest| {
            let shape: Vec<_> = feature.view.shape_features().map(str::to_owned).collect();
            shape.into_iter().chain([feature.name.clone()])
        };
        known.then(|| self.features.iter().filter(|feature| !feature.drop).flat_map(names).collect())
    }

    /// Whether what is not named is wanted, too: nothing is, or only what is left out.
    pub(super) fn takes_others(&self) -> bool {
        self.features.iter().all(|feature| feature.drop)
    }

    /// What is said of the feature of this name: by its name, by none if it is the only one, or by the pattern that it fits with the
    /// most letters.
    fn said(&self, name: &str) -> Option<&FeatureRequest> {
        let exactly = |wanted: &str| self.features.iter().find(|feature| feature.name == wanted);
        let fitting = |feature: &&FeatureRequest| feature.is_pattern() && fits(&feature.name, name);
        let letters = |feature: &&FeatureRequest| Reverse(feature.name.replace('*', "").len());
        exactly(name)
            .or_else(|| exactly(""))
            .or_else(|| self.features.iter().filter(fitting).min_by_key(letters))
    }

    /// What is wanted of the feature of this name, if anything is said of it but that it is left out.
    #[must_use]
    pub fn wanted(&self, name: &str) -> Option<&FeatureRequest> {
        self.said(name).filter(|feature| !feature.drop)
    }

    /// Whether a feature must be looked at: it is wanted, or gives another one its shape.
    #[must_use]
    pub fn looks_at(&self, name: &str) -> bool {
        let shapes = |feature: &FeatureRequest| feature.view.shape_features().any(|other| other == name);
        match self.said(name) {
            Some(feature) if !feature.drop => true,
            None if self.takes_others() => true,
            _ => self.features.iter().any(shapes),
        }
    }

    /// What is wanted of a dataset of these features, in the order of what is asked for; what fits a pattern in theirs. Features
    /// that are named need not be there, and patterns that nothing fits stay.
    pub(super) fn all_of(&self, features: &[&str]) -> Vec<Wanted> {
        let all = [FeatureRequest { name: "*".into(), ..FeatureRequest::default() }];
        let others = if self.takes_others() { &all[..] } else { &[] };
        let mut wanted = Vec::new();
        for asked in self.features.iter().filter(|feature| !feature.drop).chain(others) {
            if !asked.is_pattern() {
                wanted.push(Wanted { request: asked.clone(), any: false });
                continue;
            }
            let is_its = |name: &&str| match self.said(name) {
                Some(feature) => feature == asked,
                None => self.takes_others(),
            };
            let before = wanted.len();
            let any = *asked == FeatureRequest::default().of(&asked.name);
            wanted.extend(
                features.iter().copied().filter(is_its).map(|name| Wanted { request: asked.of(name), any }),
            );
            let fits_none = !features.iter().any(|name| fits(&asked.name, name));
            if wanted.len() == before && !self.takes_others() && fits_none {
                wanted.push(Wanted { request: asked.clone(), any: false });
            }
        }
        wanted
    }
}

/// Whether a name fits a pattern, in which `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, fitting, other) in [
            ("*", vec!["", "a", "a/b"], vec![]),
            ("a", vec!["a"], vec!["ab", ""]),
            ("steps/*", vec!["steps/", "steps/a/b"], vec!["step", "a/steps/b"]),
            ("*_id", vec!["_id", "a_id", "_id_id"], vec!["_ids"]),
            ("a*b*c", vec!["abc", "a-b-b-c", "abbcc"], vec!["acb", "ab", "xabc"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
        ] {
            assert!(fitting.iter().all(|name| fits(pattern, name)), "{pattern}");
            assert!(!other.iter().any(|name| fits(pattern, name)), "{pattern}");
        }
    }

    #[test]
    fn what_is_named_is_not_what_fits() {
        let request = |features: &[&str]| Request {
            features: features.iter().map(|feature| feature.parse().unwrap()).collect(),
        };
        let names = |features: &[&str]| -> Vec<String> {
            let wanted = request(features).all_of(&["a", "ab", "b", "c"]);
            wanted
                .into_iter()
                .map(|one| format!("{}{}", one.request, if one.any { "?" } else { "" }))
                .collect()
        };
        assert_eq!(names(&[]), ["a?", "ab?", "b?", "c?"]);
        assert_eq!(names(&["b: drop"]), ["a?", "ab?", "c?"]);
        assert_eq!(names(&["*", "a: ragged=yes", "c: drop"]), ["ab?", "b?", "a: ragged=yes"]);
        assert_eq!(names(&["a*: pad=max", "*b"]), ["a: pad=max", "ab: pad=max", "b?"]);
        assert_eq!(names(&["*", "a*: ragged=yes"]), ["b?", "c?", "a: ragged=yes", "ab: ragged=yes"]);
        assert_eq!(names(&["x*", "c"]), ["x*", "c"]);
        assert_eq!(names(&["c*", "c: ragged=yes"]), ["c: ragged=yes"]);
        assert_eq!(names(&["a*: drop"]), ["b?", "c?"]);
        assert!(request(&["a*: drop"]).looks_at("b") && !request(&["a*: drop"]).looks_at("ab"));
        assert_eq!(request(&["a", "b: drop"]).names(), Some(BTreeSet::from(["a".to_owned()])));
        assert_eq!(request(&["b: drop"]).names(), None);
    }
}
