//! The Python package of lithify: what `lithify/__init__.py` calls.
//!
//! Requests are the words of a command, as they are typed, so that there is one way to say them; what comes of them is given as
//! JSON. Instead of the files of a dataset there may be a live one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lithify::convert::{Job, convert, convert_live, made_of, scan_and_plan};
use lithify::plan::request::{KEYS, Request};
use lithify::source::live::Live;
use lithify::source::{Choice, Source};
use lithify::write::manifest::Manifest;
use lithify::write::repair::repair;
use lithify::write::verify::{Difference, verify, verify_against_source};
use lithify::{Error, Result, scan, show};
use lithify_cli::args::{Command, Dataset};
use lithify_cli::context::Context;
use lithify_cli::json;
use lithify_cli::report::notebook;
use pyo3::prelude::*;
use pyo3::types::PyDict;

mod bridge;
mod errors;
mod live;
mod memory;
mod rows;
mod values;

use bridge::{Bridge, Give, run};
use errors::exception;
use live::{Known, Object};

/// lithify, as a module of Python.
#[pymodule(gil_used = true)]
fn _lithify(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    // The keys of a feature, and whether each takes a value.
    let keys = PyDict::new(module.py());
    KEYS.iter().try_for_each(|key| keys.set_item(key.name, key.value.is_some()))?;
    module.add("KEYS", keys)?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(call, module)?)
}

/// The command line: does what the words say, and gives the exit code. `program` is what is run by it.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>, program: PathBuf) -> u8 {
    py.detach(move || lithify_cli::run(words, &program))
}

/// Does what the words say; gives what comes of it as JSON, as a text for people, and as a notebook shows it.
#[pyfunction]
#[pyo3(signature = (words, feed=None, progress=None))]
fn call(
    py: Python<'_>,
    words: Vec<OsString>,
    feed: Option<Bound<'_, PyAny>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Outcome> {
    let command = lithify_cli::parse(words).map_err(|error| exception(py, &error))?;
    let object = feed.map(|feed| Object::of(&feed)).transpose()?;
    let known = object.as_ref().map(Object::known);
    let pump = |give: &mut Give<'_>| object.as_ref().map_or(Ok(()), |object| object.pump(give));
    run(py, progress, pump, |bridge| work(command, known, bridge))
}

/// What comes of a command: as JSON, as a text, and as a part of a page, where there is something to be looked at.
type Outcome = (String, String, String);

/// What a command is about.
enum Given {
    Files(Box<dyn Source>),
    Live(Live),
}

impl Given {
    fn source(&self) -> &dyn Source {
        match self {
            Self::Files(files) => files.as_ref(),
            Self::Live(live) => live,
        }
    }
}

fn open(
    context: &Context<&Bridge>,
    dataset: &Dataset,
    request: &Request,
    known: Option<Known>,
    bridge: &Arc<Bridge>,
) -> Result<Given> {
    match known {
        None if dataset.portions()?.is_some() => {
            Err(Error::request("this is for one output, and `split` names several")
                .hint("`lithify convert --split train=0.9,val=0.1` makes several"))
        }
        None => context.open(dataset, request, dataset.choice()).map(Given::Files),
        Some(_)
            if dataset.choice() != Choice::default() || !dataset.zip.is_empty() || dataset.from.is_some() =>
        {
            Err(Error::request(
                "`select`, `limit`, `shuffle`, `split`, `zip` and `from_` are for datasets in files",
            )
            .hint("take what is wanted out of the object before it is given"))
        }
        Some(known) => Ok(Given::Live(known.source(bridge, context.machine.memory))),
    }
}

fn work(command: Command, known: Option<Known>, bridge: &Arc<Bridge>) -> Result<Outcome> {
    let progress: &Bridge = bridge;
    match command {
        Command::Scan { dataset, features, run, .. } => {
            let context = Context::telling(&run, Path::new("output"), progress)?;
            let request = features.request()?;
            let given = open(&context, &dataset, &request, known, bridge)?;
            let profile = scan(given.source(), &context.scanning(&request, &dataset))?;
            let facts = json::pretty(&json::profile(&profile, &context.machine))?;
            let text = show::profile(&profile, &context.machine, show::USUAL_WINDOW);
            let page = notebook::profile(&profile, &text);
            Ok((facts, text, page))
        }
        Command::Convert { dataset, output, wanted, writing, run, dry_run, .. } => {
            let context = Context::telling(&run, &output, progress)?;
            let (request, target) = (wanted.request()?, wanted.target(output, &dataset)?);
            let given = open(&context, &dataset, &request, known, bridge)?;
            let writing = context.writing(&writing);
            let job =
                Job { request: &request, target: &target, machine: &context.machine, writing: &writing };
            if dry_run {
                let (profile, plan) = scan_and_plan(given.source(), &job, &[])?;
                let facts = json::pretty(&json::plan(&profile, &plan, &context.machine))?;
                let text = show::plan(&profile, &plan, &context.machine);
                let page = notebook::plan(&plan, &text);
                return Ok((facts, text, page));
            }
            let manifest = match &given {
                Given::Live(live) => convert_live(live, &job)?,
                Given::Files(files) => convert(files.as_ref(), &job)?,
            };
            Ok((json::pretty(&json::outcome(&manifest, &target))?, show::manifest(&manifest), String::new()))
        }
        Command::Verify { output, against_source, run } => {
            let context = Context::telling(&run, &output, progress)?;
            let mut found = verify(&output, context.machine.threads, progress)?;
            if against_source {
                let (source, plan) = made_of(&output, &context.machine, progress)?;
                found.extend(verify_against_source(&output, source.as_ref(), &plan, progress)?);
            }
            differences(&found)
        }
        Command::Repair { output, run } => {
            let context = Context::telling(&run, &output, progress)?;
            let (source, plan) = made_of(&output, &context.machine, progress)?;
            differences(&repair(&output, source.as_ref(), &plan, progress)?.1)
        }
        Command::Info { output, .. } => {
            let manifest = Manifest::read(&output)?;
            let page = notebook::manifest(&manifest, &output.display().to_string());
            Ok((json::pretty(&manifest)?, show::manifest(&manifest), page))
        }
        _ => Err(Error::request("this is done by the command line alone")),
    }
}

/// What differs from what was written, a file and what of it.
fn differences(found: &[Difference]) -> Result<Outcome> {
    let pairs: Vec<_> = found.iter().map(|one| (one.file.display().to_string(), one.what.clone())).collect();
    let lines: Vec<_> = pairs.iter().map(|(file, what)| format!("`{file}`: {what}")).collect();
    Ok((json::pretty(&pairs)?, lines.join("\n"), String::new()))
}
