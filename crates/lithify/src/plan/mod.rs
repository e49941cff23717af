//! What pass 2 will do: a pure function of what pass 1 learnt, what is wanted, and what the machine has. It opens no
//! file, so a plan can be printed, saved, compared, and tried for any machine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind as ErrorKind, Result};
use crate::machine::{Machine, show_size};
use crate::scan::OnError;
use crate::scan::index::{Counted, Index};
use crate::scan::profile::{FeatureProfile, Profile, Skipped};
use crate::source::Part;
use crate::value::{DType, Kind};

pub mod advice;
pub mod fit;
pub mod memory;
pub mod notation;
pub mod request;
pub(crate) mod scalar;

pub use fit::{FeaturePlan, Fit};
use request::{FeatureRequest, FitRequest, Request};

/// Bytes of output that a block aims at. It does not depend on the memory budget, so that the output does not either:
/// only a window on a block is in memory, and the budget decides how many blocks are in flight.
const BLOCK_BYTES: u64 = 8 << 20;
/// Blocks of the largest outputs, about: their blocks are larger, so that what is noted of each stays small.
const MOST_BLOCKS: u64 = 1 << 13;
/// Bytes of input that a block aims at, at most, where rows are small.
const BLOCK_STORED_BYTES: u64 = 32 << 20;
/// Rows of a block, at most.
const BLOCK_ROWS: u64 = 1 << 20;
/// What a `.npy` header takes at most, in bytes: counted for every array.
const HEADER_BYTES: u64 = 1024;

/// What pass 2 will do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where the output goes.
    pub output: PathBuf,
    /// Whether the output is one `.npy` file, rather than a directory of them.
    pub single: bool,
    /// The format of the dataset.
    pub format: String,
    /// Its files.
    pub parts: Vec<Part>,
    /// The number of elements.
    pub elements: u64,
    /// Bytes of the records.
    pub stored_bytes: u64,
    /// What was asked for.
    pub request: Request,
    /// What is done about bad elements.
    pub on_error: OnError,
    /// Elements that are left out.
    pub skipped: Vec<Skipped>,
    /// What becomes of each feature.
    pub features: Vec<FeaturePlan>,
    /// The arrays.
    pub arrays: Vec<ArrayPlan>,
    /// What must be counted to know where a block of an array begins.
    pub counters: Vec<CounterPlan>,
    /// Rows of a block.
    pub block_rows: u64,
    /// Threads that work at once.
    pub threads: usize,
    /// The memory that is needed.
    pub memory: memory::Memory,
    /// Where elements are.
    pub index: Index,
}

/// An array of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayPlan {
    /// Its name, which is also that of its file, without the ending.
    pub name: String,
    /// What it holds.
    pub dtype: DType,
    /// Its shape.
    pub shape: Vec<u64>,
    /// The number of the feature that it is of.
    pub feature: usize,
    /// What of the feature it holds.
    pub role: Role,
    /// What its rows are.
    pub rows: Rows,
}

/// What an array holds of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A row an element.
    Data,
    /// The true length of each row (of each axis).
    Lengths,
    /// Which items of each row are data.
    Mask,
    /// Which elements have the feature.
    Present,
    /// All values, one after another.
    Values,
    /// Where each element's values start, and where the last one's end.
    Offsets,
    /// Where each byte string starts, and where the last one ends.
    ValueOffsets,
    /// The shape of each element.
    Shapes,
    /// The rows of a bucket.
    Bucket(usize),
    /// The true lengths of a bucket's rows.
    BucketLengths(usize),
    /// Which items of a bucket's rows are data.
    BucketMask(usize),
    /// Which elements the rows of a bucket are.
    BucketElements(usize),
}

/// What the rows of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// The elements.
    Elements,
    /// What this counter counts.
    Counted(usize),
    /// One more than the elements: the starts, and the last end.
    ElementsAndEnd,
    /// One more than what this counter counts.
    CountedAndEnd(usize),
}

/// A running total over the elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterPlan {
    /// Of which feature.
    pub feature: usize,
    /// What of it.
    pub what: Counted,
    /// Its number in the index, where it differs from element to element.
    pub indexed: Option<usize>,
    /// What each element adds, where it does not.
    pub each: u64,
    /// The total over the dataset.
    pub total: u64,
}

impl ArrayPlan {
    /// Bytes of a row.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        self.shape.iter().skip(1).fold(self.dtype.size() as u64, |bytes, size| bytes.saturating_mul(*size))
    }

    /// Bytes of the whole array, without its header.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1).saturating_mul(self.row_bytes())
    }
}

