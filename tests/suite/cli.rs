//! The command, as it is typed: what it prints where, what it ends with, and what it leaves behind.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "the numbers are small"
)]

use std::process::{Command, Stdio};

use lithify::plan::request::Request;
use lithify::plan::{Io, Layout, Target};
use lithify::plan::{advice, plan};
use lithify::scan::OnError;
use lithify::source::FORMATS;
use lithify_tests::command::{binary, ran, run, run_after, run_in};
use lithify_tests::{
    Conversion, Scratch, example, files_below, floats, gzip, integers, machine, numbered, read_npy, record,
    strings,
};

/// Twelve elements in three files, one of them compressed: numbers of a varying and of a fixed count, text, payloads, a
/// feature that some elements lack.
fn dataset(scratch: &Scratch) {
    let element = |at: usize| {
        let tokens: Vec<i64> = (0..=at * 5 % 8).map(|n| (at * 10 + n) as i64).collect();
        let mut features = vec![
            ("box", floats(&[at as f32, 0.5, 1.0, 2.0])),
            ("label", integers(&[at as i64 % 3])),
            ("name", strings(&[format!("element {at}").as_bytes()])),
            ("image", strings(&[&[&[0xff, 0xd8, 0xff, 0xe0][..], &vec![at as u8; 100 + at]].concat()])),
            ("tokens", integers(&tokens)),
        ];
        if at % 4 != 3 {
            features.push(("weight", floats(&[1.5])));
        }
        record(&example(&features))
    };
    let part = |from: usize, to: usize| (from..to).flat_map(element).collect::<Vec<u8>>();
    let _ = scratch.file("train-00000-of-00003", &part(0, 5));
    let _ = scratch.file("train-00001-of-00003", &gzip(&part(5, 9)));
    let _ = scratch.file("train-00002-of-00003", &part(9, 12));
}

/// A text without what differs from machine to machine and from run to run: free disk and memory, the version.
fn steady(scratch: &Scratch, text: &str) -> String {
    // The size that ends before `mark`.
    let without_size = |text: &str, mark: &str| match text.split_once(mark) {
        Some((before, after)) => {
            let words: Vec<&str> = before.split(' ').collect();
            format!("{} SIZE{mark}{after}", words[..words.len() - 2].join(" "))
        }
        None => text.to_owned(),
    };
    let text = text
        .replace(&scratch.path().display().to_string(), ".")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let marks = if text.contains(" of disk free") {
        [" of disk free", " of memory available"]
    } else {
        [" free in", " of memory available"]
    };
    marks.iter().fold(text, |text, mark| without_size(&text, mark))
}

#[track_caller]
fn assert_shown(found: &str, wanted: &str) {
    assert!(found == wanted, "found:\n{found}\nwanted:\n{wanted}");
}

const SCAN: &str = "\
12 elements in 3 files (2.2 KiB)

  feature  stored as      in  values  median / 99 %  bytes of a string  histogram        padded   waste  looks like
  box      float         all       4                                                      192 B
  image    bytes         all       1                          104..115  ████████ bytes  1.3 KiB   4.8 %  JPEG
  label    int64         all       1                                                       96 B
  name     bytes         all       1                             9..10  █▂       bytes    120 B   8.3 %  text
  tokens   int64         all    1..8          4 / 8                     █▄█▄▄█▄█          768 B  43.8 %
  weight   float      75.0 %       1                                                       48 B  25.0 %

padded to the longest, all of it takes 2.5 KiB; SIZE of disk free in `.`, SIZE of memory available
";
const DRY_RUN: &str = "\
12 elements to `out`

  array               dtype    shape      bytes  how
  tokens.npy          int32    (12, 8)    384 B  padded to (8,)
  tokens.lengths.npy  int64    (12,)       96 B  true lengths
  tokens.mask.npy     bool     (12, 8)     96 B  what is data
  image.values.npy    uint8    (1314,)  1.3 KiB  values
  image.offsets.npy   int64    (13,)      104 B  where elements start and end
  weight.npy          float32  (12,)       48 B  exact
  weight.present.npy  bool     (12,)       12 B  which elements have it
  label.npy           int64    (12,)       96 B  exact
  name.npy            S10      (12,)      120 B  exact

