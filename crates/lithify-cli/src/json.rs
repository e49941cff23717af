//! What programs read: the same facts that people are shown, under stable names.

use lithify::error::{Error, ErrorKind, Result};
use lithify::machine::Machine;
use lithify::plan::{Plan, Target, advice};
use lithify::scan::profile::{Profile, Sizes, bin_end};
use lithify::show::{content_name, dense_bytes_of};
use lithify::write::manifest::Manifest;
use serde::Serialize;
use serde_json::{Value, json};

/// JSON that is indented, with a final newline.
///
/// # Errors
/// It cannot be written as JSON.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    text.push('\n');
    Ok(text)
}

fn sizes(sizes: &Sizes) -> Value {
    // Each pair: the largest size that falls in the bin, and how many do. Bins without any are left out.
    let bins: Vec<_> = sizes
        .histogram
        .iter()
        .enumerate()
        .filter(|bin| *bin.1 > 0)
        .map(|(bin, count)| json!([bin_end(bin).min(sizes.max()), count]))
        .collect();
    json!({
        "min": sizes.min(), "max": sizes.max(), "total": sizes.total, "count": sizes.count,
        "median": sizes.quantile(0.5), "p99": sizes.quantile(0.99), "histogram": bins,
    })
}

/// What `scan` has learnt.
#[must_use]
pub fn profile(profile: &Profile, machine: &Machine) -> Value {
    let features: Vec<_> = profile
        .looked_into()
        .map(|feature| {
            let contents: serde_json::Map<String, Value> = feature
                .contents
                .iter()
                .map(|(content, count)| (content_name(*content).into(), json!(count)))
                .collect();
            let tensors = feature.shapes().filter(|_| feature.is_tensors()).map(|shapes| {
                json!({
                    "dtype": shapes.dtype, "smallest": shapes.smallest, "largest": shapes.largest,
                    "uniform": shapes.differs.is_none() && feature.other_shapes().is_none(),
                })
            });
            let images = feature.images().filter(|_| feature.is_images()).map(|images| {
                json!({
                    "channels": feature.image_channels(), "heights": sizes(&images.heights), "widths": sizes(&images.widths),
                    "aspects": sizes(&images.aspects), "decode_bytes": images.most_memory(),
                })
            });
            let sounds = feature.shapes().and_then(|shapes| shapes.sounds.as_ref()).map(|sounds| {
                json!({ "rates": sizes(&sounds.rates), "milliseconds": sizes(&sounds.milliseconds) })
            });
            json!({
                "name": feature.name,
                "kind": feature.kind(),
                "left_out": profile.left_out.get(&feature.name),
                "present": feature.present,
                "lengths": sizes(&feature.lengths),
                "strings": (feature.strings.count > 0).then(|| sizes(&feature.strings)),
                "contents": contents,
                "tensors": tensors,
                "images": images,
                "sounds": sounds,
                "padded_bytes": dense_bytes_of(profile, feature),
                "advice": advice::for_feature(profile, feature).map(|advice| advice.to_string()),
            })
        })
        .collect();
    json!({
        "format": profile.format,
        "parts": profile.parts,
        "elements": profile.elements,
        "record_bytes": profile.stored_bytes,
        "largest_record": profile.largest_record,
        "features": features,
        "skipped": profile.skipped,
        "machine": machine,
    })
}

/// What `convert --dry-run` would do.
#[must_use]
pub fn plan(profile: &Profile, plan: &Plan, machine: &Machine) -> Value {
    json!({
        "output": plan.output,
        "elements": plan.elements,
        "arrays": plan.arrays.iter().map(|array| json!({
            "file": plan.layout.path_of(&array.name), "dtype": array.dtype, "shape": array.shape, "bytes": array.bytes(),
            "feature": plan.features[array.feature].feature, "fit": plan.features[array.feature].fit, "role": array.role,
            "chunks": array.zarr.as_ref().map(|zarr| &zarr.chunks),
        })).collect::<Vec<_>>(),
        "bytes": plan.bytes(),
        "files": plan.files(),
        "blocks": plan.blocks(),
        "block_rows": plan.block_rows,
        "threads": plan.threads,
        "memory_bytes": plan.memory.at(plan.threads),
        "skipped": plan.skipped,
        "advice": advice::for_plan(profile, plan, machine).iter().map(ToString::to_string).collect::<Vec<_>>(),
        "machine": machine,
    })
}

/// What `convert` has done.
#[must_use]
pub fn outcome(manifest: &Manifest, target: &Target) -> Value {
    json!({
        "output": target.output,
        "elements": manifest.elements,
        "arrays": manifest.arrays.iter().map(|array| json!({
            "file": array.file, "dtype": array.dtype, "shape": array.shape, "feature": array.feature, "role": array.role,
            "chunks": array.zarr.as_ref().map(|zarr| &zarr.chunks),
        })).collect::<Vec<_>>(),
        "bytes": manifest.bytes(),
        "stored_bytes": manifest.stored_bytes(),
        "skipped": manifest.skipped,
        "run": manifest.run,
    })
}
