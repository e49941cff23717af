//! Drawings. What they show is in their label, too, for who does not see them.

use std::fmt::Write;

use lithify::scan::profile::Sizes;
use lithify::show::{columns, show_count};

use super::page::text;

/// How sizes are distributed.
pub fn histogram(sizes: &Sizes, what: &str) -> String {
    const COLUMNS: usize = 48;
    let columns = columns(sizes, COLUMNS);
    let highest = columns.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "few columns")]
    let step = 480.0 / columns.len().max(1) as f64;
    let mut bars = String::new();
    let mut at = 0.0;
    for column in &columns {
        let height = if *column > 0.0 { (column / highest * 80.0).max(1.0) } else { 0.0 };
        let _ = write!(
            bars,
            "<rect class=\"bar\" x=\"{at:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            80.0 - height,
            (step - 1.0).max(1.0)
        );
        at += step;
    }
    let [min, max] = [sizes.min(), sizes.max()].map(show_count);
    let label = spread(sizes, what);
    format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 480 96\" width=\"480\" height=\"96\">{bars}<text x=\"0\" y=\"93\">{min}</text><text x=\"480\" y=\"93\" text-anchor=\"end\">{max} {}</text></svg>\n",
        text(&label),
        text(what)
    )
}

/// The same, as small as a line of text, and in the colour of what is around it.
pub fn small(sizes: &Sizes, what: &str) -> String {
    const COLUMNS: usize = 24;
    let columns = columns(sizes, COLUMNS);
    let highest = columns.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut bars = String::new();
    for (number, column) in columns.iter().enumerate() {
        let height = if *column > 0.0 { (column / highest * 24.0).max(1.0) } else { 0.0 };
        let (x, y) = (number * 5, 24.0 - height);
        let _ = write!(bars, "<rect x=\"{x}\" y=\"{y:.1}\" width=\"4\" height=\"{height:.1}\"/>");
    }
    let (label, width) = (text(&spread(sizes, what)), columns.len() * 5);
    format!(
        "<svg role=\"img\" aria-label=\"{label}\" width=\"{width}\" height=\"24\" fill=\"currentColor\">{bars}</svg>"
    )
}

/// How sizes are distributed, in words.
fn spread(sizes: &Sizes, what: &str) -> String {
    let [min, median, most, max] =
        [sizes.min(), sizes.quantile(0.5), sizes.quantile(0.99), sizes.max()].map(show_count);
    format!("{what} from {min} to {max}, half of them at most {median}, 99 % at most {most}")
}

/// Sizes in bytes as bars of one scale: with a name, and how it is shown.
pub fn bars(rows: &[(String, u64, String)]) -> String {
    let longest = rows.iter().map(|row| row.1).max().unwrap_or(0).max(1);
    let mut drawn = String::new();
    for (number, (name, bytes, shown)) in rows.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "pixels")]
        let (y, width) = (number as f64 * 34.0, *bytes as f64 / longest as f64 * 480.0);
        let class = if number == 0 { "bar" } else { "other" };
        let _ = write!(
            drawn,
            "<text x=\"0\" y=\"{:.0}\">{}: {}</text><rect class=\"back\" x=\"0\" y=\"{:.0}\" width=\"480\" height=\"12\"/><rect class=\"{class}\" x=\"0\" y=\"{:.0}\" width=\"{:.1}\" height=\"12\"/>",
            y + 11.0,
            text(name),
            text(shown),
            y + 16.0,
            y + 16.0,
            width.max(1.0)
        );
    }
    let label: Vec<_> = rows.iter().map(|row| format!("{}: {}", row.0, row.2)).collect();
    let height = rows.len() * 34;
    format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 480 {height}\" width=\"480\" height=\"{height}\">{drawn}</svg>\n",
        text(&label.join("; "))
    )
}

/// Values one after another as a line.
pub fn line(values: &[f64], label: &str) -> String {
    let points: Vec<String> = super::picture::line_points(values, 118.0, 60.0)
        .into_iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 120 62\" width=\"120\" height=\"62\"><polyline class=\"line\" points=\"{}\"/></svg>",
        text(label),
        points.join(" ")
    )
}