disk:   11.2 KiB of SIZE free in `.`
memory: 22.0 MiB of 1.0 GiB (--memory)
work:   1 block of 12 rows, on 1 thread
";
const INFO: &str = "\
12 elements from 3 files, by lithify VERSION

  array               dtype    shape      bytes  feature  how
  box.npy             float32  (12, 4)    192 B  box      exact
  image.values.npy    uint8    (1314,)  1.3 KiB  image    values
  image.offsets.npy   int64    (13,)      104 B  image    where elements start and end
  label.npy           int64    (12,)       96 B  label    exact
  name.npy            S10      (12,)      120 B  name     exact
  tokens.values.npy   int64    (54,)      432 B  tokens   values
  tokens.offsets.npy  int64    (13,)      104 B  tokens   where elements start and end
  weight.values.npy   float32  (9,)        36 B  weight   values
  weight.offsets.npy  int64    (13,)      104 B  weight   where elements start and end
  weight.present.npy  bool     (12,)       12 B  weight   which elements have it
";

#[test]
fn scan_shows_a_table() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let ran = run(&scratch, "scan 'train-*'");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_shown(&steady(&scratch, &ran.out), SCAN);
}

/// On a terminal, colours show where an advice begins, and histograms fill the window; for who wants no colours, or no terminal, the
/// words are the same.
#[test]
fn a_terminal_has_colours_and_a_window() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let on_terminal = |variables: &str, columns: u32| {
        let line = format!(
            "stty cols {columns}; {variables} {} scan nothing; {0} scan -q 'train-*'",
            binary().display()
        );
        let output =
            Command::new("script").args(["-qec", &line, "/dev/null"]).current_dir(scratch.path()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let (plain, narrow, wide) = (
        on_terminal("NO_COLOR=1 TERM=xterm", 80),
        on_terminal("TERM=xterm", 80),
        on_terminal("TERM=xterm", 200),
    );
    assert!(narrow.contains("\x1b[1;31merror:\x1b[0m cannot open `nothing`"), "{narrow}");
    assert!(!plain.contains('\x1b') && plain.contains("error: cannot open `nothing`"), "{plain}");
    assert!(!on_terminal("TERM=dumb", 80).contains('\x1b'));
    let widest = |text: &str| text.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
    assert!(widest(&wide) > widest(&narrow) && widest(&wide) <= 200, "{wide}");
}

#[test]
fn who_says_nothing_sees_examples() {
    let scratch = Scratch::new();
    let ran = run(&scratch, "");
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("  lithify ")).count(), 3, "{}", ran.err);
}

#[test]
fn what_is_mistyped_is_guessed() {
    let scratch = Scratch::new();
    dataset(&scratch);
    std::fs::create_dir(scratch.at("photos")).unwrap();
    let _ = scratch.file("photos/cat.jpg", b"");
    for (line, wanted) in [
        ("scan train-00001-of-0003", "did you mean `train-00001-of-00003`?"),
        ("scan photo", "did you mean `photos`?"),
        ("scan photos/cta.jpg", "did you mean `photos/cat.jpg`?"),
        ("convert 'train-*' -o out -f tokns", "did you mean `tokens`?"),
        ("convert 'train-*' -o out --overwite", "'--overwrite'"),
        ("convrt 'train-*' -o out", "'convert'"),
    ] {
        let ran = run(&scratch, line);
        assert!(ran.code != Some(0) && ran.err.contains(wanted), "{line}: {}", ran.err);
    }
    assert!(!run(&scratch, "scan quite-another").err.contains("did you mean"));
}

