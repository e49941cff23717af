//! How requests are written: one notation for the command line, recipe files, saved plans and the library.
//!
//! ```text
//! NAME: key=value key=value flag            "a name: with a colon": rename="two words" default=1,2
//! ```
//! A name or a value that holds blanks (or a colon, or quotes) stands in double quotes; `\\` before a quote, a comma or
//! another `\\` takes its meaning away.

use std::fmt;
use std::str::FromStr;

use super::request::{DTypeRequest, FeatureRequest, FitRequest, Request};
use super::{chunks, image};
use crate::decode::Dim;
use crate::error::{Error, Result};

/// Splits at commas that have no backslash before them, and takes those backslashes away.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let last = items.len() - 1;
        match letter {
            ',' => items.push(String::new()),
            '\\' if matches!(letters.peek(), Some(',' | '\\')) => items[last].extend(letters.next()),
            _ => items[last].push(letter),
        }
    }
    items
}

fn join_list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let escaped = |item: &String| item.replace('\\', "\\\\").replace(',', "\\,");
    items.into_iter().map(escaped).collect::<Vec<_>>().join(",")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A feature's name as it is written, in quotes if it must be.
#[must_use]
pub fn show_name(name: &str) -> String {
    let plain = name == name.trim() && !name.starts_with('"') && !name.contains(": ") && !name.ends_with(':');
    if plain { name.to_owned() } else { quoted(name) }
}

/// Takes a quoted text off the front; the quote at its start is there.
fn unquote(rest: &mut &str) -> Result<String> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                *rest = &rest[at + 1..];
                return Ok(text);
            }
            '\\' => text.extend(letters.next().map(|next| next.1)),
            _ => text.push(letter),
        }
    }
    Err(Error::request(format!("`{rest}` has a quote that does not end")))
}

/// Takes one `key`, `key=value` or `key="value"` off the front.
fn word(rest: &mut &str) -> Result<Option<(String, Option<String>)>> {
    *rest = rest.trim_start();
    if rest.is_empty() {
        return Ok(None);
    }
    let end = rest.find(|letter: char| letter == '=' || letter.is_whitespace()).unwrap_or(rest.len());
    let key = rest[..end].to_owned();
    *rest = &rest[end..];
    let Some(value) = rest.strip_prefix('=') else { return Ok(Some((key, None))) };
    *rest = value;
    if value.starts_with('"') {
        let value = unquote(rest)?;
        return Ok(Some((key, Some(value))));
    }
    let end = value.find(char::is_whitespace).unwrap_or(value.len());
    *rest = &value[end..];
    Ok(Some((key, Some(value[..end].to_owned()))))
}

/// A key, and its value where it has one.
type Word = (String, Option<String>);

fn words(mut rest: &str) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    while let Some(word) = word(&mut rest)? {
        words.push(word);
    }
    Ok(words)
}

/// Splits `NAME` or `NAME: key=value …`.
fn named_words(text: &str) -> Result<(String, Vec<Word>)> {
    let mut rest = text.trim_start();
    let name = if rest.starts_with('"') {
        let name = unquote(&mut rest)?;
        rest = rest.strip_prefix(':').unwrap_or(rest);
        name
    } else {
        let (name, keys) = rest.split_once(": ").unwrap_or((rest.trim_end().trim_end_matches(':'), ""));
        rest = keys;
        name.trim().to_owned()
    };
    let words = words(rest).map_err(|e| e.in_feature(&name))?;
    Ok((name, words))
}

/// Keys of which a feature has one.
const FITS: [&str; 7] =
    ["pad", "ragged", "bucket", "resize", "resize-with-pad", "resize-with-crop-or-pad", "shorter-side"];

impl FeatureRequest {
    fn of_words(name: String, words: &[Word]) -> Result<Self> {
        let mut request = Self { name, ..Self::default() };
        for (number, (key, value)) in words.iter().enumerate() {
            request.set(key, value.as_deref()).map_err(|e| e.in_feature(&request.name))?;
            if words[..number].iter().any(|before| before.0 == *key) {
                return Err(Error::request(format!("`{key}` is given twice")).in_feature(&request.name));
            }
        }
        Ok(request)
    }

