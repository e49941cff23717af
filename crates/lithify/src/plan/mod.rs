//! What pass 2 will do: a pure function of what pass 1 learnt, what is wanted, and what the machine has. It opens no
//! file, so a plan can be printed, saved, compared, and tried for any machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Change, Error, ErrorKind, Place, Result, nearest};
use crate::machine::{Machine, show_size};
use crate::scan::OnError;
use crate::scan::index::Index;
use crate::scan::profile::{FeatureProfile, Profile, Skipped};
use crate::source::{Choice, Part};
use crate::value::Kind;

pub mod advice;
mod arrays;
mod casts;
mod check;
pub mod chunks;
pub mod codec;
pub mod fit;
pub mod image;
mod layout;
pub mod memory;
pub mod notation;
mod remedy;
pub mod request;
pub(crate) mod scalar;
mod seen;
mod settle;
pub mod tasks;
mod wanted;
mod zarr;

pub use arrays::{ArrayPlan, CounterPlan, Role, Rows};
pub use fit::{FeaturePlan, Fit};
pub use layout::Layout;
pub(crate) use layout::MANIFEST;
use request::{FeatureRequest, Request};
pub use settle::{settle_buckets, settled};
pub use tasks::Tasks;
use wanted::Wanted;
pub use zarr::ZarrArray;

/// Bytes of output that a block aims at. It does not depend on the memory budget, so that the output does not either:
/// only a window on a block is in memory, and the budget decides how many blocks are in flight.
const BLOCK_BYTES: u64 = 8 << 20;
/// Blocks of the largest outputs, about: their blocks are larger, so that what is noted of each stays small. Of many arrays,
/// there are fewer.
const MOST_BLOCKS: (u64, u64) = (1 << 13, 1 << 16);
/// Notes of blocks, about: one for each block and array.
const MOST_NOTES: u64 = 1 << 19;
/// Bytes of input that a block aims at, at most, where rows are small.
const BLOCK_STORED_BYTES: u64 = 32 << 20;
/// Rows of a block, at most.
const BLOCK_ROWS: u64 = 1 << 20;
/// How many bytes are read for a byte that is written where reading takes longer.
const READ_MORE: u64 = 2;
/// Slabs that are too few for threads to take whole ones.
const FEW_SLABS: u64 = 8;

/// What pass 2 will do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where the output goes.
    pub output: PathBuf,
    /// How its arrays are kept.
    pub layout: Layout,
    /// The format of the dataset.
    pub format: String,
    /// Its files.
    pub parts: Vec<Part>,
    /// Which elements of the dataset they are.
    #[serde(flatten)]
    pub choice: Choice,
    /// The names of what numbers stand for, by feature.
    pub classes: BTreeMap<String, Vec<String>>,
    /// Samples a second, of features that are sounds of one rate.
    #[serde(default)]
    pub rates: BTreeMap<String, u64>,
    /// The number of elements.
    pub elements: u64,
    /// Bytes of the records.
    pub stored_bytes: u64,
    /// What was asked for.
    pub request: Request,
    /// What is done about bad elements.
    pub on_error: OnError,
    /// How blocks reach the disk.
    pub io: Io,
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
    /// The tasks that carry it out, if not one process does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tasks: Option<Tasks>,
    /// Threads that work at once.
    pub threads: usize,
    /// The memory that is needed.
    pub memory: memory::Memory,
    /// Where elements are.
    pub index: Index,
}

impl Plan {
    /// Where the output goes, and how.
    #[must_use]
    pub fn target(&self) -> Target {
        Target { output: self.output.clone(), layout: self.layout, on_error: self.on_error, io: self.io }
    }