#[test]
fn shells_and_manuals_know_the_commands() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&scratch, &format!("completions {shell}"));
        assert!(ran.code == Some(0) && ran.out.contains("resize-with-pad"), "{shell}: {}", ran.err);
    }
    assert_eq!(run(&scratch, "man pages/man1").code, Some(0));
    let page = std::fs::read_to_string(scratch.at("pages/man1/lithify-convert.1")).unwrap();
    assert!(page.contains(".TH lithify-convert 1") && page.contains("resize\\-with\\-pad"), "{page}");
    let version = run(&scratch, "--version").out;
    assert!(version.contains("Zarr codecs: zstd, gzip") && version.contains("JPEG: "), "{version}");
}

#[test]
fn a_dry_run_shows_what_would_be_done_and_does_nothing() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let ran = run(
        &scratch,
        "convert 'train-*' -o out --dry-run --memory 1GiB --threads 2 -f 'tokens: pad=max dtype=int32 mask' -f 'image: ragged' -f 'weight: default=-1 present' -f label -f name",
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_shown(&steady(&scratch, &ran.out), DRY_RUN);
    assert!(!scratch.at("out").exists());
}

#[test]
fn info_shows_what_was_written() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let ran = run(&scratch, "convert 'train-*' -o out -q");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
    let ran = run(&scratch, "info out");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_shown(&steady(&scratch, &ran.out), INFO);
    // The same facts, for programs.
    let manifest: serde_json::Value = serde_json::from_str(&run(&scratch, "info out --json").out).unwrap();
    assert_eq!(manifest["elements"], 12);
    assert_eq!(read_npy::<f32>(&scratch.at("out/box.npy")).shape(), [12, 4]);
}

#[test]
fn data_goes_to_standard_output_and_talk_to_standard_error() {
    let scratch = Scratch::new();
    dataset(&scratch);
    for line in [
        "scan 'train-*' --json",
        "convert 'train-*' -o out --dry-run --json",
        "convert 'train-*' -o out --json",
        "info out --json",
    ] {
        let ran = run(&scratch, line);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{line}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&ran.out).is_ok_and(|value| value.is_object()),
            "{line}: {}",
            ran.out
        );
    }
    for line in [
        "scan none",
        "convert none -o x",
        "info none",
        "verify none",
        "write none",
        "scan 'train-*' --memory many",
        "frob",
    ] {
        let ran = run(&scratch, line);
        assert!(ran.out.is_empty() && ran.err.starts_with("error: "), "{line}: {ran:?}");
        assert!(matches!(ran.code, Some(1 | 2)), "{line}: {ran:?}");
    }
    let help = run(&scratch, "--help");
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let mut child = Command::new(binary())
        .args(["scan", "train-00000-of-00003"])
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Before a word is written there is nobody to read it.
    drop(child.stdout.take());
    let ran = ran(&child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn exit_codes_say_what_happened() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let mut bad: Vec<u8> = (0..4).flat_map(numbered).collect();
    bad[50] ^= 1;
    let _ = scratch.file("bad", &bad);
    for (line, code) in [
        ("scan 'train-*'", 0),
        ("scan bad", 1),
        ("scan bad --on-error skip", 3),
        ("convert bad -o x.npy --on-error skip -q", 3),
        ("convert bad -o y --on-error skip -q --dry-run", 3),
        ("convert bad -o y", 1),
        ("convert 'train-*' -o y -f nothing", 2),
        ("convert 'train-*' -o y -f 'label: colour=red'", 2),
        ("convert 'train-*' -o y -f 'label: decode=tensor'", 2),
        ("convert 'train-*' -o y -f label -f box --pad 3", 2),
        ("convert 'train-*' -o y --memory 1MiB", 1),
        ("convert 'train-*'", 2),
        ("convert 'train-*' -o y --threads 0", 2),
        ("convert 'train-*' -o y --recipe none", 1),
        ("scan 'train-*' --from csv", 2),
        ("", 2),
        ("--version", 0),
    ] {
        let ran = run(&scratch, line);
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
    }
    assert!(!scratch.at("y").exists());
}

