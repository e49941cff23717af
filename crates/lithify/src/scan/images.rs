//! What pass 1 learns of images beside their shapes.

use serde::{Deserialize, Serialize};

use super::profile::{Sizes, Witness, earliest};
use crate::decode::ImageFacts;

/// What is known of images beside their shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// Their heights.
    pub heights: Sizes,
    /// Their widths.
    pub widths: Sizes,
    /// A hundred times their widths by their heights.
    pub aspects: Sizes,
    /// The most that decoding those of an element takes, in bytes, and the first that takes it.
    pub heaviest: Option<(u64, Witness)>,
    /// How many there are: an element may have a list of them.
    pub count: u64,
}

impl Images {
    /// The most that decoding one takes, in bytes.
    #[must_use]
    pub fn most_memory(&self) -> u64 {
        self.heaviest.map_or(0, |heaviest| heaviest.0)
    }

    pub(super) fn observe(&mut self, facts: &ImageFacts, witness: Witness) {
        let [height, width] = facts.size;
        self.count += facts.count;
        self.heights.observe(height, witness);
        self.widths.observe(width, witness);
        self.aspects.observe((width * 100 + height / 2) / height.max(1), witness);
        self.heaviest = earliest(self.heaviest, Some((facts.scratch, witness)), |new, old| new > old);
    }

    pub(super) fn merge(&mut self, later: &Self, before: u64) {
        self.count += later.count;
        self.heights.merge(&later.heights, before);
        self.widths.merge(&later.widths, before);
        self.aspects.merge(&later.aspects, before);
        let theirs = later.heaviest.map(|(bytes, witness)| (bytes, witness.after(before)));
        self.heaviest = earliest(self.heaviest, theirs, |new, old| new > old);
    }
}