    /// Whether it hangs together: one that was read from a file need not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let counted = |array: &ArrayPlan| match array.rows {
            Rows::Elements | Rows::ElementsAndEnd => true,
            Rows::Counted(counter) | Rows::CountedAndEnd(counter) => counter < self.counters.len(),
        };
        let arrays = |array: &ArrayPlan| array.feature < self.features.len() && counted(array);
        self.block_rows > 0 && self.blocks() <= 1 << 24 && self.arrays.iter().all(arrays)
    }

    /// The plan of what was begun by this one, and turned out to have so many elements and such totals.
    #[must_use]
    pub fn of_elements(mut self, elements: u64, totals: &[u64]) -> Self {
        self.stored_bytes = self.stored_bytes / self.elements.max(1) * elements;
        self.elements = elements;
        for (counter, total) in self.counters.iter_mut().zip(totals) {
            counter.total = *total;
        }
        for array in &mut self.arrays {
            array.shape[0] = match array.rows {
                Rows::Elements => elements,
                Rows::ElementsAndEnd => elements + 1,
                Rows::Counted(counter) => totals[counter],
                Rows::CountedAndEnd(counter) => totals[counter] + 1,
            };
        }
        self
    }

    /// Whether a plan that was made of one element alone is that of all those of which it can be carried out.
    #[must_use]
    pub fn tells_what_does_not_fit(&self) -> bool {
        let exact = |fit: &Fit| matches!(fit, Fit::Exact { .. });
        self.features
            .iter()
            .all(|feature| feature.is_of_numbers() && (exact(&feature.fit) || feature.is_list()))
    }

    /// Whether it can be carried out however many values the elements have, and is the same then.
    #[must_use]
    pub fn fits_any_length(&self) -> bool {
        self.features.iter().all(|feature| feature.is_of_numbers() && feature.is_list())
    }

    /// Bytes of all arrays. Compressed, they take less.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.arrays.iter().fold(0, check::add_file_bytes)
    }

    /// The number of files that hold data, at most.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.arrays.iter().fold(0, |sum, array| sum.saturating_add(array.files()))
    }

    /// The number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.elements.div_ceil(self.block_rows)
    }

    /// How many rows may be filled at a time, where a source gives elements in runs. More than one only if none is made of
    /// more than the items of its element, as they are, so that nothing can be wrong with one that is not with all.
    #[must_use]
    pub fn run(&self) -> u64 {
        let copies = |feature: &FeaturePlan| {
            matches!((feature.kind, feature.stored), (Kind::Items(_), Some(dtype)) if dtype == feature.dtype)
                && matches!(feature.fit, Fit::Exact { .. })
                && feature.view.is_plain()
                && !feature.finish.changes()
                && !feature.present
        };
        if !self.skipped.is_empty() || !self.features.iter().all(copies) {
            return 1;
        }
        let largest = self.arrays.iter().map(ArrayPlan::row_bytes).max().unwrap_or(1);
        (memory::BUFFER_BYTES / largest.max(1)).max(1)
    }

    /// Whether anything must be counted element by element.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.counters.iter().any(|counter| counter.indexed.is_some())
    }
}

fn named<'a>(profile: &'a Profile, wanted: &FeatureRequest) -> Result<&'a FeatureProfile> {
    let renamed = |name: &str| {
        let meant = FeatureRequest { name: name.to_owned(), ..wanted.clone() };
        Change::Spec(wanted.name.clone(), meant.to_string())
    };
    let names = || {
        profile.features.iter().map(|feature| format!("`{}`", feature.name)).collect::<Vec<_>>().join(", ")
    };
    if wanted.name.is_empty() {
        let mut filled = profile.features.iter().filter(|feature| feature.kind().is_some());
        return match (filled.next(), filled.next(), &profile.features[..]) {
            (Some(only), None, _) | (None, None, [only]) => Ok(only),
            _ => {
                let error = Error::request(format!(
                    "the dataset has {} features, and it is not said which one is meant",
                    profile.features.len()
                ));
                let error = error.hint(format!("name it with `--feature NAME`; there are {}", names()));
                // Words are said of what needs them, most often.
                let (varying, alike): (Vec<_>, Vec<_>) = profile
                    .features
                    .iter()
                    .partition(|feature| feature.lengths.min() != feature.lengths.max());
                let each = varying.into_iter().chain(alike).map(|feature| renamed(&feature.name));
                Err(each.fold(error, Error::instead))
            }
        };
    }
    profile.feature(&wanted.name).ok_or_else(|| {
        if let Some(why) = profile.left_out.get(&wanted.name) {
            return Error::input(format!("it cannot be read: {why}")).in_feature(&wanted.name);
        }
        let error = Error::request(format!("no element has a feature `{}`", wanted.name));
        let apart = |at: char| {
            let (name, keys) = wanted.name.split_once(at)?;
            profile.feature(name).map(|_| (name, keys))
        };
        let keys_after = |why: &str, (name, keys): (&str, &str)| {
            let spec = Change::Spec(wanted.name.clone(), format!("{name}: {keys}"));
            (format!("{why} the name and the keys: `{name}: …`"), spec)
        };
        let blank = apart(' ').filter(|(_, keys)| keys.contains('='));
        let blank = blank.map(|parts| keys_after("a colon stands between", parts));
        let misspelt = blank.or_else(|| apart(':').map(|parts| keys_after("leave a blank between", parts)));
        if let Some((hint, spec)) = misspelt {
            return error.hint(hint).instead(spec);
        }
        match nearest(&wanted.name, profile.features.iter().map(|feature| &feature.name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")).instead(renamed(near)),
            None => error.hint(format!("there are {}", names())),
        }
    })
}