#[test]
fn what_is_skipped_is_shown() {
    let scratch = Scratch::new();
    let mut bad: Vec<u8> = (0..4).flat_map(numbered).collect();
    bad[50] ^= 1;
    let _ = scratch.file("bad", &bad);
    let ran = run(&scratch, "convert bad -o out --on-error skip");
    let shown = "skipped: 1 element\n  `bad`, element 1, byte 30: the record's data is damaged: its checksum is wrong\n";
    assert!(ran.out.contains(shown), "{}", ran.out);
    assert!(run(&scratch, "info out").out.contains(shown));
    assert!(run(&scratch, "scan bad --on-error skip").out.contains(shown));
    assert_eq!(run(&scratch, "verify out --against-source").code, Some(0));
    // A cut, and a compressed stream that is damaged, may cost any number of elements.
    bad.truncate(115);
    let _ = scratch.file("cut", &bad);
    let shown = "skipped: 1 element, and 1 damaged stretch with an unknown number of them\n";
    assert!(run(&scratch, "scan cut --on-error skip").out.contains(shown));
    let json = run(&scratch, "scan cut --on-error skip --json").out;
    assert!(json.contains("\"lost\": \"element\"") && json.contains("\"lost\": \"stretch\""), "{json}");
}

#[test]
fn what_belongs_to_others_is_not_replaced() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let line = "convert 'train-*' -o y.npy -f tokens --pad max --overwrite";
    let _ = scratch.file("y.lengths.npy", b"mine");
    let ran = run(&scratch, line);
    assert!(
        ran.code == Some(1) && ran.err.contains("`y.lengths.npy` is there, and lithify has not written it"),
        "{ran:?}"
    );
    std::fs::remove_file(scratch.at("y.lengths.npy")).unwrap();
    assert_eq!((run(&scratch, line).code, run(&scratch, line).code), (Some(0), Some(0)));
}

