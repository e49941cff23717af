//! Samples: consecutive members that share a key, each a feature.

use std::collections::BTreeMap;

use super::components::{self, Json, Store};
use super::members::Members;
use crate::error::{ErrorKind, Result};
use crate::source::{Elements, example};
use crate::value::{Element, Field};

/// The name of the feature that holds the key.
const KEY: &[u8] = b"__key__";

pub(super) struct Samples<'s> {
    members: Members<'s>,
    json: &'s BTreeMap<Vec<u8>, Json>,
    raw: bool,
    key: Vec<u8>,
    names: Vec<u8>,
    fields: Vec<Field>,
    /// The key, and the bytes of all members.
    store: Store,
}

impl<'s> Samples<'s> {
    pub(super) fn new(members: Members<'s>, json: &'s BTreeMap<Vec<u8>, Json>, raw: bool) -> Self {
        let (key, names, fields) = (Vec::new(), Vec::new(), Vec::new());
        Self { members, json, raw, key, names, fields, store: Store::default() }
    }

    /// Reads the members of the next sample, or passes over them. Gives where it starts.
    fn advance(&mut self, keep: bool) -> Result<Option<u64>> {
        let Some(start) = self.members.begin() else { return Ok(None) };
        self.clear();
        let (mut some, mut wrong) = (false, None);
        loop {
            match self.members.find_sample() {
                Ok(Some(member)) if some && member.key() != Some(&self.key) => break,
                Ok(Some(member)) => {
                    if !some {
                        self.key.extend_from_slice(member.key().unwrap_or_default());
                        some = true;
                    }
                }
                Ok(None) => break,
                // A sample beside damage may be no whole one.
                Err(error) => return Err(self.members.recover(error)),
            }
            let kept = if keep && wrong.is_none() { self.keep().map(Some) } else { Ok(None) };
            match kept {
                Ok(Some(())) => {}
                Ok(None) => self.members.take(None)?,
                Err(error) if error.kind() == ErrorKind::Input && !self.members.is_over() => {
                    wrong = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match wrong {
            Some(error) => Err(error),
            None if some => Ok(Some(start)),
            None => {
                self.members.finish()?;
                Ok(None)
            }
        }
    }

    fn clear(&mut self) {
        self.key.clear();
        self.names.clear();
        self.names.extend_from_slice(KEY);
        self.fields.clear();
        self.store.clear();
    }

    /// Adds the next member to the sample. Where it cannot be a feature it is passed over all the same.
    fn keep(&mut self) -> Result<()> {
        let Some(member) = self.members.upcoming()? else { return Ok(()) };
        let (shown, sparse) = (member.name(), member.sparse);
        let extension = member.extension().to_ascii_lowercase();
        let wrong =
            |members: &Members<'_>, why: &str| members.damaged(&format!("its member `{shown}`: {why}"));
        if self.fields.is_empty() {
            self.store.bytes.extend_from_slice(&self.key);
            self.fields.push(Field::string(0..KEY.len(), 0..self.key.len()));
        }
        let refused = if sparse {
            Some("it is stored with holes, which cannot be read")
        } else if extension.is_empty() || example::bad_name(&extension).is_some() {
            Some("its ending is no name of a feature")
        } else if self.fields.iter().any(|field| self.names[field.name.clone()] == extension[..]) {
            Some("the sample has two of this ending")
        } else {
            None
        };
        if let Some(why) = refused {
            let error = wrong(&self.members, why);
            self.members.take(None)?;
            return Err(error);
        }
        let start = self.store.bytes.len();
        self.members.take(Some(&mut self.store.bytes))?;
        let body = start..self.store.bytes.len();
        let name = self.names.len()..self.names.len() + extension.len();
        self.names.extend_from_slice(&extension);
        let field = if self.raw {
            Ok(Field::string(name, body))
        } else {
            let json = self.json.get(&extension).copied();
            components::read(&extension, json, &mut self.store, body, self.members.largest())
                .map(|read| Field { name, ..read })
        };
        let field = field.map_err(|why| {
            wrong(&self.members, &why).hint("`--from webdataset-raw` keeps every file as a byte string")
        })?;
        self.fields.push(field);
        Ok(())
    }
}

impl Elements for Samples<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        let Some(at) = self.advance(true)? else { return Ok(None) };
        let stored = self.members.position().saturating_sub(at);
        let element = Element::named(&self.store.bytes, &self.names, &self.fields, at);
        Ok(Some(element.with_sizes(&self.store.sizes).with_stored(stored)))
    }

    fn skip(&mut self) -> Result<bool> {
        Ok(self.advance(false)?.is_some())
    }

    fn position(&self) -> u64 {
        self.members.position()
    }

    fn consumed(&self) -> u64 {
        self.members.consumed()
    }
}
