//! What pass 1 learns of sounds beside their shapes.

use serde::{Deserialize, Serialize};

use super::profile::{Sizes, Witness, earliest};
use crate::decode::SoundFacts;

/// What is known of sounds beside their shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sounds {
    /// Samples a second.
    pub rates: Sizes,
    /// How long they are, in thousandths of a second.
    pub milliseconds: Sizes,
    /// The most that decoding one takes, in bytes, and the first that takes it.
    pub heaviest: Option<(u64, Witness)>,
}

impl Sounds {
    /// The rate of all of them, if it is the same.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        (self.rates.count > 0 && self.rates.min() == self.rates.max()).then(|| self.rates.min())
    }

    pub(super) fn observe(&mut self, facts: &SoundFacts, witness: Witness) {
        self.rates.observe(facts.rate.into(), witness);
        self.milliseconds.observe(facts.milliseconds, witness);
        self.heaviest = earliest(self.heaviest, Some((facts.scratch, witness)), |new, old| new > old);
    }

    pub(super) fn merge(&mut self, later: &Self, before: u64) {
        self.rates.merge(&later.rates, before);
        self.milliseconds.merge(&later.milliseconds, before);
        let theirs = later.heaviest.map(|(bytes, witness)| (bytes, witness.after(before)));
        self.heaviest = earliest(self.heaviest, theirs, |new, old| new > old);
    }
}