#[test]
fn refusals_say_what_to_do() {
    let formats: Vec<_> =
        FORMATS.iter().map(|format| format!("`{}` ({})", format.name(), format.about())).collect();
    let scratch = Scratch::new();
    dataset(&scratch);
    // The command lines that would work are those of `refusals`.
    let shown = |line: &str| {
        let said = run(&scratch, line).err;
        said.split("\nthis would work: ")
            .flat_map(|text| text.split("\nperhaps: "))
            .next()
            .unwrap()
            .to_owned()
    };
    for (line, wanted) in [
        ("convert 'train-*' -o y -f lable", "error: no element has a feature `lable`\n\nhint: did you mean `label`?\n".to_owned()),
        (
            "convert 'train-*' -o y -f zebra",
            "error: no element has a feature `zebra`\n\nhint: there are `box`, `image`, `label`, `name`, `tokens`, `weight`\n".to_owned(),
        ),
        (
            "convert 'train-*' -o y -f 'label: colour=red'",
            "error: feature `label`: `colour` is no key of a feature\n\nhint: the keys are: pad value side truncate lengths mask ragged bucket reshape \
             decode dtype saturate default present rename drop resize keep-aspect resize-with-pad resize-with-crop-or-pad \
             shorter-side crop central-crop method antialias channels ratio exif frames scale mean std layout chunk shard codec\n"
                .to_owned(),
        ),
        (
            "convert 'train-*' -o y -f 'tokens: pad=3'",
            "error: `train-00000-of-00003`, element 3, byte 739, feature `tokens`: an element has 8 values on an axis that `pad` makes 3 long\n\n\
             hint: use `pad=8` or `pad=max`\nhint: or cut longer ones with `truncate`\n"
                .to_owned(),
        ),
        (
            "convert 'train-*' -o y.npy",
            "error: `y.npy` holds one array, but there are 6 features\n\n\
             hint: choose one with `--feature NAME`, out of `box`, `image`, `label`, `name`, `tokens`, `weight`\nhint: or give a directory as the output\n"
                .to_owned(),
        ),
        (
            "convert 'train-*' -o y -f weight",
            "error: `train-00000-of-00003`, element 3, byte 739, feature `weight`: the feature is missing here; 9 of 12 elements have it\n\n\
             hint: give what stands for it: `default=0`, and `present` to keep which elements have it\n\
             hint: or give such elements no value: `ragged`, or `ragged present`\n"
                .to_owned(),
        ),
        ("scan 'train-*' --from csv", format!("error: `csv` is not a format\n\nhint: use {}\n", formats.join(" or "))),
    ] {
        assert_shown(&shown(line), &wanted);
    }
    let memory = shown("convert 'train-*' -o y --memory 1MiB");
    assert!(
        memory.starts_with("error: one block needs ")
            && memory.contains("but the budget is 1.0 MiB (--memory)"),
        "{memory}"
    );
    assert!(
        // Smaller rows would not help.
        memory.contains("\n\nhint: allow it with `--memory ") && !memory.contains("make rows smaller"),
        "{memory}"
    );
    // What the hint says is enough.
    let enough = memory.split("`--memory ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    assert_eq!(run(&scratch, &format!("convert 'train-*' -o y -q --memory {enough}")).code, Some(0));
}

#[test]
fn too_little_disk_is_refused_with_the_numbers() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let profile = Conversion::of([scratch.at("train-*")]).scan().unwrap();
    let request = Request { features: vec!["tokens: pad=1000000".parse().unwrap()] };
    let mut small = machine(1, 1 << 30);
    small.disk = 1 << 20;
    let target = Target {
        output: scratch.at("out"),
        layout: Layout::NpyDirectory,
        on_error: OnError::Fail,
        io: Io::default(),
    };
    let error = plan(&profile, &request, &small, &target).unwrap_err();
    let wanted = "the arrays take 91.6 MiB (96002144 bytes), but 1.0 MiB are free in `/`\nhint: give an output on another disk, or free some space";
    assert_shown(&scratch.show(&error), wanted);
    // What compressing saves is not known before: it is told.
    let zarr = Target { output: scratch.at("out.zarr"), layout: Layout::Zarr, ..target.clone() };
    let advised = advice::for_plan(&profile, &plan(&profile, &request, &small, &zarr).unwrap(), &small);
    let wanted = "before they are compressed the arrays take 91.6 MiB, and 1.0 MiB of disk are free: if too little is saved, the disk fills up";
    assert_shown(&advised[0].to_string(), wanted);
    small.disk = 1 << 40;
    small.largest_file = Some(1 << 20);
    let error = plan(&profile, &request, &small, &target).unwrap_err();
    let wanted = "`tokens` takes 91.6 MiB, but this process may write files of 1.0 MiB at most\nhint: raise the limit with `ulimit -f unlimited`";
    assert_shown(&scratch.show(&error), wanted);
}

#[test]
fn a_limit_on_file_sizes_is_found_before_anything_is_written() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let ran = run_after(
        &scratch,
        "ulimit -f 1000",
        "convert 'train-00000-of-00003' -o out -f 'tokens: pad=100000'",
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("hint: raise the limit with `ulimit -f unlimited`"), "{ran:?}");
    assert_eq!(names_in(&scratch), ["train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003"]);
}