    /// The same, but for what these words say instead of what they contradict; what stands after `-` is not said any more.
    ///
    /// # Errors
    /// The words are not understood.
    pub(super) fn with(&self, changed: &str) -> Result<Self> {
        let (name, mut kept) = named_words(&self.to_string())?;
        let changed = words(changed)?;
        kept.retain(|(key, _)| !changed.iter().any(|(other, _)| other.trim_start_matches('-') == key));
        let added: Vec<_> = changed.into_iter().filter(|(key, _)| !key.starts_with('-')).collect();
        // Some fits go together.
        Self::of_words(name.clone(), &[&kept[..], &added].concat()).or_else(|_| {
            kept.retain(|(key, _)| !FITS.contains(&&key[..]));
            Self::of_words(name, &[&kept[..], &added].concat())
        })
    }
}

impl FromStr for FeatureRequest {
    type Err = Error;

    /// Reads `NAME` or `NAME: key=value …`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, words) = named_words(text)?;
        Self::of_words(name, &words)
    }
}

impl fmt::Display for FeatureRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let shown = |key: &str, value: &str| {
            let plain =
                !value.is_empty() && !value.contains(|letter: char| letter == '"' || letter.is_whitespace());
            if plain { format!("{key}={value}") } else { format!("{key}={}", quoted(value)) }
        };
        let mut pair = |key: &str, value: String| words.push(shown(key, &value));
        if let Some(decode) = self.view.decode {
            pair("decode", decode.to_string());
        }
        if let Some(dims) = &self.view.reshape {
            let dims: Vec<String> = dims
                .iter()
                .map(|dim| match dim {
                    Dim::Size(size) => size.to_string(),
                    Dim::Rest(_) => "-1".into(),
                    Dim::Feature(name) => name.clone(),
                })
                .collect();
            pair("reshape", join_list(&dims));
        }
        match &self.fit {
            None | Some(FitRequest::Resize(_)) => {}
            Some(FitRequest::Ragged) => pair("ragged", "yes".into()),
            Some(FitRequest::AutoBucket(count)) => pair("bucket", format!("auto:{count}")),
            Some(FitRequest::Bucket(caps)) => {
                pair("bucket", caps.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
            }
            Some(FitRequest::Pad(sizes)) => {
                let size = |size: &Option<u64>| size.map_or_else(|| "max".into(), |size| size.to_string());
                pair("pad", sizes.iter().map(size).collect::<Vec<_>>().join("x"));
            }
        }
        if let Some(value) = &self.value {
            pair("value", value.clone());
        }
        if let Some(dtype) = self.dtype {
            pair(
                "dtype",
                match dtype {
                    DTypeRequest::Exactly(dtype) => dtype.to_string(),
                    DTypeRequest::WidestBytes => "S".into(),
                    DTypeRequest::Text => "string".into(),
                },
            );
        }
        if let Some(default) = &self.default {
            pair("default", join_list(default));
        }
        if let Some(rename) = &self.rename {
            pair("rename", rename.clone());
        }
        if self.left {
            pair("side", "left".into());
        }
        if let Some(lengths) = self.lengths {
            pair("lengths", if lengths { "yes" } else { "no" }.into());
        }
        let flags = [
            ("truncate", self.truncate),
            ("saturate", self.saturate),
            ("mask", self.mask),
            ("present", self.present),
            ("drop", self.drop),
        ];
        let flags = flags.iter().filter(|flag| flag.1).map(|flag| (flag.0, None));
        for (key, value) in flags.chain(image::keys(&self.image, &self.view, self.fit.as_ref())) {
            match value {
                Some(value) => words.push(shown(key, &value)),
                None => words.push(key.to_owned()),
            }
        }
        words.extend(chunks::keys(&self.chunks).map(|(key, value)| shown(key, &value)));
        f.write_str(&show_name(&self.name))?;
        if words.is_empty() { Ok(()) } else { write!(f, ": {}", words.join(" ")) }
    }
}

impl TryFrom<String> for FeatureRequest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FeatureRequest> for String {
    fn from(request: FeatureRequest) -> Self {
        request.to_string()
    }
}