impl Plan {
    /// Bytes of all arrays.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.arrays
            .iter()
            .fold(0, |sum, array| sum.saturating_add(array.bytes()).saturating_add(HEADER_BYTES))
    }

    /// The number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        // A dataset without elements still has a block, which writes the ends of offsets.
        self.elements.div_ceil(self.block_rows).max(1)
    }

    /// Whether anything must be counted element by element.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.counters.iter().any(|counter| counter.indexed.is_some())
    }
}

/// Chooses the buckets that the request leaves to the plan. Gives the request with them, if there were any: the dataset
/// must then be scanned again, to count them.
///
/// # Errors
/// The feature is not there.
pub fn settle_buckets(profile: &Profile, request: &Request) -> Result<Option<Request>> {
    let mut settled = request.clone();
    for wanted in &mut settled.features {
        if let Some(FitRequest::AutoBucket(count)) = wanted.fit {
            let feature = named(profile, wanted)?;
            let sizes = feature.shapes.as_ref().map_or(&feature.lengths, |shapes| &shapes.values);
            wanted.fit = Some(FitRequest::Bucket(advice::buckets(sizes, count)));
        }
    }
    Ok((settled != *request).then_some(settled))
}

fn named<'a>(profile: &'a Profile, wanted: &FeatureRequest) -> Result<&'a FeatureProfile> {
    let names = || {
        profile.features.iter().map(|feature| format!("`{}`", feature.name)).collect::<Vec<_>>().join(", ")
    };
    if wanted.name.is_empty() {
        return match &profile.features[..] {
            [only] => Ok(only),
            _ => Err(Error::request(format!(
                "the dataset has {} features, and it is not said which one is meant",
                profile.features.len()
            ))
            .hint(format!("name it with `--feature NAME`; there are {}", names()))),
        };
    }
    profile.feature(&wanted.name).ok_or_else(|| {
        if let Some((name, _)) =
            wanted.name.split_once(':').filter(|parts| profile.feature(parts.0).is_some())
        {
            return Error::request(format!("no element has a feature `{}`", wanted.name))
                .hint(format!("leave a blank between the name and the keys: `{name}: …`"));
        }
        let near = profile.features.iter().min_by_key(|feature| distance(&feature.name, &wanted.name));
        let error = Error::request(format!("no element has a feature `{}`", wanted.name));
        match near {
            Some(near) if distance(&near.name, &wanted.name) <= 3 => {
                error.hint(format!("did you mean `{}`?", near.name))
            }
            _ => error.hint(format!("there are {}", names())),
        }
    })
}

/// How many letters must be changed to make one name of another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Where the output goes, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The path. One that ends in `.npy` is one array; any other is a directory.
    pub output: PathBuf,
    /// What is done about bad elements.
    pub on_error: OnError,
}

impl Target {
    /// Whether the output is one `.npy` file.
    #[must_use]
    pub fn single(&self) -> bool {
        self.output.extension().is_some_and(|ending| ending == "npy")
    }

    /// The name of the one array: that of its file.
    fn array_name(&self, wanted: &FeatureRequest) -> Result<String> {
        if wanted.rename.is_some() {
            return Err(Error::request(
                "`rename` is for arrays in a directory: this one is named by the output's path",
            ));
        }
        let stem = self.output.file_stem().and_then(|stem| stem.to_str());
        stem.map(str::to_owned)
            .ok_or_else(|| Error::request(format!("`{}` is no name in UTF-8", self.output.display())))
    }
}

