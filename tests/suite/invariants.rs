//! What the sources themselves must look like: which module may know which, and where what is dangerous may stand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Lines of a source file, at most: what is longer does more than one thing.
const MOST_LINES: usize = 600;

/// For each module, all that it uses of the library beside itself. Modules deep in a folder have a line of their own
/// where they are kept to less than their folder.
///
/// Data flows source → scan → plan → write → store, and nothing that comes earlier knows what comes later.
const MAY_USE: &[(&str, &[&str])] = &[
    ("environment", &[]),
    ("error", &[]),
    ("guard", &[]),
    ("progress", &[]),
    ("parallel", &["error"]),
    // The budget of a source follows from the machine's.
    ("machine", &["environment", "error", "source"]),
    ("machine::cgroup", &[]),
    ("machine::scheduler", &["environment"]),
    ("launcher", &["environment", "error"]),
    // Lists are read from the wire in place.
    ("value", &["error", "source::wire"]),
    // Pixels know nothing of datasets.
    ("image", &[]),
    ("audio", &["error", "value::DType"]),
    ("decode", &["audio", "error", "image", "source::wire", "value"]),
    // A source may say how a feature is seen.
    ("source", &["decode::View", "error", "guard", "value"]),
    // Those that declare their features say how images are decoded.
    ("source::tfds", &["audio::Depth", "decode", "error", "image", "value"]),
    // As these do: what a text is need not be looked for.
    ("source::arrow", &["decode", "error", "guard", "value"]),
    // Files of images and of sounds are told by their first bytes.
    ("source::folder", &["audio", "decode", "error", "image::Format", "image::is_head", "value"]),
    // What it holds are serialized tensors.
    ("source::saved", &["decode::tensor_proto", "error", "value"]),
    // A file of elements that come once only has no name that another process could have.
    ("source::live", &["error", "unique", "value"]),
    ("source::wire", &[]),
    ("source::input", &["error"]),
    ("source::example", &["value"]),
    // What is asked for decides what is counted; the rest of the plan is not known here.
    (
        "scan",
        &["audio::Format", "decode", "error", "parallel", "plan::request", "progress", "source", "value"],
    ),
    ("scan::index", &[]),
    ("scan::profile", &["decode", "error", "source::Choice", "source::Part", "value"]),
    // A plan is made without a file being opened: of sources it knows what a part is and what reading takes.
    (
        "plan",
        &[
            "error",
            "image",
            "machine",
            "scan::OnError",
            "scan::index",
            "scan::profile",
            "source::Choice",
            "source::Part",
            "source::input",
            "value",
        ],
    ),
    ("plan::notation", &["decode::Dim", "error"]),
    ("plan::request", &["audio::Depth", "decode", "error", "image", "value"]),
    ("plan::codec", &["error"]),
    ("plan::chunks", &["error"]),
    ("plan::layout", &["error"]),
    ("plan::zarr", &["error", "scan::profile", "value::DType"]),
    ("plan::image", &["decode", "error", "image", "value"]),
    ("plan::scalar", &["error", "value"]),
    ("plan::fit", &["decode", "error", "image", "scan::profile", "value"]),
    ("plan::settle", &["decode::Decode", "error", "scan::profile", "value"]),
    ("plan::seen", &["decode", "error", "scan::profile", "value"]),
    ("plan::advice", &["decode", "machine", "scan::profile", "value"]),
    // A store knows no format, no dataset and no scan.
    (
        "store",
        &[
            "error",
            "machine::show_size",
            "plan::ArrayPlan",
            "plan::Io",
            "plan::Layout",
            "plan::Rows",
            "plan::ZarrArray",
            "plan::codec",
            "plan::memory",
            "value",
        ],
    ),
    ("store::mapped", &[]),
    ("store::share", &[]),
    ("store::aside", &["error"]),
    ("store::files", &["error", "unique"]),
    ("unique", &[]),
    // Files of plans and profiles.
    ("saved", &["error", "plan", "scan", "source::Choice", "source::Part", "store::Checksum", "unique"]),
    (
        "write",
        &[
            "decode", "error", "image", "machine", "parallel", "plan", "progress", "scan", "source", "store",
            "unique", "value",
        ],
    ),
    ("write::cast", &["decode", "error", "plan::scalar", "source::wire", "value"]),
    (
        "show",
        &[
            "decode",
            "error",
            "machine",
            "plan",
            "scan::profile",
            "source::Choice",
            "source::Part",
            "source::live::LIVE",
            "value",
            "write::manifest",
        ],
    ),
    // An output is read as any dataset is.
    (
        "look",
        &[
            "dataset",
            "error",
            "plan::Fit",
            "plan::Role",
            "plan::scalar",
            "progress",
            "source",
            "value",
            "write::manifest",
        ],
    ),
    ("dataset", &["decode::View", "error", "parallel", "plan::scalar", "source", "value"]),
    ("batch", &["convert", "error", "machine", "plan", "progress", "saved", "scan", "source", "write"]),
    ("convert", &["dataset", "error", "machine", "plan", "progress", "scan", "source", "write"]),
];

