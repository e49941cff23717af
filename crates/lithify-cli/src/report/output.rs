//! The page of an output: what was written, and how it looks.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lithify::error::Result;
use lithify::look::{Look, Range, Sample, Samples};
use lithify::machine::show_size;
use lithify::show::{how, origin, show_count, show_shape};
use lithify::write::manifest::Manifest;

use super::page::{card, facts, left_out, page as whole, paragraph, percent, section, table, text};
use super::svg;
use super::tile::{self, Tile, show};

/// Bytes of pictures in a page, at most.
const PICTURE_BYTES: usize = 1 << 20;

/// The page of an output that was looked at.
///
/// # Errors
/// A picture cannot be made.
pub fn page(look: &Look, output: &Path) -> Result<String> {
    let manifest = &look.manifest;
    let about = facts(&[
        ("elements", show_count(manifest.elements)),
        ("from", origin(&manifest.format, &manifest.parts)),
        ("format", manifest.format.clone()),
        ("arrays", manifest.arrays.len().to_string()),
        ("in all", show_size(manifest.bytes())),
        ("on disk", manifest.stored_bytes().map_or(String::new(), show_size)),
        ("left out", left_out(&manifest.skipped)),
        ("written by", manifest.written_by.clone()),
        ("checksum of lithify.json", String::from(manifest.checksum)),
    ]);
    let mut left = PICTURE_BYTES;
    let mut features = String::new();
    for samples in &look.features {
        features += &of_feature(samples, manifest, &mut left)?;
    }
    let rows: Vec<_> = manifest
        .arrays
        .iter()
        .zip(&look.ranges)
        .map(|(array, range)| {
            let limits = |number| Option::map_or(number, String::new(), show);
            vec![
                array.file.display().to_string(),
                array.dtype.to_string(),
                show_shape(&array.shape),
                how(array.role, &array.fit),
                limits(range.least),
                limits(range.greatest),
                if range.nan > 0 { show_count(range.nan) } else { String::new() },
                if range.infinite > 0 { show_count(range.infinite) } else { String::new() },
            ]
        })
        .collect();
    let mut arrays =
        table(&["array", "dtype", "shape", "how", "least", "greatest", "NaN", "infinite"], &rows);
    let whole_rows = |range: &Range, shape: &[u64]| shape.first().is_none_or(|rows| range.rows >= *rows);
    if manifest.arrays.iter().zip(&look.ranges).any(|(array, range)| !whole_rows(range, &array.shape)) {
        arrays += &paragraph("Of large arrays, ranges are those of evenly spaced rows, 256 MiB in all.");
    }
    let sums: Vec<_> = manifest
        .arrays
        .iter()
        .map(|array| {
            let blocks: Vec<_> = array.blocks.iter().take(8).map(|block| String::from(block.1)).collect();
            let more = if array.blocks.len() > 8 {
                format!(" and {} more", array.blocks.len() - 8)
            } else {
                String::new()
            };
            vec![array.file.display().to_string(), array.blocks.len().to_string(), blocks.join(" ") + &more]
        })
        .collect();
    let sums = paragraph("`lithify verify` compares them with what is on the disk.")
        + &table(&["array", "blocks", "CRC-64/NVME of each"], &sums);
    let body =
        about + &section("Features", &features) + &section("Arrays", &arrays) + &section("Checksums", &sums);
    Ok(whole(&output.display().to_string(), &body))
}

fn of_feature(samples: &Samples, manifest: &Manifest, left: &mut usize) -> Result<String> {
    let name = &samples.feature;
    let mut body = facts(&[
        ("how", samples.fit.to_string()),
        ("padding", samples.padding.map_or(String::new(), percent)),
        ("classes", manifest.classes.get(name).map_or(String::new(), |names| names.len().to_string())),
        ("samples a second", manifest.rates.get(name).map_or(String::new(), |rate| show_count(*rate))),
    ]);
    let mut tiles = String::new();
    for sample in &samples.elements {
        tiles += &figure(name, sample, tile::of(sample, name, manifest), left)?;
    }
    if !tiles.is_empty() {
        body.extend(["<div class=\"tiles\">\n", &tiles, "</div>\n"]);
    }
    Ok(card(name, &body))
}

fn figure(name: &str, sample: &Sample, tile: Tile, left: &mut usize) -> Result<String> {
    let label = format!("{name} of element {}", sample.element);
    let shown = match tile {
        Tile::Picture(picture) => {
            let png = picture.png()?;
            let Some(rest) = left.checked_sub(png.len()) else { return Ok(String::new()) };
            *left = rest;
            format!("<img alt=\"{}\" src=\"data:image/png;base64,{}\">", text(&label), STANDARD.encode(png))
        }
        Tile::Line(values) => svg::line(&values, &label),
        Tile::Text(words) => format!("<div class=\"text\">{}</div>", text(&words)),
    };
    let shape =
        if sample.shape.is_empty() { String::new() } else { format!(" · {}", show_shape(&sample.shape)) };
    Ok(format!(
        "<figure>{shown}<figcaption>{}{}</figcaption></figure>\n",
        show_count(sample.element),
        text(&shape)
    ))
}
