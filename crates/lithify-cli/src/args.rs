//! What can be typed: flags and their help. Nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lithify::error::Result;
use lithify::machine::parse_size;
use lithify::plan::Io;
use lithify::plan::request::{FeatureRequest, Request};
use lithify::scan::OnError;

const EXAMPLES: &str = "\
Examples:
  What is in it, and what would it take?
    lithify scan 'train-*.tfrecord'

  Every feature becomes an array: features whose length varies become values and offsets.
    lithify convert 'train-*.tfrecord' -o arrays/

  One feature, padded to the longest, as one file for np.load(path, mmap_mode=\"r\"):
    lithify convert 'train-*.tfrecord' -o tokens.npy --feature tokens --pad max --dtype int32

  Several features, each in its way:
    lithify convert 'train-*.tfrecord' -o arrays/ \\
        --feature 'tokens: pad=512 truncate value=-1 dtype=int32' \\
        --feature 'image: decode=raw:uint8 reshape=28,28,1' --feature label

Exit codes:
  0 done    1 failed    2 wrong usage    3 done, but elements were skipped    75 stopped, run it again";

const FEATURE_HELP: &str = "\
A feature that is wanted, and how: `NAME` or `NAME: key=value key …`. May be given many times; without it, every feature is taken.

  pad=max | pad=512 | pad=32x64   fill every element up to the longest, or to so many (an axis each)
  value=0                         what the padding is
  side=left                       pad (and cut) at the front instead of the end
  truncate                        cut what is longer than `pad`, instead of failing
  lengths=no                      do not keep the true lengths beside a padded array
  mask                            keep which items are data and which are padding
  ragged                          no padding: NAME.values.npy and NAME.offsets.npy
  bucket=64,128 | bucket=auto:4   an array for each range of lengths, with the element numbers
  reshape=28,28,1                 the shape of each element; -1 is the rest, a name is that int64 feature's value
  decode=raw:uint8                bytes as numbers, as tf.io.decode_raw (`raw:int16:big` is big-endian)
  decode=tensor                   bytes as tf.io.serialize_tensor made them (found without asking)
  dtype=int32 | float16 | S16     cast on the way in; a value that does not fit is an error
  saturate                        … or is clipped
  default=0                       what an element has that lacks the feature
  present                         keep which elements have the feature
  rename=NAME                     the name of the arrays";

/// Turns datasets larger than memory into memory-mapped .npy arrays.
#[derive(Debug, Parser)]
#[command(name = "lithify", version, about, after_help = EXAMPLES, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is in a dataset, and what arrays of it would take.
    Scan {
        #[command(flatten)]
        dataset: Dataset,
        #[command(flatten)]
        run: Run,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Turn a dataset into arrays.
    Convert {
        #[command(flatten)]
        dataset: Dataset,
        /// Where to: `x.npy` for one array, anything else is a directory of them.
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
    /// Work out what `convert` would do, and save it for `write`.
    Plan {
        #[command(flatten)]
        dataset: Dataset,
        /// Where the arrays are to go, as `convert -o`.
        #[arg(long, value_name = "OUT")]
        to: PathBuf,
        /// The file to save the plan in.
        #[arg(short, long, value_name = "PLAN")]
        output: PathBuf,
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        run: Run,
    },
    /// Write the arrays of a saved plan.
    Write {
        /// What `lithify plan` has saved.
        plan: PathBuf,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        run: Run,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare arrays with their checksums.
    Verify {
        /// What `convert` has written: a directory, or an `.npy` file.
        output: PathBuf,
        /// Read the dataset again, too, and compare what it gives.
        #[arg(long)]
        against_source: bool,
        #[command(flatten)]
        run: Run,
    },
    /// Show what was written, from what, and how.
    Info {
        /// What `convert` has written: a directory, or an `.npy` file.
        output: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct Dataset {
    /// Files, directories or globs. Files of a directory or glob are taken in the order of their names.
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// The format, where it is not to be found by content: `tfrecord`, or `tfrecord-raw` for records of any kind.
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<String>,
    /// What to do about elements that are damaged or do not fit: fail, or skip and list them.
    #[arg(long, value_enum, default_value_t = ErrorPolicy::Fail)]
    pub on_error: ErrorPolicy,
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
pub struct Wanted {
    #[arg(short, long = "feature", value_name = "SPEC", help = "A feature that is wanted, and how: `NAME` or `NAME: key=value …` (see --help)", long_help = FEATURE_HELP)]
    pub features: Vec<String>,
    /// A TOML file of `[feature.NAME]` tables with the same keys.
    #[arg(long, value_name = "FILE", conflicts_with = "features")]
    pub recipe: Option<PathBuf>,
    #[command(flatten)]
    pub only: Only,
    /// How to write: with positioned writes, or by filling mapped files in place.
    #[arg(long, value_enum, default_value_t = IoChoice::Pwrite)]
    pub io: IoChoice,
}

/// Keys as flags, for when there is one feature.
#[derive(Debug, Args)]
#[command(next_help_heading = "Keys of the feature, where there is only one")]
pub struct Only {
    /// As the key `pad`.
    #[arg(long, value_name = "SIZE")]
    pub pad: Option<String>,
    /// As the key `value`.
    #[arg(long, allow_hyphen_values = true)]
    pub value: Option<String>,
    /// As the key `side`.
    #[arg(long)]
    pub side: Option<String>,
    /// As the key `truncate`.
    #[arg(long)]
    pub truncate: bool,
    /// As the key `ragged`.
    #[arg(long)]
    pub ragged: bool,
    /// As the key `bucket`.
    #[arg(long, value_name = "LENGTHS")]
    pub bucket: Option<String>,
    /// As the key `reshape`.
    #[arg(long, value_name = "SHAPE", allow_hyphen_values = true)]
    pub reshape: Option<String>,
    /// As the key `decode`.
    #[arg(long)]
    pub decode: Option<String>,
    /// As the key `dtype`.
    #[arg(long)]
    pub dtype: Option<String>,
    /// As the key `saturate`.
    #[arg(long)]
    pub saturate: bool,
    /// As the key `default`.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub default: Option<String>,
}

#[derive(Debug, Args)]
pub struct Writing {
    /// Replace an output that is there already.
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum IoChoice {
    Pwrite,
    Mapped,
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

fn size(text: &str) -> Result<u64> {
    parse_size(text)
}

impl Wanted {
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
            None => {
                Request { features: self.features.iter().map(|text| text.parse()).collect::<Result<_>>()? }
            }
        };
        let only = &self.only;
        let given = [
            ("pad", &only.pad),
            ("value", &only.value),
            ("side", &only.side),
            ("bucket", &only.bucket),
            ("reshape", &only.reshape),
            ("decode", &only.decode),
            ("dtype", &only.dtype),
            ("default", &only.default),
        ];
        let flags = [("truncate", only.truncate), ("ragged", only.ragged), ("saturate", only.saturate)];
        let keys: Vec<(&str, Option<&str>)> = given
            .iter()
            .filter_map(|(key, value)| value.as_deref().map(|value| (*key, Some(value))))
            .chain(flags.iter().filter(|flag| flag.1).map(|flag| (flag.0, None)))
            .collect();
        let Some((first, _)) = keys.first() else { return Ok(request) };
        match request.features.len() {
            0 => request.features.push(FeatureRequest::default()),
            1 => {}
            n => {
                return Err(Error::request(format!("`--{first}` is for one feature, but {n} are given"))
                    .hint(format!("say it of the feature that is meant: `--feature 'NAME: {first}=…'`")));
            }
        }
        for (key, value) in &keys {
            request.features[0].set(key, *value)?;
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