/// The names in the scratch directory, hidden ones too.
fn names_in(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_saved_plan_is_written_as_convert_would() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let flags = "-f 'tokens: pad=max' -f 'name: ragged' -f 'weight: default=2'";
    assert_eq!(run(&scratch, &format!("convert 'train-*' -o direct -q {flags}")).code, Some(0));
    let planned = run(&scratch, &format!("plan 'train-*' --to planned -o plan.json {flags}"));
    assert_eq!((planned.code, planned.err.as_str()), (Some(0), ""));
    assert!(!scratch.at("planned").exists());
    let written = run(&scratch, "write plan.json -q");
    assert_eq!((written.code, written.out.as_str(), written.err.as_str()), (Some(0), "", ""));
    let arrays = |output: &str| {
        let mut files = files_below(&scratch.at(output));
        files.retain(|(name, _)| name.extension().is_some_and(|ending| ending == "npy"));
        files
    };
    assert_eq!(arrays("direct"), arrays("planned"));
    assert_eq!(arrays("direct").len(), 5);
    // A plan is for the files that were scanned.
    let _ = scratch.file("train-00002-of-00003", &numbered(1));
    let again = run(&scratch, "write plan.json --overwrite");
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("the file has changed since it was scanned"), "{}", again.err);
    assert_eq!(arrays("direct"), arrays("planned"));
    let _ = scratch.file("plan.json", b"{}");
    assert!(run(&scratch, "write plan.json").err.contains("hint: make it anew with `lithify plan`"));
}

#[test]
fn one_array_may_have_any_name() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let ran = run(&scratch, "convert 'train-*' -o sub/anything.npy -f label -q");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        read_npy::<i64>(&scratch.at("sub/anything.npy")).into_raw_vec_and_offset().0,
        (0..12).map(|at| at % 3).collect::<Vec<_>>()
    );
    let there: Vec<_> =
        files_below(&scratch.at("sub")).into_iter().map(|(name, _)| name.display().to_string()).collect();
    assert_eq!(there, ["anything.lithify.json", "anything.npy"]);
    for command in ["info", "verify"] {
        assert_eq!(run(&scratch, &format!("{command} sub/anything.npy")).code, Some(0), "{command}");
    }
}

/// What stands beside an output is not an output.
#[test]
fn one_array_touches_no_other_file() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let _ = scratch.file("label.npy", b"precious");
    let _ = run(&scratch, "convert 'train-*' -o anything.npy -f label -q");
    assert_eq!(std::fs::read(scratch.at("label.npy")).unwrap(), b"precious");
}

#[test]
fn an_output_is_replaced_only_when_asked() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q -f label").code, Some(0));
    let before = files_below(&scratch.at("out"));
    let refused = run(&scratch, "convert 'train-*' -o out -q -f box");
    assert_eq!(
        (refused.code, refused.err.as_str()),
        (Some(1), "error: `out` is there already\n\nhint: replace it with `--overwrite`\n")
    );
    assert_eq!(files_below(&scratch.at("out")), before);
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q -f box --overwrite").code, Some(0));
    assert!(scratch.at("out/box.npy").exists() && !scratch.at("out/label.npy").exists());
    // An empty directory is as good as none; one with other files never is.
    std::fs::create_dir_all(scratch.at("empty")).unwrap();
    assert_eq!(run(&scratch, "convert 'train-*' -o empty -q").code, Some(0));
    std::fs::create_dir_all(scratch.at("mine")).unwrap();
    let _ = scratch.file("mine/notes", b"precious");
    for flag in ["", "--overwrite"] {
        let refused = run(&scratch, &format!("convert 'train-*' -o mine -q {flag}"));
        assert_eq!(
            (refused.code, refused.err.as_str()),
            (
                Some(1),
                "error: `mine` holds `mine/notes`, which lithify has not written\n\nhint: give another output\n"
            )
        );
    }
    assert_eq!(files_below(&scratch.at("mine")).len(), 1);
    let refused = run(&scratch, "convert 'train-*' -o train-00000-of-00003 -q --overwrite");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("is there, and is no directory"), "{refused:?}");
}

