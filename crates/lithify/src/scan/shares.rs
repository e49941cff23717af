//! Pass 1 by several processes: each scans a run of the dataset's files, and what they have learnt is put together.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::merge::{finished, merge};
use super::profile::Profile;
use super::{OnError, ScanOptions, check_skipped, scan_parts};
use crate::error::{Error, Result};
use crate::source::{Part, Source};

/// One of so many shares of the files of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its number, from 0 on.
    pub number: u64,
    /// How many there are.
    pub count: u64,
}

impl Share {
    /// The numbers of its parts: shares are of about as many bytes, as far as whole files can be.
    #[must_use]
    pub fn parts(self, all: &[Part]) -> Range<usize> {
        let total: u128 = all.iter().map(|part| u128::from(part.bytes) + 1).sum();
        let mut before = 0_u128;
        let share_of = |part: &Part| {
            let middle = before + u128::from(part.bytes).div_ceil(2);
            before += u128::from(part.bytes) + 1;
            u64::try_from(middle * u128::from(self.count) / total).unwrap_or(u64::MAX)
        };
        // They rise with the parts.
        let shares: Vec<u64> = all.iter().map(share_of).collect();
        let up_to = |number| shares.partition_point(|share| *share < number);
        up_to(self.number)..up_to(self.number + 1)
    }
}

/// Scans a share of a dataset's files.
///
/// # Errors
/// As [`scan`](super::scan); or the dataset cannot be scanned in shares.
pub fn scan_share(source: &dyn Source, options: &ScanOptions<'_>, share: Share) -> Result<Profile> {
    check(source)?;
    let parts = share.parts(source.parts());
    let mut profile = scan_parts(source, options, parts.clone())?;
    profile.parts = source.parts()[parts].iter().map(Part::absolute).collect();
    Ok(profile)
}

/// Refuses what cannot be told of one share of the files alone.
fn check(source: &dyn Source) -> Result<()> {
    let choice = source.choice();
    let what = match (choice.limit, choice.shuffle) {
        (Some(_), _) => "`--limit`",
        (_, Some(_)) => "`--shuffle`",
        _ => return Ok(()),
    };
    Err(Error::request(format!("with {what}, a dataset is not scanned in shares"))
        .hint("let `lithify plan` scan it, without `--profiles`"))
}

/// Puts together what was learnt from all shares of a dataset, in their order.
///
/// # Errors
/// A share is of other files than the dataset has; or as [`scan`](super::scan).
pub fn merge_shares(
    source: &dyn Source,
    on_error: OnError,
    shares: impl IntoIterator<Item = Result<Profile>>,
) -> Result<Profile> {
    check(source)?;
    let (mut whole, mut scanned) = (Profile::default(), 0);
    for share in shares {
        let share = share?;
        let now = source.parts().iter().skip(scanned);
        for (then, now) in
            share.parts.iter().zip(now.map(Part::absolute).map(Some).chain(std::iter::repeat(None)))
        {
            if now.as_ref() != Some(then) {
                return Err(Error::input(
                    "it was scanned, and has changed since, or is no longer of the dataset",
                )
                .in_file(&then.path)
                .hint("scan all shares anew"));
            }
        }
        scanned += share.parts.len();
        merge(&mut whole, share);
        check_skipped(whole.skipped.len())?;
    }
    if let Some(part) = source.parts().get(scanned) {
        return Err(Error::input("it was not scanned: it was not of the dataset then")
            .in_file(&part.path)
            .hint("scan all shares anew"));
    }
    finished(source, on_error, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_in_one_share() {
        let part = |bytes| Part { path: "x".into(), bytes, modified_ns: 0, dataset: 0 };
        for sizes in [vec![0; 5], vec![1000, 1, 1, 1, 1, 1, 500, 30], vec![7], (0..100).collect()] {
            let parts: Vec<Part> = sizes.into_iter().map(part).collect();
            for count in [1, 2, 3, 8, 200] {
                let mut next = 0;
                for number in 0..count {
                    let range = Share { number, count }.parts(&parts);
                    assert_eq!(range.start, next);
                    next = range.end;
                }
                assert_eq!(next, parts.len());
            }
        }
    }
}
