//! How planning and tasks behave at a scale that no test machine has: a dataset that is made up, of as many parts and elements as are
//! asked for, is scanned in shares and planned as any other, and tasks open their shares of the plan.
//!
//! ```console
//! $ cargo run --release -p lithify-tests --example scale -- PARTS ELEMENTS-OF-A-PART TASKS DIRECTORY
//! ```
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a measurement is to be read")]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lithify::batch::{begin, plan_of_profiles, scan_task};
use lithify::convert::Job;
use lithify::error::Result;
use lithify::machine::{Machine, peak_memory, show_size};
use lithify::plan::request::Request;
use lithify::plan::{Io, Layout, Target, Tasks};
use lithify::saved::SavedPlan;
use lithify::scan::{OnError, ScanOptions, Share};
use lithify::source::{Alike, Elements, Part, Source, Want};
use lithify::value::{Element, Field, Kind};
use lithify::write::WriteOptions;

/// Bytes that an element is said to take where it is stored.
const STORED: u64 = 100_000;

/// Parts of elements of two features, `label` and `x`: of that, elements of one part have the same length, and those of another another.
struct MadeUp {
    parts: Vec<Part>,
    elements: u64,
}

struct Made {
    elements: u64,
    next: u64,
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

impl Source for MadeUp {
    fn format(&self) -> &'static str {
        "tfrecord"
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn alike(&self, _: usize) -> Option<Alike> {
        Some(Alike { elements: self.elements, step: STORED, sound: true })
    }

    fn read(&self, part: usize, range: Range<u64>, _: Want) -> Result<Box<dyn Elements + '_>> {
        // A list of packed integers of one byte each, as the wire has it.
        let length = 1 + part % 7;
        let bytes =
            [&b"labelx"[..], &[10, 1, 5], &[10, u8::try_from(length).unwrap()], &vec![3; length]].concat();
        let fields = vec![
            Field::list(0..5, Some(Kind::Int64), 6..9),
            Field::list(5..6, Some(Kind::Int64), 9..bytes.len()),
        ];
        Ok(Box::new(Made { elements: self.elements, next: range.start / STORED, bytes, fields }))
    }

    fn seekable(&self, _: usize) -> bool {
        true
    }

    fn find_element(&self, _: usize, range: Range<u64>) -> Result<Option<u64>> {
        Ok(Some(range.start.next_multiple_of(STORED)).filter(|at| range.contains(at)))
    }
}

impl Elements for Made {
    fn next(&mut self) -> Result<Option<Element<'_>>> {
        if self.next >= self.elements {
            return Ok(None);
        }
        let at = self.next * STORED;
        self.next += 1;
        Ok(Some(Element::new(&self.bytes, &self.fields, at).with_stored(STORED)))
    }

    fn position(&self) -> u64 {
        self.next * STORED
    }
}

/// Bytes that this process has read of files so far.
fn read_so_far() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [parts, elements, tasks, directory] = &words[..] else {
        panic!("usage: scale PARTS ELEMENTS-OF-A-PART TASKS DIRECTORY");
    };
    let (parts, elements): (u64, u64) = (parts.parse().unwrap(), elements.parse().unwrap());
    let (tasks, directory): (u64, PathBuf) = (tasks.parse().unwrap(), directory.into());
    let part = |number: u64| Part {
        path: format!("/datasets/made-up/train-{number:06}-of-{parts:06}.tfrecord").into(),
        bytes: elements * STORED,
        modified_ns: 1_700_000_000_000_000_000 + number,
        dataset: 0,
    };
    let source = MadeUp { parts: (0..parts).map(part).collect(), elements };
    println!(
        "{} elements in {parts} parts, {}; {tasks} tasks",
        parts * elements,
        show_size(parts * elements * STORED)
    );
    let request = Request {
        features: ["label: dtype=uint8", "x: ragged dtype=uint8"].map(|text| text.parse().unwrap()).into(),
    };
    let options = ScanOptions {
        request: &request,
        on_error: OnError::Fail,
        threads: 1,
        largest_payload: 1 << 20,
        excluded: &[],
        progress: &(),
    };
    let profiles = directory.join("profiles");
    let start = Instant::now();
    for number in 0..tasks {
        let share = Share { number, count: tasks };
        scan_task(&source, &options, share, &profiles).unwrap();
    }
    println!("profiles: {:.2} s, peak memory {}", start.elapsed().as_secs_f64(), peak());
    plan(&source, &request, &profiles, tasks, &directory);
    open(tasks, &directory);
}

fn peak() -> String {
    peak_memory().map_or("unknown".into(), show_size)
}

fn plan(source: &MadeUp, request: &Request, profiles: &Path, tasks: u64, directory: &Path) {
    let output = directory.join("out");
    let target = Target {
        output: output.clone(),
        layout: Layout::NpyDirectory,
        on_error: OnError::Fail,
        io: Io::Pwrite,
    };
    let machine = Machine { disk: u64::MAX, ..Machine::here(&output, None, None).unwrap() };
    let writing = WriteOptions { overwrite: false, restart: false, durable: None, progress: &() };
    let job = Job { request, target: &target, machine: &machine, writing: &writing };
    let start = Instant::now();
    let (_, plan) = plan_of_profiles(source, &job, profiles).unwrap();
    let merged = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let plan =
        begin(plan, Tasks::new(tasks, 4096, false).unwrap(), &directory.join("plan"), false, &[]).unwrap();
    let saved = std::fs::metadata(directory.join("plan")).unwrap().len();
    println!(
        "plan: merged in {merged:.2} s, saved in {:.2} s as {}; {} blocks, {} entries; peak memory {}",
        start.elapsed().as_secs_f64(),
        show_size(saved),
        plan.blocks(),
        plan.index.len(),
        peak()
    );
}

fn open(tasks: u64, directory: &Path) {
    let (mut slowest, mut most, mut parts) = (0.0_f64, 0, 0);
    for task in (0..tasks).step_by(usize::try_from(tasks / 64).unwrap().max(1)) {
        let (before, start) = (read_so_far(), Instant::now());
        let saved = SavedPlan::open(&directory.join("plan")).unwrap();
        let head = saved.head();
        let blocks = head.blocks_of(&head.tasks.unwrap(), task);
        let (plan, _) = saved.share(head.elements_of(&blocks)).unwrap();
        slowest = slowest.max(start.elapsed().as_secs_f64());
        most = most.max(read_so_far() - before);
        parts = parts.max(plan.parts.len());
    }
    println!(
        "a task opens it in {:.2} ms at most, reads {} of it, and knows {parts} parts",
        slowest * 1e3,
        show_size(most)
    );
}