/// Decides what pass 2 will do.
///
/// # Errors
/// What cannot work is refused here, before anything is written: with the numbers, and with what to do about it.
pub fn plan(profile: &Profile, request: &Request, machine: &Machine, target: &Target) -> Result<Plan> {
    let single = target.single();
    let (mut features, mut arrays, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    let everything: Vec<FeatureRequest> = profile
        .features
        .iter()
        .map(|feature| FeatureRequest { name: feature.name.clone(), ..FeatureRequest::default() })
        .collect();
    let chosen = !request.features.is_empty();
    let wanted = if chosen { &request.features } else { &everything };
    if profile.elements == 0 {
        return Err(Error::input("the dataset has no elements"));
    }
    request.check()?;
    if single && wanted.len() != 1 {
        let names: Vec<_> = wanted.iter().map(|feature| format!("`{}`", feature.name)).collect();
        return Err(Error::request(format!(
            "`{}` holds one array, but there are {} features",
            target.output.display(),
            wanted.len()
        ))
        .hint(format!("choose one with `--feature NAME`, out of {}", names.join(", ")))
        .hint("or give a directory as the output"));
    }
    let terms = fit::Terms { chosen, single, skip: target.on_error == OnError::Skip };
    for wanted in wanted {
        let feature = named(profile, wanted)?;
        let mut planned =
            fit::plan_feature(profile, feature, wanted, &terms).map_err(|e| e.in_feature(&feature.name))?;
        if single {
            planned.name = target.array_name(wanted)?;
        }
        add_arrays(profile, feature, &planned, features.len(), &mut arrays, &mut counters);
        features.push(planned);
    }
    check_names(&arrays)?;
    let block_rows = block_rows(profile, &arrays);
    let threads = machine
        .threads
        .min(usize::try_from(profile.elements.div_ceil(block_rows)).unwrap_or(usize::MAX))
        .max(1);
    let memory = memory::Memory::of(profile, &features, &arrays, block_rows);
    let mut plan = Plan {
        output: target.output.clone(),
        single,
        format: profile.format.clone(),
        parts: profile.parts.clone(),
        elements: profile.elements,
        stored_bytes: profile.stored_bytes,
        request: request.clone(),
        on_error: target.on_error,
        skipped: profile.skipped.clone(),
        features,
        arrays,
        counters,
        block_rows,
        threads,
        memory,
        index: profile.index.clone(),
    };
    plan.threads = plan.memory.threads_within(machine, threads)?;
    check_disk(profile, &plan, machine)?;
    Ok(plan)
}

/// Rows whose output and input both are of a good size.
fn block_rows(profile: &Profile, arrays: &[ArrayPlan]) -> u64 {
    let elements = profile.elements.max(1);
    let rows_of = |bytes: u64, wanted: u64| {
        let row = bytes.div_ceil(elements).max(1);
        wanted.max(bytes / MOST_BLOCKS) / row
    };
    let written = arrays.iter().fold(0_u64, |sum, array| sum.saturating_add(array.bytes()));
    rows_of(written, BLOCK_BYTES).min(rows_of(profile.stored_bytes, BLOCK_STORED_BYTES)).clamp(1, BLOCK_ROWS)
}

fn add_arrays(
    profile: &Profile,
    feature: &FeatureProfile,
    plan: &FeaturePlan,
    number: usize,
    arrays: &mut Vec<ArrayPlan>,
    counters: &mut Vec<CounterPlan>,
) {
    let elements = profile.elements;
    let mut counter = |what: Counted| {
        let known = counters.iter().position(|counter| counter.feature == number && counter.what == what);
        known.unwrap_or_else(|| {
            counters.push(count(profile, feature, plan, number, what));
            counters.len() - 1
        })
    };
    let mut add = |suffix: &str, dtype: DType, shape: Vec<u64>, role: Role, rows: Rows| {
        arrays.push(ArrayPlan {
            name: format!("{}{suffix}", plan.name),
            dtype,
            shape,
            feature: number,
            role,
            rows,
        });
    };
    let rows_of = |shape: &[u64]| [&[elements], shape].concat();
    match &plan.fit {
        Fit::Exact { shape } => add("", plan.dtype, rows_of(shape), Role::Data, Rows::Elements),
        Fit::Pad { shape, .. } => {
            add("", plan.dtype, rows_of(shape), Role::Data, Rows::Elements);
            if plan.lengths {
                let lengths =
                    if shape.len() == 1 { vec![elements] } else { vec![elements, shape.len() as u64] };
                add(".lengths", DType::Int64, lengths, Role::Lengths, Rows::Elements);
            }
            if plan.mask {
                add(".mask", DType::Bool, rows_of(shape), Role::Mask, Rows::Elements);
            }
        }
        Fit::Ragged { rank } => {
            let values = counter(Counted::Seen);
            let total = total_of(profile, feature, plan, Counted::Seen);
            add(".values", plan.dtype, vec![total], Role::Values, Rows::Counted(values));
            add(".offsets", DType::Int64, vec![elements + 1], Role::Offsets, Rows::ElementsAndEnd);
            if *rank > 1 {
                add(".shapes", DType::Int64, vec![elements, *rank as u64], Role::Shapes, Rows::Elements);
            }
        }
        Fit::RaggedBytes { nested, rank } => {
            let bytes = counter(Counted::Bytes);
            let total = total_of(profile, feature, plan, Counted::Bytes);
            add(".values", DType::Uint8, vec![total], Role::Values, Rows::Counted(bytes));
            if *nested {
                let strings = counter(Counted::Seen);
                let ends = vec![total_of(profile, feature, plan, Counted::Seen) + 1];
                add(".value_offsets", DType::Int64, ends, Role::ValueOffsets, Rows::CountedAndEnd(strings));
            }
            add(".offsets", DType::Int64, vec![elements + 1], Role::Offsets, Rows::ElementsAndEnd);
            if *rank > 1 {
                add(".shapes", DType::Int64, vec![elements, *rank as u64], Role::Shapes, Rows::Elements);
            }
        }
        Fit::Bucket { caps, .. } => {
            for (bucket, cap) in caps.iter().enumerate() {
                let rows = counter(Counted::Bucket(bucket));
                let total = total_of(profile, feature, plan, Counted::Bucket(bucket));
                let rows = Rows::Counted(rows);
                add(&format!(".le{cap}"), plan.dtype, vec![total, *cap], Role::Bucket(bucket), rows);
                add(
                    &format!(".le{cap}.elements"),
                    DType::Int64,
                    vec![total],
                    Role::BucketElements(bucket),
                    rows,
                );
                if plan.lengths {
                    add(
                        &format!(".le{cap}.lengths"),
                        DType::Int64,
                        vec![total],
                        Role::BucketLengths(bucket),
                        rows,
                    );
                }
                if plan.mask {
                    add(
                        &format!(".le{cap}.mask"),
                        DType::Bool,
                        vec![total, *cap],
                        Role::BucketMask(bucket),
                        rows,
                    );
                }
            }
        }
    }
    if plan.present {
        add(".present", DType::Bool, vec![elements], Role::Present, Rows::Elements);
    }
}

fn count(
    profile: &Profile,
    feature: &FeatureProfile,
    plan: &FeaturePlan,
    number: usize,
    what: Counted,
) -> CounterPlan {
    let total = total_of(profile, feature, plan, what);
    let indexed = profile.index.counter(&feature.name, source_of(plan, what));
    CounterPlan { feature: number, what, indexed, each: total / profile.elements.max(1), total }
}

/// Under which name the scan has counted it: what a plain view sees is what is stored.
fn source_of(plan: &FeaturePlan, what: Counted) -> Counted {
    match (what, plan.view.is_plain()) {
        (Counted::Seen, true) => Counted::Values,
        (Counted::Bytes, false) => Counted::SeenBytes,
        (other, _) => other,
    }
}

fn total_of(profile: &Profile, feature: &FeatureProfile, plan: &FeaturePlan, what: Counted) -> u64 {
    let what = source_of(plan, what);
    if let Some(counter) = profile.index.counter(&feature.name, what) {
        return profile.index.sum(counter);
    }
    let shapes = feature.shapes.as_ref();
    match what {
        Counted::Values => feature.lengths.total,
        Counted::Bytes => feature.strings.total,
        Counted::Seen => shapes.map_or(0, |shapes| shapes.values.total),
        Counted::SeenBytes => shapes.map_or(0, |shapes| shapes.strings.total),
        Counted::Bucket(_) => 0,
    }
}

fn check_names(arrays: &[ArrayPlan]) -> Result<()> {
    let mut names: Vec<&str> = arrays.iter().map(|array| array.name.as_str()).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if pair[0] == pair[1] {
            return Err(Error::request(format!("two arrays would be called `{}`", pair[0]))
                .hint("give one another name with `rename=NAME`"));
        }
        // `a.npy` beside `a/b.npy` is fine: a file and a folder whose names differ by the ending.
    }
    for name in names {
        let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > 240;
        if name.contains(['\0', '\\']) || name.split('/').any(bad_part) {
            return Err(Error::request(format!("`{}` cannot be the name of a file", name.escape_debug()))
                .hint("give it another one with `rename=NAME`"));
        }
    }
    Ok(())
}

