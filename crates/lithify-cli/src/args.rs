//! What can be typed: flags and their help. Nothing is done here.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use lithify::Portion;
use lithify::error::{Error, Result};
use lithify::machine::parse_size;
use lithify::plan::request::{FeatureRequest, KEYS, Request};
use lithify::plan::{Io, Layout, Target};
use lithify::scan::OnError;
use lithify::source::{Choice, FORMATS};

mod tasks;

pub use tasks::{Planning, ScanShare, Task, TaskNumber, Tasks};

const EXAMPLES: &str = "\
Examples:
  What is in it, and what would it take?
    lithify scan 'train-*.tfrecord'

  Every feature becomes an array: features whose length varies become values and offsets.
    lithify convert 'train-*.tfrecord' -o arrays/

  One feature, padded to the longest, as one file for np.load(path, mmap_mode=\"r\"):
    lithify convert 'train-*.tfrecord' -o tokens.npy --feature tokens --pad max --dtype int32

  Every feature as an array of a Zarr store, in compressed chunks:
    lithify convert 'train-*.tfrecord' -o arrays.zarr

  A folder of images, a class each, as one array of 224 x 224:
    lithify convert photos/ -o arrays/ --feature 'image: resize=224x224 channels=3' --feature label

  Several features, each in its way:
    lithify convert 'train-*.tfrecord' -o arrays/ \\
        --feature 'tokens: pad=512 truncate value=-1 dtype=int32' \\
        --feature 'image: decode=raw:uint8 reshape=28,28,1' --feature label

Exit codes:
  0 done    1 failed    2 wrong usage    3 done, but elements were skipped    75 stopped, run it again";

/// Turns datasets larger than memory into memory-mapped .npy arrays, or Zarr.
#[derive(Debug, Parser)]
#[command(name = "lithify", version, long_version = long_version(), after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The version, and what it was built with that another build may lack.
fn long_version() -> String {
    let blosc = if cfg!(feature = "blosc") { ", blosc" } else { " (blosc is read, and not written)" };
    let jpeg =
        if lithify::image::jpeg_simd() { "SIMD" } else { "no SIMD, for want of nasm when it was built" };
    format!(
        "{}\nZarr codecs: zstd, gzip, crc32c, sharding{blosc}\nJPEG: {jpeg}\nchecksums: {}",
        env!("CARGO_PKG_VERSION"),
        lithify::store::checksum_target()
    )
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is in a dataset, and what arrays of it would take.
    Scan {
        #[command(flatten)]
        dataset: Dataset,
        #[command(flatten)]
        features: Features,
        #[command(flatten)]
        share: ScanShare,
        #[command(flatten)]
        run: Run,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
        /// Write a page with histograms and what each way to make arrays would take, too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Turn a dataset into arrays.
    Convert {
        #[command(flatten)]
        dataset: Dataset,
        /// Where to: `x.npy` for one array, `x.zarr` for a Zarr store, anything else is a directory of `.npy` files.
        #[arg(short, long, value_name = "OUT")]
        output: PathBuf,
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        run: Run,
        /// Print what would be done, and stop.
        #[arg(long)]
        dry_run: bool,
        /// Print the plan or the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what was written, from what, and how.
    Info {
        /// What `convert` has written: a directory, a Zarr store, or an `.npy` file.
        output: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
        /// Write a page with some elements of each feature, and how far values range, too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Write a picture with some elements of each feature, too: a PNG file.
        #[arg(long, value_name = "FILE")]
        sheet: Option<PathBuf>,
    },
    /// Compare arrays with their checksums.
    Verify {
        /// What `convert` has written: a directory, a Zarr store, or an `.npy` file.
        output: PathBuf,
        /// Read the dataset again, too, and compare what it gives.
        #[arg(long)]
        against_source: bool,
        #[command(flatten)]
        run: Run,
    },
    /// Write anew what has changed of arrays since they were written: only the blocks that it takes.
    Repair {
        /// What `convert` has written: a directory, a Zarr store, or an `.npy` file.
        output: PathBuf,
        #[command(flatten)]
        run: Run,
    },
    /// Work out what `convert` would do, and save it for `write`.
    Plan(Box<Planning>),
    /// Write the arrays of a saved plan, or a task's share of them.
    Write {
        /// What `lithify plan` has saved.
        plan: PathBuf,
        #[command(flatten)]
        task: Task,
        /// A directory of a local disk, where files of a Zarr store are built before they are copied to the output, by a task.
        #[arg(long, value_name = "DIR", requires = "task", help_heading = "How it runs")]
        scratch: Option<PathBuf>,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        run: Run,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check that all tasks of a plan are done, and give the output its name.
    Finish {
        /// What `lithify plan` has saved.
        plan: PathBuf,
        /// Replace an output that is there already, also if the plan was not made for that.
        #[arg(long)]
        overwrite: bool,
        /// Do not wait until everything is on the disk.
        #[arg(long)]
        no_sync: bool,
        #[command(flatten)]
        run: Run,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show how far the tasks of a plan are.
    Status {
        /// What `lithify plan` has saved.
        plan: PathBuf,
        /// Print JSON, with every task, instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Print a script that submits a conversion to Slurm as arrays of tasks; to be read, changed, and run by `bash`. It takes the same
    /// as `plan`.
    Slurm(Box<Planning>),
    /// Print what completes the commands and flags of lithify in a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the manual pages, one a command, into a directory.
    Man {
        /// Such as `~/.local/share/man/man1`.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Dataset {
    /// Files, directories or globs: the elements of one after those of another. Files of a directory or glob are taken in the
    /// order of their names.
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    // Its help names all formats that there are.
    #[arg(long, value_name = "FORMAT", help = formats(), hide_possible_values = true, value_parser = FormatName)]
    pub from: Option<String>,
    /// Of a directory of TensorFlow Datasets, what is wanted: `train`, `train[:10%]`, `train[100:200]`, `train+test`. Without
    /// it, all splits one after another. Of any dataset, outputs to split it into at random: `train=0.9,val=0.1`. For both, give it
    /// twice.
    #[arg(long, value_name = "SPLIT")]
    pub split: Vec<String>,
    /// Take elements that meet a condition on one of their features, and no others: `label < 10`, `source != web`,
    /// `len(tokens) <= 512`. Of several conditions, all.
    #[arg(long, value_name = "CONDITION")]
    pub select: Vec<String>,
    /// Take no more than the first so many elements.
    #[arg(long, value_name = "N", value_parser = limit)]
    pub limit: Option<u64>,
    /// Write rows in a random order, which depends on this number and on nothing else. What does not fit half of the memory is
    /// read several times.
    #[arg(long, value_name = "SEED", value_parser = seed)]
    pub shuffle: Option<u64>,
    /// A dataset whose elements stand beside those of the inputs: each gets the features of both. May be given many times.
    #[arg(long, value_name = "INPUT")]
    pub zip: Vec<PathBuf>,
    /// What to do about elements that are damaged or do not fit: fail, or skip and list them.
    #[arg(long, value_enum, default_value_t = ErrorPolicy::Fail)]
    pub on_error: ErrorPolicy,
}

impl Dataset {
    /// Which elements are wanted.
    #[must_use]
    pub fn choice(&self) -> Choice {
        let (shares, splits) = self.splits();
        Choice {
            split: (!splits.is_empty()).then(|| splits.join("+")),
            select: self.select.clone(),
            limit: self.limit,
            shuffle: self.shuffle.or((!shares.is_empty()).then_some(0)),
            rows: None,
        }
    }

    /// Into which outputs it is to be split, if it is.
    ///
    /// # Errors
    /// They cannot be understood.
    pub fn portions(&self) -> Result<Option<Vec<Portion>>> {
        match &self.splits().0[..] {
            [] => Ok(None),
            [shares] => Portion::all(shares).map(Some),
            [_, more, ..] => {
                Err(Error::request(format!("`--split {more}`: shares of outputs are given already"))
                    .hint("name all of them at once, as in `--split train=0.9,val=0.1`"))
            }
        }
    }

    /// The shares of outputs, and the splits that the dataset has.
    fn splits(&self) -> (Vec<&str>, Vec<&str>) {
        self.split.iter().map(String::as_str).partition(|split| split.contains('='))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ErrorPolicy {
    Fail,
    Skip,
}

impl From<ErrorPolicy> for OnError {
    fn from(policy: ErrorPolicy) -> Self {
        match policy {
            ErrorPolicy::Fail => Self::Fail,
            ErrorPolicy::Skip => Self::Skip,
        }
    }
}

#[derive(Debug, Args)]
pub struct Features {
    /// A feature that is wanted, and how: `NAME` or `NAME: key=value key …`, with the keys below. May be given many times;
    /// without it, every feature is taken.
    #[arg(short = 'f', long = "feature", id = "feature", value_name = "SPEC")]
    pub specs: Vec<String>,
    /// A TOML file of `[feature.NAME]` tables with the same keys.
    #[arg(long, value_name = "FILE", conflicts_with = "feature")]
    pub recipe: Option<PathBuf>,
    #[command(flatten)]
    pub only: Only,
}

#[derive(Debug, Args)]
pub struct Wanted {
    #[command(flatten)]
    pub features: Features,
    /// How the arrays are kept, where the output's name does not tell: `.npy` files, Zarr, or version 2 of Zarr.
    #[arg(long, value_enum, value_name = "STORE")]
    pub store: Option<StoreChoice>,
    /// How to write: with positioned writes, or by filling mapped files in place.
    #[arg(long, value_enum, default_value_t = IoChoice::Pwrite, help_heading = "How it runs")]
    pub io: IoChoice,
}

/// The keys as flags, for when there is one feature: those that are given, and their values.
#[derive(Debug, Default)]
pub struct Only(Vec<(&'static str, Option<String>)>);

impl Only {
    /// Those that are given.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.0.iter().map(|(key, value)| (*key, value.as_deref()))
    }
}

impl Args for Only {
    fn augment_args(command: clap::Command) -> clap::Command {
        let heading =
            "Keys, as in `--feature 'tokens: pad=512 mask'`; or as flags, where one feature is wanted";
        command.args(KEYS.iter().map(|key| {
            let arg = Arg::new(key.name).long(key.name).help_heading(heading).help(key.help());
            match key.value {
                Some(name) => arg.value_name(name).allow_hyphen_values(true),
                None => arg.action(ArgAction::SetTrue),
            }
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Only {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = KEYS.iter().filter_map(|key| match key.value {
            Some(_) => matches.get_one::<String>(key.name).map(|value| (key.name, Some(value.clone()))),
            None => matches.get_flag(key.name).then_some((key.name, None)),
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How it runs")]
pub struct Writing {
    /// Replace an output that is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Throw away what a run that was ended has left, and begin anew.
    #[arg(long)]
    pub restart: bool,
    /// Seconds between two times when what is done is made to reach the disk: what a power cut may cost.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub sync_every: f64,
    /// Do not wait until everything is on the disk: faster, but a power cut may cost an output that seems complete.
    #[arg(long, conflicts_with = "sync_every")]
    pub no_sync: bool,
}

fn limit(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "it is no number of elements, from 1 on".into())
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "it is no seed: any whole number from 0 on, the same for the same order".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    let found = text.parse::<f64>().ok().filter(|seconds| (0.001..1e6).contains(seconds));
    found.ok_or_else(|| "it is no number of seconds".into())
}

/// Endings of files that somebody may hope for.
const OTHERS: [&str; 12] =
    ["npz", "h5", "hdf5", "parquet", "arrow", "feather", "tfrecord", "pt", "csv", "pkl", "zip", "tar"];

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum IoChoice {
    Pwrite,
    Mapped,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StoreChoice {
    Npy,
    Zarr,
    Zarr2,
}

impl From<IoChoice> for Io {
    fn from(choice: IoChoice) -> Self {
        match choice {
            IoChoice::Mapped => Self::Mapped,
            IoChoice::Pwrite => Self::Pwrite,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How it runs")]
pub struct Run {
    /// The most memory to take, such as `512MiB` or `2GB`. By default a share of what this process may have.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Threads that work at once. By default one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Print no progress and no summary.
    #[arg(short, long)]
    pub quiet: bool,
}

/// The name of a format, which shells complete. Whether it is one, the library says, and what each is.
#[derive(Clone)]
struct FormatName;

impl TypedValueParser for FormatName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(FORMATS.iter().map(|format| PossibleValue::new(format.name()).help(format.about()))))
    }
}

fn formats() -> String {
    let names: Vec<_> = FORMATS.iter().map(|format| format!("`{}`", format.name())).collect();
    format!("The format, where it is not to be found by content: {}", names.join(", "))
}

fn size(text: &str) -> Result<u64, String> {
    // Of an error of a value, its message alone is shown.
    parse_size(text).map_err(|error| format!("{error}: {}", error.hints().join(", ")))
}

impl Wanted {
    /// Where the output goes, and how.
    ///
    /// # Errors
    /// The output is called as something else.
    pub fn target(&self, output: PathBuf, dataset: &Dataset) -> Result<Target> {
        if output.to_string_lossy().contains("://") {
            return Err(Error::request(format!(
                "`{}` is an address, and what is written are files",
                output.display()
            ))
            .hint("write to a disk, and copy it then"));
        }
        if output.as_os_str() == "-" {
            return Err(Error::request("arrays are not written to the standard output").hint("give a name"));
        }
        let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if OTHERS.contains(&ending) {
            return Err(Error::request(format!("no `.{ending}` file is written")).hint(
                "`OUT.npy` is one array, `OUT.zarr` a Zarr store, and `OUT` a directory of `.npy` files",
            ));
        }
        let named = Layout::of(&output);
        let layout = match self.store {
            Some(StoreChoice::Zarr) if named != Layout::NpyFile => Layout::Zarr,
            Some(StoreChoice::Zarr2) if named != Layout::NpyFile => Layout::Zarr2,
            Some(StoreChoice::Npy) if !named.is_zarr() => named,
            None => named,
            Some(_) => {
                let message = format!("`{}` is no name for what `--store` asks for", output.display());
                return Err(
                    Error::request(message).hint("give the output another name, or leave `--store` out")
                );
            }
        };
        Ok(Target { output, layout, on_error: dataset.on_error.into(), io: self.io.into() })
    }

    /// The request that the flags make.
    ///
    /// # Errors
    /// As [`Features::request`].
    pub fn request(&self) -> Result<Request> {
        self.features.request()
    }
}

impl Features {
    /// The request that the flags make.
    ///
    /// # Errors
    /// The notation is not understood, or short flags are given beside more than one feature.
    pub fn request(&self) -> Result<Request> {
        use lithify::Error;
        let mut request = match &self.recipe {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
                Request::from_recipe(&text).map_err(|e| e.in_file(path))?
            }
            None => Request { features: self.specs.iter().map(|text| text.parse()).collect::<Result<_>>()? },
        };
        let keys = &self.only.0;
        let Some((first, _)) = keys.first() else { return Ok(request) };
        match request.features.len() {
            0 => request.features.push(FeatureRequest::default()),
            1 => {}
            n => {
                return Err(Error::request(format!("`--{first}` is for one feature, but {n} are given"))
                    .hint(format!("say it of the feature that is meant: `--feature 'NAME: {first}=…'`")));
            }
        }
        for (key, value) in keys {
            request.features[0].set(key, value.as_deref())?;
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn short_flags_say_the_same_as_the_notation() {
        let wanted = |words: &[&str]| {
            let words = ["lithify", "convert", "in", "-o", "out"].iter().chain(words);
            match Cli::parse_from(words).command {
                Command::Convert { wanted, .. } => wanted.request(),
                _ => unreachable!(),
            }
        };
        let short = wanted(&[
            "--feature",
            "tokens",
            "--pad",
            "512",
            "--value",
            "-1",
            "--truncate",
            "--dtype",
            "int32",
        ])
        .unwrap();
        assert_eq!(short, wanted(&["-f", "tokens: pad=512 value=-1 truncate dtype=int32"]).unwrap());
        assert!(wanted(&["-f", "a", "-f", "b", "--pad", "3"]).is_err());
    }
}