/// A run that fails in pass 2 leaves what was there, and nothing else.
#[test]
fn a_failure_leaves_the_previous_output_and_no_leftovers() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q").code, Some(0));
    let (before, names) = (files_below(&scratch.at("out")), names_in(&scratch));
    let _ = scratch
        .file("large", &[numbered(1), numbered(2), record(&example(&[("x", integers(&[300]))]))].concat());
    let names = [names, vec!["large".into()]].concat();
    for io in ["mapped", "pwrite"] {
        for output in ["out", "fresh", "fresh.npy", "deep/er/out"] {
            let failed =
                run(&scratch, &format!("convert large -o {output} --overwrite -f 'x: dtype=int8' --io {io}"));
            assert_eq!(failed.code, Some(1), "{failed:?}");
            assert_eq!(
                failed.err,
                "error: `large`, element 2, byte 60, feature `x`: the value 300 does not fit int8\n\n\
                 hint: use a larger `dtype`, or clip such values with `saturate`\n"
            );
        }
    }
    let mut names = names;
    names.sort();
    assert_eq!(names_in(&scratch), names);
    assert_eq!(files_below(&scratch.at("out")), before);
}

/// What a killed run has left does not stand in the way of the next one.
#[test]
fn leftovers_of_a_killed_run_are_cleared() {
    let scratch = Scratch::new();
    dataset(&scratch);
    std::fs::create_dir_all(scratch.at(".out.lithify-partial/sub")).unwrap();
    let _ = scratch.file(".out.lithify-partial/sub/x.npy", b"half");
    let _ = scratch.file(".out.lithify-partial/label.npy", b"half");
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q -f label").code, Some(0));
    assert!(!scratch.at(".out.lithify-partial").exists() && !scratch.at("out/sub").exists());
    assert_eq!(run(&scratch, "verify out").code, Some(0));
}

#[test]
fn a_changed_output_is_found() {
    let scratch = Scratch::new();
    dataset(&scratch);
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q").code, Some(0));
    assert_eq!(run(&scratch, "verify out --against-source").code, Some(0));
    let whole = std::fs::read(scratch.at("out/box.npy")).unwrap();
    let mut changed = whole.clone();
    changed[130] ^= 1;
    let _ = scratch.file("out/box.npy", &changed);
    let ran = run(&scratch, "verify out");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    assert!(ran.out.starts_with("`box.npy`: the rows of elements 0 to "), "{}", ran.out);
    let _ = scratch.file("out/box.npy", &whole[..whole.len() - 1]);
    assert_eq!(run(&scratch, "verify out").out, "`box.npy`: the file has 319 bytes instead of 320\n");
    std::fs::remove_file(scratch.at("out/box.npy")).unwrap();
    assert_eq!(run(&scratch, "verify out").out, "`box.npy`: the file is missing\n");
}

#[test]
fn a_recipe_says_what_flags_say() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let _ = scratch.file(
        "recipe.toml",
        b"[feature.tokens]\npad = \"max\"\ndtype = \"int32\"\n[feature.label]\nrename = \"y\"\n",
    );
    assert_eq!(run(&scratch, "convert 'train-*' -o a -q --recipe recipe.toml").code, Some(0));
    assert_eq!(
        run(&scratch, "convert 'train-*' -o b -q -f 'tokens: pad=max dtype=int32' -f 'label: rename=y'").code,
        Some(0)
    );
    for name in ["tokens.npy", "tokens.lengths.npy", "y.npy"] {
        assert_eq!(
            std::fs::read(scratch.at("a").join(name)).unwrap(),
            std::fs::read(scratch.at("b").join(name)).unwrap()
        );
    }
    let _ = scratch.file("bad.toml", b"[feature.tokens]\npad = \"wide\"\n");
    let ran = run(&scratch, "convert 'train-*' -o c --recipe bad.toml");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            Some(2),
            "error: `bad.toml`, feature `tokens`: `pad=wide` is no size\n\nhint: use `pad=max`, `pad=512` or `pad=32x64`\n"
        )
    );
}