/// Modules that open no file, whatever they use: what opens one must not be named there.
const OPEN_NO_FILE: [&str; 10] =
    ["plan", "decode", "audio", "image", "value", "error", "scan", "show", "progress", "parallel"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

/// A source file: its module's path, and its text.
struct Source {
    path: PathBuf,
    module: String,
    /// Without comments.
    code: String,
    lines: usize,
}

fn sources_of(package: &str) -> Vec<Source> {
    let root = crates().join(package).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(directory) = waiting.pop() {
        for path in std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let name =
                path.strip_prefix(&root).unwrap().with_extension("").to_str().unwrap().replace('/', "::");
            let module = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
            let code = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
            found.push(Source { path, module, code, lines: text.lines().count() });
        }
    }
    assert!(!found.is_empty(), "there are no sources in {}", root.display());
    found.sort_by(|a, b| a.module.cmp(&b.module));
    found
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap_or("") }
}

/// Code without the tests at its end.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or("")
}

/// The paths that follow `crate::` or `super::`, from the root of the library: `crate::a::{b, c::D}` is `a::b` and
/// `a::c::D`.
fn used_by(source: &Source) -> Vec<String> {
    let code = without_tests(&source.code);
    let mut found = Vec::new();
    // A file's `super` is its folder, but for the file that stands for the folder.
    let folder = if source.path.ends_with("mod.rs") {
        source.module.as_str()
    } else {
        source.module.rsplit_once("::").map_or("", |module| module.0)
    };
    let above = if source.path.ends_with("mod.rs") {
        folder.rsplit_once("::").map_or("", |module| module.0)
    } else {
        folder
    };
    for (word, base) in [("crate::", ""), ("super::", above)] {
        for (at, _) in code.match_indices(word) {
            let before = code[..at].chars().next_back();
            // `pub(in crate::…)` is no use, and neither is the end of another word.
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                expand(base, &code[at + word.len()..], &mut found);
            }
        }
    }
    found
}

