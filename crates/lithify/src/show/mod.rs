//! What was learnt, planned and written, as text for people. Nothing is computed here that is not known elsewhere.

mod spread;

use std::fmt::Write;

use crate::decode::{Content, View};
use crate::error::{Lost, printable, readable};
use crate::machine::{Machine, show_size};
use crate::plan::{ArrayPlan, Fit, Plan, Role, ZarrArray, advice};
use crate::scan::profile::{FeatureProfile, Profile, Shapes, Sizes, Skipped};
use crate::source::live::LIVE;
use crate::source::{Choice, Part};
use crate::value::{DType, Kind};
use crate::write::manifest::Manifest;

pub use crate::plan::fit::show_shape;
pub use spread::{bars, columns, differing};

/// Columns of a window, where there is none.
pub const USUAL_WINDOW: usize = 100;
/// Columns that a histogram has at least, and at most.
const HISTOGRAM: [usize; 2] = [8, 32];

/// A column whose cells stand at the left or at the right.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// Lines up cells in columns. The first row is the head.
fn table(sides: &[Side], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, side), width) in row.iter().zip(sides).zip(&widths) {
            let blanks = " ".repeat(width - cell.chars().count());
            match side {
                Side::Left => line.extend(["  ", cell, &blanks]),
                Side::Right => line.extend(["  ", &blanks, cell]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines up cells in columns, without those that are empty below their head.
fn table_of_used(sides: &[Side], rows: &[Vec<String>]) -> String {
    let used = |column: usize| rows[1..].iter().any(|row| !row[column].is_empty());
    let columns: Vec<usize> = (0..sides.len()).filter(|column| used(*column)).collect();
    let kept = |row: &Vec<String>| columns.iter().map(|column| row[*column].clone()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(kept).collect();
    table(&columns.iter().map(|column| sides[*column]).collect::<Vec<_>>(), &rows)
}

/// How an array is cut and encoded, if it is.
fn chunks(zarr: Option<&ZarrArray>) -> String {
    zarr.map(|zarr| zarr.chunks.to_string()).unwrap_or_default()
}

/// A number with its thousands apart.
#[must_use]
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something.
#[must_use]
pub fn plural(count: u64, what: &str) -> String {
    let end = match count {
        1 => "",
        _ if what.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {what}{end}", show_count(count))
}

fn range(sizes: &Sizes) -> String {
    if sizes.min() == sizes.max() {
        show_count(sizes.min())
    } else {
        format!("{}..{}", show_count(sizes.min()), show_count(sizes.max()))
    }
}

fn middle(sizes: &Sizes) -> String {
    if sizes.min() == sizes.max() {
        return String::new();
    }
    format!("{} / {}", show_count(sizes.quantile(0.5)), show_count(sizes.quantile(0.99)))
}

/// The name of what byte strings look like.
#[must_use]
pub fn content_name(content: Content) -> &'static str {
    match content {
        Content::Empty => "empty",
        Content::Text => "text",
        Content::Jpeg => "JPEG",
        Content::Png => "PNG",
        Content::Gif => "GIF",
        Content::Bmp => "BMP",
        Content::WebP => "WebP",
        Content::Tiff => "TIFF",
        Content::Wav => "WAV",
        Content::Flac => "FLAC",
        Content::Npy => ".npy",
        Content::Tensor => "tensor",
        Content::Raw => "raw bytes",
    }
}

/// The shapes of a feature, where arrays of it hold what its byte strings are decoded to.
fn decoded(feature: &FeatureProfile) -> Option<&Shapes> {
    let natural = feature.kind().and_then(Kind::dtype);
    let declared = |shapes: &Shapes| feature.shaped && natural.is_some() && shapes.dtype != natural;
    let encoded = feature.is_tensors() || feature.is_images() || feature.sounds().is_some();
    let is_other = |shapes: &&Shapes| encoded || feature.viewed || declared(shapes);
    feature.shapes().filter(is_other)
}

/// The share of a padded array that would be padding.
fn waste(profile: &Profile, feature: &FeatureProfile) -> String {
    let shapes = decoded(feature);
    let strings = feature.kind() == Some(Kind::Bytes) && shapes.is_none();
    let waste = match shapes {
        Some(shapes) => {
            let mut padded = shapes.values.clone();
            if let Some(largest) = &mut padded.largest {
                largest.0 = shapes.largest.iter().product();
            }
            advice::waste_of(&padded, profile.elements)
        }
        None if strings => {
            let mut bytes = feature.strings.clone();
            if let Some(largest) = &mut bytes.largest {
                largest.0 = largest.0.saturating_mul(feature.lengths.max());
            }
            advice::waste_of(&bytes, profile.elements)
        }
        None => advice::waste_of(&feature.lengths, profile.elements),
    };
    if waste < 0.0005 { String::new() } else { format!("{:.1} %", waste * 100.0) }
}

fn looks_like(feature: &FeatureProfile) -> String {
    let range = |shapes: &Shapes| match shapes.differs {
        None => show_shape(&shapes.first.0),
        Some(_) => format!("{} to {}", show_shape(&shapes.smallest), show_shape(&shapes.largest)),
    };
    if let Some(shapes) = feature.shapes().filter(|_| feature.is_tensors()) {
        let dtype = shapes.dtype.map_or("string".into(), |dtype| dtype.to_string());
        return match feature.other_shapes() {
            Some(_) => "tensors of several dtypes or ranks".into(),
            None => format!("tensor {dtype} {}", range(shapes)),
        };
    }
    // What has several axes is an array; one axis is a list as any other.
    if let (true, Some(shapes)) = (feature.contents.is_empty(), feature.shapes_by(&View::default()))
        && (shapes.largest.len() > 1 || shapes.dtype != feature.kind().and_then(Kind::dtype))
    {
        let dtype = shapes.dtype.filter(|dtype| Some(*dtype) != feature.kind().and_then(Kind::dtype));
        let shape = if shapes.largest.is_empty() { String::new() } else { range(shapes) };
        return [dtype.map_or(String::new(), |dtype| dtype.to_string()), shape].join(" ").trim().to_owned();
    }
    let mut contents = feature.contents.clone();
    contents.sort_by_key(|content| std::cmp::Reverse(content.1));
    let mut text = contents.iter().map(|content| content_name(content.0)).collect::<Vec<_>>().join(", ");
    if feature.is_images() {
        let channels: Vec<_> = feature.image_channels().iter().map(u64::to_string).collect();
        let plural = if channels == ["1"] { "" } else { "s" };
        let _ = write!(text, " of {} channel{plural}", channels.join(" or "));
    }
    text
}

/// How the lengths of sounds are distributed, and how many samples a second they have.
fn sounds(profile: &Profile) -> String {
    let mut text = String::new();
    for feature in &profile.features {
        let Some(sounds) = feature.shapes().and_then(|shapes| shapes.sounds.as_ref()) else { continue };
        let seconds =
            |thousandths: u64| format!("{}.{:02}", show_count(thousandths / 1000), thousandths % 1000 / 10);
        let _ = writeln!(
            text,
            "`{}`: {} samples a second, {} seconds",
            readable(&feature.name),
            middle_of(&sounds.rates, show_count),
            middle_of(&sounds.milliseconds, seconds),
        );
    }
    text
}

/// The smallest, the middle and the largest of sizes.
fn middle_of(sizes: &Sizes, show: fn(u64) -> String) -> String {
    let [min, middle, max] = [sizes.min(), sizes.quantile(0.5), sizes.max()].map(show);
    if min == max { min } else { format!("{min}..{max} (median {middle})") }
}

/// How the sizes of images are distributed.
fn images(profile: &Profile) -> String {
    let mut text = String::new();
    for feature in profile.features.iter().filter(|feature| feature.is_images()) {
        let Some(images) = feature.images() else { continue };
        let hundredths = |ratio: u64| format!("{}.{:02}", ratio / 100, ratio % 100);
        let _ = writeln!(
            text,
            "`{}`: height {}, width {}, width by height {}",
            readable(&feature.name),
            middle_of(&images.heights, show_count),
            middle_of(&images.widths, show_count),
            middle_of(&images.aspects, hundredths),
        );
    }
    text
}

/// What a dataset holds, and what arrays of it would take, for a window of so many columns.
#[must_use]
pub fn profile(profile: &Profile, machine: &Machine, window: usize) -> String {
    let stored: u64 = profile.parts.iter().map(|part| part.bytes).sum();
    let (elements, origin) = (plural(profile.elements, "element"), origin(&profile.format, &profile.parts));
    let size = if stored > 0 { format!(" ({})", show_size(stored)) } else { String::new() };
    let mut text = format!("{elements} in {origin}{size}{}\n", choice(&profile.choice));
    if profile.elements > 0 {
        text.push('\n');
        text.push_str(&features(profile, window));
        for more in [others(profile), images(profile), sounds(profile)] {
            if !more.is_empty() {
                text.push('\n');
                text.push_str(&more);
            }
        }
    }
    let _ = writeln!(
        text,
        "\npadded to the longest, all of it takes {}; {} of disk free in `{}`, {} of memory available",
        show_size(dense_bytes(profile)),
        show_size(machine.disk),
        machine.disk_path.display(),
        show_size(machine.memory_available)
    );
    for advice in profile.features.iter().filter_map(|feature| advice::for_feature(profile, feature)) {
        let _ = writeln!(text, "advice: {advice}");
    }
    text.push_str(&skipped(&profile.skipped));
    text
}

/// What a dataset's elements are of: of how many files, or of which program.
#[must_use]
pub fn origin(format: &str, parts: &[Part]) -> String {
    match parts {
        [program] if format == LIVE => printable(&program.path),
        files => {
            let mut formats: Vec<_> = format.split(['+', '&']).collect();
            formats.dedup();
            let mixed =
                if formats.len() > 1 { format!(" of {}", formats.join(" and ")) } else { String::new() };
            plural(files.len() as u64, part_name(format)) + &mixed
        }
    }
}

/// The dtype of an array as its readers see it.
fn dtype(dtype: DType, zarr: Option<&ZarrArray>) -> String {
    if zarr.is_some_and(|zarr| zarr.text) { "string".into() } else { dtype.to_string() }
}

/// Which of a dataset's elements are taken, if not all.
fn choice(choice: &Choice) -> String {
    let split = choice.split.iter().map(|split| format!(", split {}", readable(split)));
    let select = choice.select.iter().map(|condition| format!(", where {}", readable(condition)));
    let limit = choice.limit.iter().map(|limit| format!(", the first {limit} at most"));
    let shuffle = choice.shuffle.iter().map(|seed| format!(", shuffled by {seed}"));
    let rows = choice.rows.iter().map(|[start, end]| format!(", of that {start} to {end}"));
    split.chain(select).chain(limit).chain(shuffle).chain(rows).collect()
}

/// What a part of a dataset of this format is.
fn part_name(format: &str) -> &'static str {
    if matches!(format, "image-folder" | "audio-folder") { "folder" } else { "file" }
}

/// The names of features that were not asked for.
fn others(profile: &Profile) -> String {
    const SHOWN: usize = 8;
    let others: Vec<_> = profile.features.iter().filter(|feature| !feature.looked_into()).collect();
    if others.is_empty() {
        return String::new();
    }
    let shown: Vec<_> =
        others.iter().take(SHOWN).map(|feature| format!("`{}`", readable(&feature.name))).collect();
    let more =
        if others.len() > SHOWN { format!(", and {} more", others.len() - SHOWN) } else { String::new() };
    format!("not looked into: {}{more}\n", shown.join(", "))
}

/// The table of features, with histograms that make it as wide as a window, if they can.
fn features(profile: &Profile, window: usize) -> String {
    let differing: Vec<_> = profile.looked_into().map(differing).collect();
    let pictures = |most: usize| {
        let picture = |(sizes, what): &(Sizes, &str)| match sizes.min() == sizes.max() {
            true => String::new(),
            false if *what == "values" => bars(sizes, most),
            false => format!("{:most$} {what}", bars(sizes, most)),
        };
        differing.iter().map(picture).collect::<Vec<_>>()
    };
    let least = features_with(profile, &pictures(HISTOGRAM[0]));
    let width = least.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let most = (HISTOGRAM[0] + window.saturating_sub(width)).min(HISTOGRAM[1]);
    if most == HISTOGRAM[0] { least } else { features_with(profile, &pictures(most)) }
}

fn features_with(profile: &Profile, pictures: &[String]) -> String {
    let head = [
        "feature",
        "stored as",
        "in",
        "values",
        "median / 99 %",
        "bytes of a string",
        "histogram",
        "padded",
        "waste",
        "looks like",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (feature, picture) in profile.looked_into().zip(pictures) {
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let share = feature.present as f64 / profile.elements as f64 * 100.0;
        rows.push(vec![
            readable(&feature.name),
            feature.kind().map_or("nothing".into(), |kind| kind.to_string()),
            match feature.present == profile.elements {
                true => "all".into(),
                false if feature.present == 0 => "none".into(),
                // Neither 0 % nor 100 % where it is not so.
                false => format!("{:.1} %", share.clamp(0.1, 99.9)),
            },
            range(&feature.lengths),
            middle(&feature.lengths),
            if feature.kind() == Some(Kind::Bytes) { range(&feature.strings) } else { String::new() },
            picture.clone(),
            show_size(dense_bytes_of(profile, feature)),
            waste(profile, feature),
            profile.left_out.get(&feature.name).cloned().unwrap_or_else(|| looks_like(feature)),
        ]);
    }
    let sides = [&[Side::Left; 2][..], &[Side::Right; 4], &[Side::Left], &[Side::Right; 2], &[Side::Left]];
    table_of_used(&sides.concat(), &rows)
}

/// Bytes of all features, each padded to its longest.
#[must_use]
pub fn dense_bytes(profile: &Profile) -> u64 {
    profile.features.iter().fold(0, |sum, feature| sum.saturating_add(dense_bytes_of(profile, feature)))
}

/// Bytes of a feature that is padded to its longest.
#[must_use]
pub fn dense_bytes_of(profile: &Profile, feature: &FeatureProfile) -> u64 {
    let row = match (feature.kind(), decoded(feature)) {
        (Some(_), Some(shapes)) => {
            let item = shapes.dtype.map_or(shapes.strings.max(), |dtype| dtype.size() as u64);
            shapes.largest.iter().fold(item, |product, size| product.saturating_mul(*size))
        }
        (Some(kind), None) => {
            let item = kind.dtype().map_or(feature.strings.max(), |dtype| dtype.size() as u64);
            feature.lengths.max().saturating_mul(item)
        }
        (None, _) => 0,
    };
    row.saturating_mul(profile.elements)
}

fn skipped(skipped: &[Skipped]) -> String {
    const SHOWN: usize = 5;
    let mut text = String::new();
    if skipped.is_empty() {
        return text;
    }
    let stretches = skipped.iter().filter(|one| one.lost == Lost::Stretch).count() as u64;
    let counted = [
        (skipped.len() as u64 - stretches, plural(skipped.len() as u64 - stretches, "element")),
        (stretches, format!("{} with an unknown number of them", plural(stretches, "damaged stretch"))),
    ];
    let counted: Vec<_> = counted.into_iter().filter(|one| one.0 > 0).map(|one| one.1).collect();
    let _ = writeln!(text, "skipped: {}", counted.join(", and "));
    for one in skipped.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}: {}", one.place, one.reason);
    }
    if skipped.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", skipped.len() - SHOWN);
    }
    text
}

/// How an array came to be: how elements were made to fill its rows, or what else of its feature it holds.
#[must_use]
pub fn how(role: Role, fit: &Fit) -> String {
    match role_name(role) {
        "" => fit.to_string(),
        name => name.into(),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Data => "",
        Role::Lengths | Role::BucketLengths(_) => "true lengths",
        Role::Mask | Role::BucketMask(_) => "what is data",
        Role::Sizes => "height and width before",
        Role::Present => "which elements have it",
        Role::Rates => "samples a second",
        Role::Values => "values",
        Role::Offsets => "where elements start and end",
        Role::ValueOffsets => "where strings start and end",
        Role::Shapes => "shapes",
        Role::Bucket(_) => "rows of a bucket",
        Role::BucketElements(_) => "element numbers of a bucket",
    }
}

/// What pass 2 will do.
#[must_use]
pub fn plan(profile: &Profile, plan: &Plan, machine: &Machine) -> String {
    let elements = plural(plan.elements, "element");
    let mut text = format!("{elements} to `{}`{}\n\n", plan.output.display(), choice(&plan.choice));
    let mut rows = vec![["array", "dtype", "shape", "bytes", "chunks", "how"].map(str::to_owned).to_vec()];
    for array in &plan.arrays {
        let feature = &plan.features[array.feature];
        rows.push(vec![
            printable(&plan.layout.path_of(&array.name)),
            dtype(array.dtype, array.zarr.as_deref()),
            show_shape(&array.shape),
            show_size(array.bytes()),
            chunks(array.zarr.as_deref()),
            how(array.role, &feature.fit),
        ]);
    }
    let sides = [&[Side::Left; 3][..], &[Side::Right], &[Side::Left; 2]].concat();
    text.push_str(&table_of_used(&sides, &rows));
    let most = if plan.arrays.iter().any(ArrayPlan::compressed) { "at most " } else { "" };
    if plan.layout.is_zarr() {
        let _ = writeln!(text, "\nfiles:  {} at most", plural(plan.files(), "chunk or shard"));
    } else {
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "disk:   {most}{} of {} free in `{}`",
        show_size(plan.bytes()),
        show_size(machine.disk),
        machine.disk_path.display()
    );
    let _ = writeln!(
        text,
        "memory: {} of {} ({})",
        show_size(plan.memory.at(plan.threads)),
        show_size(machine.memory),
        machine.memory_limit
    );
    let _ = writeln!(
        text,
        "work:   {} of {}, on {}",
        plural(plan.blocks(), "block"),
        plural(plan.block_rows.min(plan.elements), "row"),
        plural(plan.threads as u64, "thread")
    );
    for advice in advice::for_plan(profile, plan, machine) {
        let _ = writeln!(text, "advice: {advice}");
    }
    text.push_str(&skipped(&plan.skipped));
    text
}

/// What was written.
#[must_use]
pub fn manifest(manifest: &Manifest) -> String {
    let mut text = format!(
        "{} from {}{}, by {}\n\n",
        plural(manifest.elements, "element"),
        origin(&manifest.format, &manifest.parts),
        choice(&manifest.choice),
        manifest.written_by
    );
    let head = ["array", "dtype", "shape", "bytes", "chunks", "feature", "how"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for array in &manifest.arrays {
        rows.push(vec![
            printable(&array.file),
            dtype(array.dtype, array.zarr.as_deref()),
            show_shape(&array.shape),
            show_size(array.blocks.iter().map(|block| block.0).sum()),
            chunks(array.zarr.as_deref()),
            readable(&array.feature),
            how(array.role, &array.fit),
        ]);
    }
    let sides = [&[Side::Left; 3][..], &[Side::Right], &[Side::Left; 3]].concat();
    text.push_str(&table_of_used(&sides, &rows));
    text.push_str(&skipped(&manifest.skipped));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(show_count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "n".to_owned()], vec!["long".to_owned(), "100".to_owned()]];
        assert_eq!(table(&[Side::Left, Side::Right], &rows), "  a       n\n  long  100\n");
    }
}