fn check_disk(profile: &Profile, plan: &Plan, machine: &Machine) -> Result<()> {
    let needed = plan.bytes();
    if needed > machine.disk {
        let message = format!(
            "the arrays take {} ({needed} bytes), but {} are free in `{}`",
            show_size(needed),
            show_size(machine.disk),
            machine.disk_path.display()
        );
        let mut error = Error::new(ErrorKind::Resources, message)
            .hint("give an output on another disk, or free some space");
        for advice in advice::for_plan(profile, plan) {
            error = error.hint(advice.to_string());
        }
        return Err(error);
    }
    let largest = plan.arrays.iter().max_by_key(|array| array.bytes());
    if let (Some(most), Some(array)) = (machine.largest_file, largest)
        && array.bytes().saturating_add(HEADER_BYTES) > most
    {
        let message = format!(
            "`{}` takes {}, but this process may write files of {} at most",
            array.name,
            show_size(array.bytes()),
            show_size(most)
        );
        return Err(
            Error::new(ErrorKind::Resources, message).hint("raise the limit with `ulimit -f unlimited`")
        );
    }
    Ok(())
}

/// Whether a feature's values are byte strings that were stored as such.
pub(crate) fn is_strings(plan: &FeaturePlan) -> bool {
    plan.kind == Kind::Bytes && !fit::is_decoded(&plan.view)
}
