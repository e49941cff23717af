//! What a notebook shows: a line, a table, and the text that a terminal shows. It has no style of its own.

use lithify::machine::show_size;
use lithify::plan::{Plan, advice};
use lithify::scan::profile::Profile;
use lithify::show::{content_name, dense_bytes_of, differing, how, origin, plural, show_count, show_shape};
use lithify::write::manifest::Manifest;

use super::page::{paragraph, table, table_of, text};
use super::svg;

/// What is in a dataset. `shown` is the text.
#[must_use]
pub fn profile(profile: &Profile, shown: &str) -> String {
    let rows: Vec<_> = profile
        .looked_into()
        .map(|feature| {
            let contents: Vec<_> = feature.contents.iter().map(|content| content_name(content.0)).collect();
            let (sizes, what) = differing(feature);
            let varies = sizes.min() != sizes.max();
            let [least, most] = [sizes.min(), sizes.max()].map(show_count);
            let span = match (varies, sizes.max()) {
                (true, _) => format!("{least}..{most} {what}"),
                (false, 1) => format!("1 {}", what.trim_end_matches('s')),
                (false, _) => format!("{most} {what}"),
            };
            let every = feature.present == profile.elements;
            vec![
                text(&feature.name),
                text(&feature.kind().map_or("nothing".into(), |kind| kind.to_string())),
                text(&contents.join(", ")),
                if every { "all".into() } else { show_count(feature.present) },
                text(&span),
                if varies { svg::small(&sizes, what) } else { String::new() },
                show_size(dense_bytes_of(profile, feature)),
            ]
        })
        .collect();
    let head = ["feature", "stored as", "looks like", "in", "sizes", "histogram", "padded to the longest"];
    let left_out = profile.left_out.iter().map(|(name, why)| format!("`{name}` is left out: {why}"));
    let advised = profile.looked_into().filter_map(|feature| advice::for_feature(profile, feature));
    let notes = left_out.chain(advised.map(|advice| advice.to_string()));
    let about =
        format!("{} of {}", plural(profile.elements, "element"), origin(&profile.format, &profile.parts));
    whole(&about, &(table_of(&head, rows) + &notes.map(|note| paragraph(&note)).collect::<String>()), shown)
}

/// What would be written.
#[must_use]
pub fn plan(plan: &Plan, shown: &str) -> String {
    let rows: Vec<_> = plan
        .arrays
        .iter()
        .map(|array| {
            let feature = &plan.features[array.feature];
            vec![
                plan.layout.path_of(&array.name).display().to_string(),
                feature.feature.clone(),
                array.dtype.to_string(),
                show_shape(&array.shape),
                show_size(array.bytes()),
                how(array.role, &feature.fit),
            ]
        })
        .collect();
    let (elements, size) = (plural(plan.elements, "element"), show_size(plan.bytes()));
    let about = format!("{elements}, {size} to {}", plan.output.display());
    whole(&about, &table(&["array", "feature", "dtype", "shape", "size", "how"], &rows), shown)
}

/// What was written.
#[must_use]
pub fn manifest(manifest: &Manifest, output: &str) -> String {
    let rows: Vec<_> = manifest
        .arrays
        .iter()
        .map(|array| {
            vec![
                array.file.display().to_string(),
                array.feature.clone(),
                array.dtype.to_string(),
                show_shape(&array.shape),
                how(array.role, &array.fit),
            ]
        })
        .collect();
    let about =
        format!("{}, {} in {output}", plural(manifest.elements, "element"), show_size(manifest.bytes()));
    whole(
        &about,
        &table(&["array", "feature", "dtype", "shape", "how"], &rows),
        &lithify::show::manifest(manifest),
    )
}

fn whole(about: &str, body: &str, shown: &str) -> String {
    let about = text(about);
    let shown = text(shown);
    format!("<p>{about}</p>\n{body}<details><summary>as text</summary><pre>{shown}</pre></details>\n")
}
