//! The page of a dataset: what is in it, what arrays of it would take, and how to make them.

use std::ffi::OsStr;
use std::path::PathBuf;

use lithify::machine::{Machine, show_size};
use lithify::plan::advice::{self, Ways};
use lithify::plan::notation::show_name;
use lithify::scan::profile::{FeatureProfile, Profile};
use lithify::show::{
    content_name, dense_bytes, dense_bytes_of, differing, origin, plural, show_count, show_shape,
};

use super::page::{card, command, facts, left_out, page as whole, paragraph, percent, section, table};
use super::svg;
use crate::batch::quoted;

/// The page of what a scan of these inputs has found.
#[must_use]
pub fn page(profile: &Profile, machine: &Machine, inputs: &[PathBuf]) -> String {
    let names: Vec<_> = inputs.iter().map(|input| input.display().to_string()).collect();
    let words: Vec<_> = inputs.iter().map(|input| quoted(input.as_os_str())).collect();
    let input = words.join(" ");
    let title = if let [one] = &names[..] { one.clone() } else { plural(names.len() as u64, "input") };
    let stored: u64 = profile.parts.iter().map(|part| part.bytes).sum();
    let about = facts(&[
        ("elements", show_count(profile.elements)),
        ("in", origin(&profile.format, &profile.parts)),
        ("format", profile.format.clone()),
        ("on disk", if stored > 0 { show_size(stored) } else { String::new() }),
        ("most that is read at once", show_size(profile.largest_record)),
        ("left out", left_out(&profile.skipped)),
    ]);
    let dense = dense_bytes(profile);
    let room = svg::bars(&[
        ("every feature padded to its longest".into(), dense, show_size(dense)),
        (format!("disk free in {}", machine.disk_path.display()), machine.disk, show_size(machine.disk)),
        ("memory available".into(), machine.memory_available, show_size(machine.memory_available)),
    ]);
    let mut fits = room;
    if dense > machine.disk {
        fits +=
            &paragraph("Padded, it does not fit on this disk: see below what the features take otherwise.");
    }
    fits += &paragraph("What is written need not fit in memory: it is written, and read, in pieces.");
    let (varying, alike): (Vec<_>, Vec<_>) = profile.looked_into().partition(|feature| {
        let sizes = differing(feature).0;
        sizes.min() != sizes.max() || profile.left_out.contains_key(&feature.name)
    });
    let mut features: String =
        varying.into_iter().map(|feature| of_feature(profile, feature, &input)).collect();
    if !alike.is_empty() {
        let head = ["alike in all elements", "stored as", "looks like", "shape", "in", "takes"];
        let rows: Vec<_> = alike
            .into_iter()
            .map(|feature| [vec![feature.name.clone()], cells(profile, feature).to_vec()].concat())
            .collect();
        features += &table(&head, &rows);
    }
    let whole_command = format!("lithify convert {input} -o OUT");
    let begin = paragraph("Without a word about features, every one becomes an array and loses nothing:")
        + &command(&whole_command);
    let mut body =
        about + &section("Room", &fits) + &section("Features", &features) + &section("Begin", &begin);
    if !profile.skipped.is_empty() {
        let rows: Vec<_> = profile
            .skipped
            .iter()
            .take(100)
            .map(|one| vec![one.place.to_string(), one.reason.clone()])
            .collect();
        body += &section("Left out", &table(&["where", "why"], &rows));
    }
    whole(&title, &body)
}

/// What a feature is stored as, what it looks like, its shape, in how many elements it is, and what it takes.
fn cells(profile: &Profile, feature: &FeatureProfile) -> [String; 5] {
    let contents: Vec<_> = feature.contents.iter().map(|content| content_name(content.0)).collect();
    let shape = match feature.shapes() {
        Some(shapes) if shapes.smallest == shapes.largest => show_shape(&shapes.largest),
        Some(shapes) => format!("{} to {}", show_shape(&shapes.smallest), show_shape(&shapes.largest)),
        None if feature.lengths.min() == feature.lengths.max() => plural(feature.lengths.max(), "value"),
        None => String::new(),
    };
    let every = feature.present == profile.elements;
    [
        feature.kind().map_or("nothing".into(), |kind| kind.to_string()),
        contents.join(", "),
        shape,
        if every { "every element".into() } else { plural(feature.present, "element") },
        show_size(dense_bytes_of(profile, feature)),
    ]
}

fn of_feature(profile: &Profile, feature: &FeatureProfile, input: &str) -> String {
    let (sizes, what) = differing(feature);
    let varies = sizes.min() != sizes.max();
    let [kind, looks, shape, present, takes] = cells(profile, feature);
    let mut body = facts(&[
        ("stored as", kind),
        ("looks like", looks),
        ("shape", shape),
        ("in", present),
        ("padded to the longest", takes),
        ("why it is left out", profile.left_out.get(&feature.name).cloned().unwrap_or_default()),
    ]);
    if varies {
        body += &svg::histogram(&sizes, what);
    }
    let advice = advice::for_feature(profile, feature);
    let words = match &advice {
        Some(advice::Advice::Images { size: (height, width), .. }) => {
            Some(format!("resize={height}x{width}"))
        }
        _ => ways_of(profile, feature, &mut body),
    };
    if let Some(advice) = advice {
        body += &paragraph(&advice.to_string());
    }
    if let Some(words) = words {
        let spec = format!("{}: {words}", show_name(&feature.name));
        body += &command(&format!("lithify convert {input} -o OUT --feature {}", quoted(OsStr::new(&spec))));
    }
    card(&feature.name, &body)
}

/// Adds what each way takes to make arrays of a feature that varies; gives the words for one that is good for most.
fn ways_of(profile: &Profile, feature: &FeatureProfile, body: &mut String) -> Option<String> {
    let item = feature.kind()?.dtype()?.size() as u64;
    let sizes = &feature.lengths;
    if sizes.min() == sizes.max() {
        return None;
    }
    let Ways { padded, cut, buckets, ragged, values } = advice::ways(sizes, profile.elements, item);
    let caps: Vec<_> = buckets.0.iter().map(u64::to_string).collect();
    let mut ways = vec![
        ("pad=max".to_owned(), padded),
        (format!("bucket={}", caps.join(",")), buckets.1),
        ("ragged".to_owned(), ragged),
    ];
    if cut.1 < padded {
        ways.insert(1, (format!("pad={} truncate", cut.0), cut.1));
    }
    let rows: Vec<_> = ways
        .iter()
        .map(|(words, bytes)| {
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let waste = 1.0 - values.min(*bytes) as f64 / (*bytes).max(1) as f64;
            vec![words.clone(), show_size(*bytes), percent(waste)]
        })
        .collect();
    *body += &table(&["way", "takes", "of that padding or offsets"], &rows);
    // Padding that costs little is the simplest to read.
    let least = ways.iter().map(|way| way.1).min().unwrap_or(padded);
    Some(if padded / 2 <= least { "pad=max".into() } else { "ragged".into() })
}