/// What is to be said of features that are asked for, and that no element has.
#[must_use]
pub fn unknown(profile: &Profile, request: &Request) -> Vec<String> {
    let plain =
        |feature: &&FeatureRequest| !feature.drop && !feature.name.contains('*') && !feature.name.is_empty();
    let asked = request.features.iter().filter(plain);
    let errors = asked.filter_map(|feature| named(profile, feature).err());
    errors
        .map(|error| error.hints().iter().fold(error.to_string(), |text, hint| text + "; " + hint))
        .collect()
}

/// How blocks reach the disk.
///
/// Measured on ext4 and tmpfs (Linux 6.18, two threads; `scripts/bench io` repeats it): positioned writes from a buffer
/// that stays in a core's cache are at least as fast as filling maps, for the kernel must clear a mapped page before it
/// is filled. They are safe on every file system, and their speed depends neither on alignment nor on the page size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// Buffers are written at their offsets.
    #[default]
    Pwrite,
    /// Files are mapped and filled in place. Only where their space can be reserved.
    Mapped,
}

impl std::fmt::Display for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pwrite => "pwrite",
            Self::Mapped => "mapped",
        })
    }
}

/// Where the output goes, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The path.
    pub output: PathBuf,
    /// How the arrays are kept: [`Layout::of`] the path, where nothing else is wanted.
    pub layout: Layout,
    /// What is done about bad elements.
    pub on_error: OnError,
    /// How blocks reach the disk.
    pub io: Io,
}