impl Request {
    /// Reads the `[feature.NAME]` tables of a recipe (TOML): the keys of the notation, flags as booleans.
    ///
    /// # Errors
    /// The text is no recipe.
    pub fn from_recipe(text: &str) -> Result<Self> {
        let recipe: toml::Table =
            text.parse().map_err(|e| Error::request(format!("the recipe is not TOML: {e}")))?;
        let mut features = Vec::new();
        for (section, value) in &recipe {
            let ("feature", toml::Value::Table(tables)) = (section.as_str(), value) else {
                return Err(Error::request(format!("`{section}` has no meaning in a recipe"))
                    .hint("a recipe is made of tables like `[feature.tokens]`"));
            };
            for (name, table) in tables {
                features.push(feature_from(name, table).map_err(|e| e.in_feature(name))?);
            }
        }
        Ok(Self { features })
    }
}

fn feature_from(name: &str, table: &toml::Value) -> Result<FeatureRequest> {
    let toml::Value::Table(keys) = table else {
        return Err(Error::request("it must be a table of keys"));
    };
    let mut request = FeatureRequest { name: name.to_owned(), ..FeatureRequest::default() };
    for (key, value) in keys {
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = match value {
            toml::Value::Array(items) => join_list(&items.iter().map(text).collect::<Vec<_>>()),
            other => text(other),
        };
        request.set(key, Some(&value))?;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_comes_back_as_it_was_read() {
        for text in [
            "tokens",
            "tokens: pad=512 value=0 dtype=int32",
            "image/encoded: decode=raw:uint8 reshape=height,width,3 pad=max,max,3 mask",
            "a b: bucket=64,128 lengths=no",
            "x: bucket=auto:3 rename=y",
            "x: ragged default=1,2 present",
            "x: pad=3 side=left truncate saturate",
            "s: dtype=S32",
            "\"a: b \": default=\"p q\" rename=\"my array\"",
            "x: value=\" \" reshape=\"n n,1\"",
            "x: default=a\\,b,c",
            "x: chunk=128x64x3 shard=4096 codec=zstd:3+crc32c",
            "x: chunk=7 shard=none codec=none",
        ] {
            let request: FeatureRequest = text.parse().unwrap();
            let back: FeatureRequest = request.to_string().parse().unwrap();
            assert_eq!(back, request, "{text} became {request}");
        }
        assert_eq!(
            "t: pad=32x64".parse::<FeatureRequest>().unwrap().fit,
            Some(FitRequest::Pad(vec![Some(32), Some(64)]))
        );
        assert_eq!("t: pad".parse::<FeatureRequest>().unwrap().fit, Some(FitRequest::Pad(vec![None])));
    }

    #[test]
    fn words_take_the_place_of_what_they_contradict() {
        for (text, words, changed) in [
            ("x: pad=3 value=1", "pad=5", "x: pad=5 value=1"),
            ("x: pad=3", "truncate", "x: pad=3 truncate"),
            ("x: pad=3 dtype=int8", "ragged", "x: ragged=yes dtype=int8"),
            ("x: resize=8x8", "pad=max", "x: pad=max resize=8x8"),
            ("x: pad=3 mask", "-mask -pad", "x"),
            ("\"a: b\"", "default=0 present", "\"a: b\": default=0 present"),
        ] {
            let request: FeatureRequest = text.parse().unwrap();
            assert_eq!(request.with(words).unwrap(), changed.parse().unwrap(), "{text}, {words}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "t: pad=3 ragged",
            "t: bucket=5,4",
            "t: colour=red",
            "t: reshape=-1,-1",
            "t: dtype=float31",
            "t: side=top",
            "t: reshape=3,,4",
            "t: dtype=int8 dtype=uint8",
            "t: pad=max=3",
            "t: rename=\"a",
        ] {
            assert!(text.parse::<FeatureRequest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_recipe_says_the_same_as_the_command_line() {
        let recipe = "[feature.tokens]\npad = 512\ntruncate = true\nreshape = [2, -1, \"depth\"]\n[feature.\"a/b\"]\ndtype = \"int32\"\n";
        let request = Request::from_recipe(recipe).unwrap();
        assert_eq!(request.features[0].to_string(), "tokens: reshape=2,-1,depth pad=512 truncate");
        assert_eq!(request.features[1], "a/b: dtype=int32".parse().unwrap());
        assert!(Request::from_recipe("[machine]\nx = 1").is_err());
    }
}