/// Adds the paths that a text begins with: a path, or a tree in braces.
fn expand(base: &str, text: &str, found: &mut Vec<String>) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let path = text[..end].trim_end_matches(':');
    let join =
        |a: &str, b: &str| if a.is_empty() || b.is_empty() { format!("{a}{b}") } else { format!("{a}::{b}") };
    let here = join(base, path);
    let rest = &text[end..];
    if !(text[..end].ends_with("::") || path.is_empty()) || !rest.starts_with('{') {
        found.push(here);
        return;
    }
    let (mut depth, mut start) = (0, 1);
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {}
            _ => continue,
        }
        let ends = c == ',' || c == '}' && depth == 0;
        if ends && depth <= 1 {
            let item = rest[start..at].trim();
            match item {
                "" => {}
                "self" => found.push(here.clone()),
                _ => expand(&here, item, found),
            }
            start = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// Whether a path is a module or lies in it.
fn within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The rule for a module: its own, or that of the nearest folder that has one.
fn rule_of(module: &str) -> Option<(&'static str, &'static [&'static str])> {
    MAY_USE.iter().copied().filter(|rule| within(module, rule.0)).max_by_key(|rule| rule.0.len())
}

#[test]
fn modules_use_only_what_they_may_know() {
    let mut wrong = String::new();
    for source in sources_of("lithify").iter().filter(|source| source.module != "lib") {
        let Some((rule, allowed)) = rule_of(&source.module) else {
            writeln!(wrong, "`{}` has no rule", source.module).unwrap();
            continue;
        };
        let top = source.module.split("::").next().unwrap_or_default();
        // Within its folder a module may use anything, unless it has a rule of its own.
        let own = if rule.contains("::") { "" } else { top };
        for used in used_by(source) {
            let inside = (!own.is_empty() && within(&used, own))
                || within(&used, &source.module)
                || (rule.contains("::") && within(&used, rule));
            let sibling = rule.contains("::") && within(&used, top);
            if !inside && !sibling && !allowed.iter().any(|allowed| within(&used, allowed)) {
                writeln!(wrong, "`{}` uses `{used}`", source.module).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A rule that nothing needs says what is not so.
#[test]
fn every_rule_is_needed() {
    let mut used: BTreeMap<(&str, &str), bool> = MAY_USE
        .iter()
        .flat_map(|(module, allowed)| allowed.iter().map(|one| ((*module, *one), false)))
        .collect();
    for source in sources_of("lithify") {
        let Some((rule, allowed)) = rule_of(&source.module) else { continue };
        for path in used_by(&source) {
            for one in allowed.iter().filter(|one| within(&path, one)) {
                used.insert((rule, one), true);
            }
        }
    }
    let idle: Vec<_> = used.iter().filter(|one| !one.1).map(|one| one.0).collect();
    assert!(idle.is_empty(), "allowed, but not used: {idle:?}");
}

/// The reader of `use` lines, on what it must understand.
#[test]
fn uses_are_read_as_the_compiler_reads_them() {
    let of = |path: &str, module: &str, code: &str| {
        let mut used =
            used_by(&Source { path: path.into(), module: module.into(), code: code.into(), lines: 1 });
        used.sort();
        used
    };
    assert_eq!(
        of("plan/fit.rs", "plan::fit", "use crate::a::{b, c::{self, D}, E as F};\nfn f() { crate::g::h(1) }"),
        ["a::E", "a::b", "a::c", "a::c::D", "g::h"]
    );
    assert_eq!(of("plan/fit.rs", "plan::fit", "use super::request::X;"), ["plan::request::X"]);
    assert_eq!(of("plan/mod.rs", "plan", "use super::source::Part;"), ["source::Part"]);
    assert_eq!(of("a.rs", "a", "macro: $crate::plan::scalar::T; mycrate::x"), ["plan::scalar::T"]);
    assert_eq!(of("a.rs", "a", "x;\n#[cfg(test)]\nmod tests { use crate::b; }"), [""; 0]);
}

#[test]
fn plans_and_what_they_are_made_of_open_no_file() {
    for source in sources_of("lithify") {
        if !OPEN_NO_FILE.iter().any(|module| within(&source.module, module)) {
            continue;
        }
        for word in ["std::fs", "File::", "fs::", "Command::", "rustix::", "std::env", "std::net"] {
            assert!(!without_tests(&source.code).contains(word), "`{}` names `{word}`", source.module);
        }
    }
}

#[test]
fn unsafe_code_stands_in_three_files() {
    let packages = ["lithify", "lithify-cli", "lithify-python"];
    for source in packages.iter().flat_map(|package| sources_of(package)) {
        let dangerous =
            source.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        let fenced = ["store::mapped", "image::jpeg_ffi", "memory"].contains(&source.module.as_str());
        assert_eq!(dangerous, fenced, "{}", source.path.display());
    }
}

#[test]
fn the_library_never_prints() {
    for source in sources_of("lithify") {
        for word in [
            "println!",
            "print!",
            "eprintln!",
            "eprint!",
            "dbg!",
            "io::stdout",
            "io::stderr",
            "process::exit",
        ] {
            assert!(!source.code.contains(word), "{} has `{word}`", source.path.display());
        }
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    for package in ["lithify", "lithify-cli", "lithify-python"] {
        for source in sources_of(package) {
            assert!(source.lines <= MOST_LINES, "{} has {} lines", source.path.display(), source.lines);
        }
    }
}

/// Bars and flags are the command's; the library's users must not pay for them.
#[test]
fn the_library_depends_on_nothing_that_is_for_people() {
    let manifest = std::fs::read_to_string(crates().join("lithify/Cargo.toml")).unwrap();
    for name in ["clap", "indicatif", "signal-hook", "anyhow", "tokio"] {
        assert!(
            !manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(name)),
            "the library depends on `{name}`"
        );
    }
}