impl Target {
    /// The name of the one array: that of its file.
    fn array_name(&self, wanted: &FeatureRequest) -> Result<String> {
        if wanted.rename.is_some() {
            return Err(Error::request(
                "`rename` is for arrays in a directory: this one is named by the output's path",
            )
            .instead(Change::WordsOf(wanted.name.clone(), "-rename".into())));
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
    decide(profile, request, machine, target).map_err(|error| {
        let asked = remedy::Asked {
            request: request.clone(),
            machine: machine.clone(),
            target: target.clone(),
            flags: Vec::new(),
            sure: true,
        };
        let remedy = remedy::find(profile, &asked, &error);
        error.with_remedy(remedy)
    })
}

fn decide(profile: &Profile, request: &Request, machine: &Machine, target: &Target) -> Result<Plan> {
    let layout = target.layout;
    let single = layout.single();
    let (mut features, mut arrays, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = request.all_of(&profile.names());
    if profile.elements == 0 {
        return Err(no_elements(profile));
    }
    request.check()?;
    if wanted.is_empty() {
        return Err(Error::request("no feature is left to make an array of")
            .hint("leave one that is not to be dropped"));
    }
    if single && wanted.len() != 1 {
        let names: Vec<_> = wanted.iter().map(|wanted| format!("`{}`", wanted.request.name)).collect();
        return Err(Error::request(format!(
            "`{}` holds one array, but there are {} features",
            target.output.display(),
            wanted.len()
        ))
        .hint(format!("choose one with `--feature NAME`, out of {}", names.join(", ")))
        .hint("or give a directory as the output")
        .instead(Change::Directory));
    }
    let skip = target.on_error == OnError::Skip;
    for Wanted { request: wanted, any } in &wanted {
        let feature = named(profile, wanted)?;
        let terms = seen::Terms { chosen: !any, single, skip };
        let mut planned =
            fit::plan_feature(profile, feature, wanted, &terms).map_err(|e| e.in_feature(&feature.name))?;
        if single {
            planned.name = target.array_name(wanted)?;
        } else if layout.is_zarr() && wanted.rename.is_none() {
            planned.name = zarr::name_of(&planned.name);
        }
        let number = features.len();
        arrays::add_arrays((profile, layout), feature, &planned, number, &mut arrays, &mut counters);
        features.push(planned);
    }
    layout.check_names(&features, &arrays)?;
    if layout.is_zarr() {
        let wanted: Vec<_> = wanted.iter().map(|wanted| &wanted.request).collect();
        zarr::describe(profile, layout, &features, &wanted, &mut arrays)?;
    } else {
        for Wanted { request: wanted, .. } in &wanted {
            zarr::refuse(wanted).map_err(|e| e.in_feature(&wanted.name))?;
        }
    }
    if layout.is_zarr() && target.io == Io::Mapped {
        return Err(Error::request("`--io mapped` is for `.npy` files: chunks are encoded in memory")
            .hint("leave `--io` out")
            .instead(Change::Flag("io", None)));
    }
    let block_rows = block_rows(profile, &arrays, layout);
    let blocks = memory::Blocks { count: profile.elements.div_ceil(block_rows), rows: block_rows };
    let memory = memory::Memory::of(profile, &features, &arrays, blocks, target.io);
    let plan = Plan {
        output: target.output.clone(),
        layout,
        format: profile.format.clone(),
        parts: profile.parts.iter().map(Part::absolute).collect(),
        choice: profile.choice.clone(),
        classes: profile.classes.clone(),
        rates: profile.rates.clone(),
        elements: profile.elements,
        stored_bytes: profile.stored_bytes,
        request: request.clone(),
        on_error: target.on_error,
        io: target.io,
        skipped: profile.skipped.clone(),
        features,
        arrays,
        counters,
        block_rows,
        tasks: None,
        threads: 1,
        memory,
        index: profile.index.clone(),
    };
    let (advised, padded) = (advice::for_plan(profile, &plan, machine), remedy::without_padding(&plan));
    let heaviest = memory::heaviest(profile, &plan).filter(|_| plan.memory.at(1) > machine.memory);
    plan.on(machine).map_err(|mut error| {
        if let Some((bytes, place, what)) = heaviest {
            error = error.at_place(&place).hint(format!(
                "most of it is for this {what}, which by its header takes up to {} to decode: if that is not so, leave it out of the dataset",
                show_size(bytes)
            ));
        }
        if error.kind() == ErrorKind::Resources {
            for advice in advised {
                error = error.hint(advice.to_string());
            }
            error = padded.into_iter().fold(error, Error::instead);
        }
        error
    })
}

fn no_elements(profile: &Profile) -> Error {
    let Some(first) = profile.skipped.first() else {
        return match &profile.choice.select[..] {
            [] => Error::input("the dataset has no elements"),
            select => Error::input(format!("no element of the dataset meets `{}`", select.join("` and `")))
                .hint("`lithify scan` without it shows which features there are, and what they hold; `len` of byte strings of TFRecords is their number"),
        };
    };
    let (place, count) = (&first.place, profile.skipped.len());
    let reason = match count {
        1 => first.reason.clone(),
        _ => format!("{} (and {} more are left out)", first.reason, count - 1),
    };
    // It is no element's: there is none.
    let place = Place { element: None, ..place.clone() };
    let error = Error::input(format!("no element is left: {reason}")).at_place(&place);
    match place.feature {
        Some(_) => error.hint("where it is the same with every element, look at the request"),
        None => error,
    }
}

/// Rows whose output and input both are of a good size.
fn block_rows(profile: &Profile, arrays: &[ArrayPlan], layout: Layout) -> u64 {
    let elements = profile.elements.max(1);
    let most = (MOST_NOTES / (arrays.len() as u64).max(1)).clamp(MOST_BLOCKS.0, MOST_BLOCKS.1);
    let rows_of = |bytes: u64, wanted: u64| {
        let row = bytes.div_ceil(elements).max(1);
        wanted.max(bytes / most) / row
    };
    let written = arrays.iter().fold(0_u64, |sum, array| sum.saturating_add(array.bytes()));
    let rows = rows_of(written, BLOCK_BYTES)
        .min(rows_of(profile.stored_bytes, BLOCK_STORED_BYTES))
        .clamp(1, BLOCK_ROWS);
    if !layout.is_zarr() {
        return rows;
    }
    // Slabs have so many rows, too, so that blocks are whole slabs, or slabs whole blocks.
    let rows = chunks::power_of_two_within(rows);
    // What has all of a slab encodes it as it is filled, and need not keep it. But where reading takes longer than writing, and
    // where slabs are few, blocks that are smaller keep more threads at work.
    let by_elements = arrays.iter().filter(|array| array.rows == Rows::Elements);
    let largest = by_elements.max_by_key(|array| array.bytes()).and_then(|array| array.zarr.as_ref());
    let slab = largest.map_or(1, |zarr| zarr.chunks.slab_rows());
    let whole = rows.next_multiple_of(slab);
    let reading = profile.stored_bytes > written.saturating_mul(READ_MORE);
    if reading || elements < whole.saturating_mul(FEW_SLABS) { rows } else { whole }
}