/// A recipe may say what the notation cannot, and the output must be readable all the same.
#[test]
fn an_output_whose_recipe_has_blanks_can_be_read_again() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let _ = scratch.file("recipe.toml", b"[feature.label]\nrename = \"the label\"\n");
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q --recipe recipe.toml").code, Some(0));
    for command in ["info", "verify"] {
        let ran = run(&scratch, &format!("{command} out"));
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.err);
    }
}

/// A second run into the same place, at the same time.
#[test]
fn a_second_run_into_the_same_output_is_told() {
    let scratch = Scratch::new();
    dataset(&scratch);
    let lock = std::fs::File::create(scratch.at(".out.lithify-lock")).unwrap();
    lock.lock().unwrap();
    let ran = run(&scratch, "convert 'train-*' -o out -q");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(1), "error: another process is writing `out`\n\nhint: wait for it, or give another output\n")
    );
    drop(lock);
    assert_eq!(run(&scratch, "convert 'train-*' -o out -q").code, Some(0));
}

/// A file system of so many bytes, as long as it lives.
struct Small(Scratch);

impl Small {
    fn of(bytes: u32) -> Option<Self> {
        let scratch = Scratch::new();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(scratch.path())
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(scratch))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

/// A disk that fills up: an error in time, whichever way is written, and never a signal.
#[test]
fn a_full_disk_is_an_error() {
    let Some(small) = Small::of(8 << 20) else {
        eprintln!("skipped: a file system cannot be mounted here");
        return;
    };
    let scratch = Scratch::new();
    dataset(&scratch);
    let output = small.0.at("out");
    for io in ["mapped", "pwrite"] {
        // More than the file system has: refused by the plan.
        let ran = run_in(
            scratch.path(),
            &[
                "convert",
                "train-*",
                "-o",
                &output.display().to_string(),
                "-f",
                "tokens: pad=200000",
                "--io",
                io,
            ],
        );
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.starts_with("error: the arrays take 18.3 MiB"), "{ran:?}");
        // A plan for a disk that has been filled since: refused when the space is reserved.
        let saved = run_in(
            scratch.path(),
            &[
                "plan",
                "train-*",
                "--to",
                &output.display().to_string(),
                "-o",
                "plan.json",
                "-f",
                "tokens: pad=50000",
                "--io",
                io,
            ],
        );
        assert_eq!(saved.code, Some(0), "{saved:?}");
        let _ = small.0.file("other", &vec![1; 5 << 20]);
        let ran = run(&scratch, "write plan.json");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.err.contains("error: the arrays take ")
                && ran.err.contains("hint: give an output on another disk, or free some space"),
            "{ran:?}"
        );
        assert_eq!(files_below(small.0.path()).len(), 1, "{io} leaves something behind");
        std::fs::remove_file(small.0.at("other")).unwrap();
        assert_eq!(run(&scratch, "write plan.json -q").code, Some(0));
        std::fs::remove_dir_all(&output).unwrap();
    }
}

#[test]
fn names_from_files_cannot_leave_the_output() {
    for name in ["../evil", "/evil", "a/../../evil", "a//b", ".", ""] {
        let scratch = Scratch::new();
        let _ = scratch.file("data", &record(&example(&[("x", integers(&[1])), (name, integers(&[1]))])));
        let ran = run(&scratch, "convert data -o deep/out -q");
        assert_eq!(ran.code, Some(if name.is_empty() { 1 } else { 2 }), "{name}: {ran:?}");
        assert!(!ran.err.is_empty());
        assert_eq!(names_in(&scratch), ["data"], "{name}");
    }
}

#[test]
fn names_from_files_are_escaped() {
    let scratch = Scratch::new();
    let _ = scratch.file("data\u{1b}[31m", b"text");
    let ran = run(&scratch, "scan 'data*'");
    assert!(!ran.err.contains('\u{1b}') && ran.err.contains(r"\u{1b}[31m"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
}
