//! The page of a dataset: what is in it, what arrays of it would take, and how to make them.

use std::path::PathBuf;

use lithify::machine::Machine;
use lithify::plan::advice::{self, Ways};
use lithify::plan::notation::show_name;
use lithify::scan::profile::{FeatureProfile, Profile};
use lithify::show::{content_name, dense_bytes, dense_bytes_of, differing, origin, plural};

use super::page::{
    card, command, count, facts, page as whole, paragraph, percent, quoted, section, size, table,
};
use super::svg;

/// The page of what a scan of these inputs has found.
pub fn page(profile: &Profile, machine: &Machine, inputs: &[PathBuf]) -> String {
    let names: Vec<_> = inputs.iter().map(|input| input.display().to_string()).collect();
    let words: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    let input = words.join(" ");
    let title = if let [one] = &names[..] { one.clone() } else { plural(names.len() as u64, "input") };
    let stored: u64 = profile.parts.iter().map(|part| part.bytes).sum();
    let about = facts(&[
        ("elements", count(profile.elements)),
        ("in", origin(&profile.format, &profile.parts)),
        ("format", profile.format.clone()),
        ("on disk", if stored > 0 { size(stored) } else { String::new() }),
        ("largest record", size(profile.largest_record)),
        (
            "left out",
            if profile.skipped.is_empty() {
                String::new()
            } else {
                plural(profile.skipped.len() as u64, "element")
            },
        ),
    ]);
    let dense = dense_bytes(profile);
    let room = svg::bars(&[
        ("every feature padded to its longest".into(), dense, size(dense)),
        (format!("disk free in {}", machine.disk_path.display()), machine.disk, size(machine.disk)),
        ("memory available".into(), machine.memory_available, size(machine.memory_available)),
    ]);
    let mut fits = room;
    if dense > machine.disk {
        fits +=
            &paragraph("Padded, it does not fit on this disk: see below what the features take otherwise.");
    }
    fits += &paragraph("What is written need not fit in memory: it is written, and read, in pieces.");
    let features: String = profile
        .features
        .iter()
        .filter(|feature| feature.looked_into())
        .map(|feature| of_feature(profile, feature, &input))
        .collect();
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

fn of_feature(profile: &Profile, feature: &FeatureProfile, input: &str) -> String {
    let kind = feature.kind().map_or("nothing".into(), |kind| kind.to_string());
    let contents: Vec<_> = feature.contents.iter().map(|content| content_name(content.0)).collect();
    let (sizes, what) = differing(feature);
    let varies = sizes.min() != sizes.max();
    let shapes =
        feature.shapes().filter(|shapes| !shapes.largest.is_empty()).map_or(String::new(), |shapes| {
            let show = |shape: &[u64]| shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ");
            let (smallest, largest) = (show(&shapes.smallest), show(&shapes.largest));
            if smallest == largest { largest } else { format!("{smallest} to {largest}") }
        });
    let mut body = facts(&[
        ("stored as", kind),
        ("looks like", contents.join(", ")),
        ("shape", shapes),
        (
            "in",
            if feature.present == profile.elements {
                "every element".into()
            } else {
                format!("{} elements", count(feature.present))
            },
        ),
        (what, if varies { String::new() } else { count(sizes.max()) }),
        ("padded to the longest", size(dense_bytes_of(profile, feature))),
        ("why it is left out", profile.left_out.get(&feature.name).cloned().unwrap_or_default()),
    ]);
    if varies {
        body += &svg::histogram(&sizes, what);
    }
    let words = ways_of(profile, feature, &mut body);
    if let Some(advice) = advice::for_feature(profile, feature) {
        body += &paragraph(&advice.to_string());
    }
    if let Some(words) = words {
        let spec = format!("{}: {words}", show_name(&feature.name));
        body += &command(&format!("lithify convert {input} -o OUT --feature {}", quoted(&spec)));
    }
    card(&feature.name, &body)
}

/// Adds what each way takes to make arrays of a feature that varies; gives the words for one that is good for most.
fn ways_of(profile: &Profile, feature: &FeatureProfile, body: &mut String) -> Option<String> {
    if let Some(advice::Advice::Images { size: (height, width), .. }) = advice::for_feature(profile, feature)
    {
        return Some(format!("resize={height}x{width}"));
    }
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
            vec![words.clone(), size(*bytes), percent(waste)]
        })
        .collect();
    *body += &table(&["way", "takes", "of that no values"], &rows);
    // Padding that costs little is the simplest to read.
    let least = ways.iter().map(|way| way.1).min().unwrap_or(padded);
    Some(if padded / 2 <= least { "pad=max".into() } else { "ragged".into() })
}
