//! Parts of a shuffled dataset, each for an output of its own: `train=0.9,val=0.1`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A part of a dataset, by its share of the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Portion {
    /// What it is called.
    pub name: String,
    /// Shares of the elements before it, and up to its end: 0 to 1.
    bounds: [f64; 2],
}

impl Portion {
    /// The portions that a text names.
    ///
    /// # Errors
    /// A share is none, or together they are more than all.
    pub fn all(text: &str) -> Result<Vec<Self>> {
        let wrong = |what: &str| {
            Error::request(format!("`--split {text}`: {what}")).hint("as in `--split train=0.9,val=0.1`")
        };
        let mut portions: Vec<Self> = Vec::new();
        let mut before = 0.0;
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or_else(|| wrong("a part of it has no share"))?;
            let name = name.trim();
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
                return Err(wrong("a part of it has no name that a file can have"));
            }
            if portions.iter().any(|portion| portion.name == name) {
                return Err(wrong("two parts of it have one name"));
            }
            let share = share.trim().parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
            let share = share.ok_or_else(|| wrong("a share is a number above 0, up to 1"))?;
            // Shares such as 0.7, 0.2 and 0.1 do not add up to 1 exactly.
            let end = before + share;
            let end = if (end - 1.0).abs() < 1e-9 { 1.0 } else { end };
            if end > 1.0 {
                return Err(wrong("the shares are more than 1 together"));
            }
            portions.push(Self { name: name.to_owned(), bounds: [before, end] });
            before = end;
        }
        Ok(portions)
    }

    /// The rows that it has of so many.
    #[must_use]
    pub fn rows(&self, elements: u64) -> [u64; 2] {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count, rounded to the nearest"
        )]
        self.bounds.map(|share| ((elements as f64 * share).round() as u64).min(elements))
    }

    /// Where it goes, of an output at `output`: a directory holds portions; the name of a file or a store gets theirs.
    #[must_use]
    pub fn output(&self, output: &Path) -> PathBuf {
        let ending = output.extension().filter(|ending| *ending == "npy" || *ending == "zarr");
        match (ending, output.file_stem()) {
            (Some(ending), Some(stem)) => output.with_file_name(format!(
                "{}-{}.{}",
                stem.to_string_lossy(),
                self.name,
                ending.to_string_lossy()
            )),
            _ => output.join(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_all_that_there_is() {
        let portions = Portion::all("train=0.7, val=0.2,test=0.1").unwrap();
        let rows = |elements| portions.iter().map(|portion| portion.rows(elements)).collect::<Vec<_>>();
        assert_eq!(rows(10), [[0, 7], [7, 9], [9, 10]]);
        assert_eq!(rows(1003), [[0, 702], [702, 903], [903, 1003]]);
        assert_eq!(rows(0), [[0, 0]; 3]);
        let outputs = |output: &str| portions[0].output(Path::new(output));
        assert_eq!(outputs("a/x.npy"), Path::new("a/x-train.npy"));
        assert_eq!(outputs("a/x.zarr"), Path::new("a/x-train.zarr"));
        assert_eq!(outputs("a/x.y/"), Path::new("a/x.y/train"));
        for wrong in ["a=0.5,b=0.6", "a=0", "a=1.5", "a=0.1,a=0.2", "=1", "a/b=1", "a=0.5,b", "a=x", "..=1"] {
            assert!(Portion::all(wrong).is_err(), "{wrong}");
        }
    }
}
