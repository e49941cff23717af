//! A contact sheet: some elements of each feature, in one picture.

use font8x8::UnicodeFonts;
use lithify::error::Result;
use lithify::look::Look;

use super::picture::{Picture, SIDE, line_points};
use super::tile::{self, Tile};

/// The space around a tile, and the height of a line of text.
const GAP: usize = 8;
const LINE: usize = 10;
const LETTER: usize = 8;
/// Letters of a line: a tile's width, but for what parts it from the next.
const LETTERS: usize = SIDE / LETTER - 1;

const INK: [u8; 3] = [0x1b, 0x1f, 0x24];
const DIM: [u8; 3] = [0x57, 0x60, 0x6a];
const BLUE: [u8; 3] = [0x09, 0x69, 0xda];
const PAPER: u8 = 0xff;

/// The bytes of the sheet, as PNG: a band a feature, an element a column.
///
/// # Errors
/// It cannot be made.
pub fn png(look: &Look) -> Result<Vec<u8>> {
    let bands: Vec<_> = look
        .features
        .iter()
        .filter(|samples| !samples.elements.is_empty())
        .map(|samples| {
            let tiles: Vec<_> = samples
                .elements
                .iter()
                .map(|sample| (sample.element, tile::of(sample, &samples.feature, &look.manifest)))
                .collect();
            (&samples.feature, tiles)
        })
        .collect();
    let most = bands.iter().map(|band| band.1.len()).max().unwrap_or(0);
    let around = 2 * LINE + 2 * GAP;
    let inner = |tiles: &[(u64, Tile)]| tiles.iter().map(|tile| height(&tile.1)).max().unwrap_or(0);
    let heights: usize = bands.iter().map(|band| inner(&band.1) + around).sum();
    let column = SIDE + GAP;
    let mut sheet = Sheet::new((heights + GAP).max(LINE + GAP), (most * column + GAP).max(column));
    let mut top = GAP;
    for (feature, tiles) in &bands {
        sheet.write(feature, (top, GAP), sheet.0.width / LETTER, INK);
        let inner = inner(tiles);
        for (at, (element, tile)) in tiles.iter().enumerate() {
            let place = (top + LINE + GAP / 2, GAP + at * column);
            match tile {
                Tile::Picture(picture) => sheet.paste(picture, place),
                Tile::Line(values) => sheet.line(values, place),
                Tile::Text(words) => sheet.wrap(words, place),
            }
            sheet.write(&format!("#{element}"), (place.0 + inner + 2, place.1), LETTERS, DIM);
        }
        top += inner + around;
    }
    sheet.0.png()
}

/// Pixels that a tile is high.
fn height(tile: &Tile) -> usize {
    match tile {
        Tile::Text(words) => lines(words).len().clamp(1, SIDE / LINE) * LINE,
        _ => SIDE,
    }
}

/// A text in lines: between words, and within those that are longer than a line.
fn lines(text: &str) -> Vec<String> {
    // The font has no such letter.
    let text = text.replace('…', "...");
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.len() + 1 + word.len() <= LETTERS {
            line.push(' ');
        } else if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        line.extend(word);
        while line.len() > LETTERS {
            let rest = line.split_off(LETTERS);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines.into_iter().map(String::from_iter).collect()
}

struct Sheet(Picture);

impl Sheet {
    fn new(height: usize, width: usize) -> Self {
        Self(Picture { height, width, channels: 3, pixels: vec![PAPER; height * width * 3] })
    }

    fn dot(&mut self, (y, x): (usize, usize), colour: [u8; 3]) {
        if y < self.0.height && x < self.0.width {
            let at = (y * self.0.width + x) * 3;
            self.0.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// Writes as much of a text as there is room for. Letters that the font lacks are `?`.
    fn write(&mut self, text: &str, (top, left): (usize, usize), most: usize, colour: [u8; 3]) {
        for (number, letter) in text.chars().take(most).enumerate() {
            let glyph = font8x8::BASIC_FONTS
                .get(letter)
                .or_else(|| font8x8::LATIN_FONTS.get(letter))
                .or_else(|| font8x8::GREEK_FONTS.get(letter))
                .or_else(|| font8x8::BASIC_FONTS.get('?'))
                .unwrap_or_default();
            for (y, row) in glyph.iter().enumerate() {
                for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                    self.dot((top + y, left + number * LETTER + x), colour);
                }
            }
        }
    }

    fn wrap(&mut self, text: &str, (top, left): (usize, usize)) {
        for (number, line) in lines(text).iter().take(SIDE / LINE).enumerate() {
            self.write(line, (top + number * LINE, left), LETTERS, INK);
        }
    }

    /// Copies a picture, a small one as many times larger as there is room for.
    fn paste(&mut self, picture: &Picture, (top, left): (usize, usize)) {
        let times = (SIDE / picture.height.max(picture.width).max(1)).max(1);
        for y in 0..picture.height * times {
            for x in 0..picture.width * times {
                let at = (y / times * picture.width + x / times) * picture.channels;
                let pixel = &picture.pixels[at..at + picture.channels];
                let colour = match *pixel {
                    [grey] => [grey; 3],
                    // What is transparent shows the paper.
                    [red, green, blue, alpha] => [red, green, blue].map(|part| over(part, alpha)),
                    _ => [pixel[0], pixel[1], pixel[2]],
                };
                self.dot((top + y, left + x), colour);
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "pixels in a box"
    )]
    fn line(&mut self, values: &[f64], (top, left): (usize, usize)) {
        let points = line_points(values, (SIDE - 2) as f64, SIDE as f64);
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
            for step in 0..=steps as usize {
                let part = step as f64 / steps;
                let (x, y) = (x0 + (x1 - x0) * part, y0 + (y1 - y0) * part);
                self.dot((top + y as usize, left + x as usize), BLUE);
            }
        }
    }
}

fn over(part: u8, alpha: u8) -> u8 {
    let mixed = (u16::from(part) * u16::from(alpha) + u16::from(PAPER) * u16::from(255 - alpha)) / 255;
    u8::try_from(mixed).unwrap_or(PAPER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_break_between_words() {
        assert_eq!(lines("1 2 34 567 8901"), ["1 2 34 567", "8901"]);
        assert_eq!(lines("0123456789a 1"), ["0123456789a", "1"]);
        assert_eq!(lines("a 0123456789abc d …"), ["a", "0123456789a", "bc d ..."]);
        assert_eq!(lines(""), [""]);
    }
}
