//! Elements that meet conditions; the others are as if they were not there.

use std::path::{Path, PathBuf};

use super::condition::Condition;
use crate::error::{Error, Result};
use crate::source::Elements;
use crate::value::{Element, Kept, Slots};

/// The elements of a part that meet all conditions.
pub(super) struct Selected<'s> {
    elements: Box<dyn Elements + 's>,
    conditions: &'s [Condition],
    slots: Slots,
    /// The element that was found last. What is lent cannot be looked at, let go, and lent again.
    found: Kept,
    file: Option<PathBuf>,
}

impl<'s> Selected<'s> {
    pub(super) fn new(elements: Box<dyn Elements + 's>, conditions: &'s [Condition]) -> Self {
        let slots = Slots::of(conditions.iter().map(|condition| condition.feature.as_str()));
        Self { elements, conditions, slots, found: Kept::default(), file: None }
    }

    /// Goes on to the next element that meets the conditions; says whether there was one.
    fn find(&mut self, keep: bool) -> Result<bool> {
        while let Some(element) = self.elements.next()? {
            self.slots.find(&element, |_| Ok::<_, Error>(false))?;
            let mut met = true;
            for condition in self.conditions {
                met = met
                    && condition
                        .met_by(self.slots.named(&condition.feature, &element))
                        .map_err(|e| e.in_feature(&condition.feature))?;
            }
            if met {
                if keep {
                    self.found.clear();
                    self.found.push(&element);
                    self.file = element.file().map(Path::to_path_buf);
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Elements for Selected<'_> {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        if !self.find(true)? {
            return Ok(None);
        }
        let element = self.found.element(0);
        Ok(match &self.file {
            Some(file) => element.map(|element| element.of_file(file)),
            None => element,
        })
    }

    fn skip(&mut self) -> Result<bool> {
        self.find(false)
    }

    fn position(&self) -> u64 {
        self.elements.position()
    }

    fn held(&self) -> u64 {
        self.elements.held()
    }

    fn consumed(&self) -> u64 {
        self.elements.consumed()
    }
}
