//! `features.json`: a tree of feature classes, and under which keys of a `tf.train.Example` its leaves are stored.
//!
//! It is the JSON of a protobuf message: a node has the name of its class, and a field by the kind of its content. Before
//! there was that message, a node had `type` and `content`, with names as in Python; both are read.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::audio::Depth;
use crate::decode::{Decode, Pixels, View};
use crate::image::{self, Dialect};
use crate::value::DType;

/// How the values of a feature are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As a list of values.
    List,
    /// As the bytes of their items, a byte string for each tensor.
    Bytes,
    /// The same, each a zlib stream.
    Zlib,
}

/// A feature, as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// Its key in an Example, which begins with its name.
    pub key: String,
    /// Bytes of its name.
    pub name: usize,
    /// What its values are; `None` for byte strings.
    pub dtype: Option<DType>,
    /// The sizes of its axes, where they are the same in all elements.
    pub axes: Vec<Option<u64>>,
    /// How it is stored.
    pub encoding: Encoding,
    /// The key under which its shape is stored, where more than one axis is not known.
    pub shape_key: Option<String>,
    /// Whether an element may lack it.
    pub optional: bool,
}

impl Declared {
    /// Whether all elements have it, of one shape and stored in one piece.
    pub(super) fn is_fixed(&self) -> bool {
        let known = self.shape_key.is_none() && self.axes.iter().all(Option::is_some);
        known && self.dtype.is_some() && !self.optional
    }
}

/// All that `features.json` says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Features {
    /// The features.
    pub declared: Vec<Declared>,
    /// How those that are byte strings are seen, by name.
    pub views: BTreeMap<String, View>,
    /// The features whose numbers stand for classes.
    pub labels: Vec<String>,
    /// Samples a second, of those that are sounds, by name.
    pub rates: BTreeMap<String, u64>,
}

/// The fields of a node, by the class that each is for.
const CONTENTS: [(&str, &str); 10] = [
    ("featuresDict", "FeaturesDict"),
    ("tensor", "Tensor"),
    ("classLabel", "ClassLabel"),
    ("image", "Image"),
    ("video", "Video"),
    ("audio", "Audio"),
    ("boundingBox", "BBoxFeature"),
    ("text", "Text"),
    ("translation", "Translation"),
    ("sequence", "Sequence"),
];

/// A node: what it is, and its content.
struct Node<'j> {
    class: &'j str,
    content: &'j Value,
    /// Whether it is of the time before there was a message.
    legacy: bool,
}

fn node_of(json: &Value) -> Option<Node<'_>> {
    let name = |key: &str| json.get(key)?.as_str()?.rsplit('.').next();
    let class = name("pythonClassName").or_else(|| name("type")).unwrap_or_default();
    let by_kind = CONTENTS.iter().find_map(|(key, class)| Some((*class, json.get(key)?)));
    if let Some((kind, content)) = by_kind {
        // Of classes with the same content, only this one is not what its content says.
        let class = if class == "TranslationVariableLanguages" { class } else { kind };
        return Some(Node { class, content, legacy: false });
    }
    let class = match class {
        "Scalar" => "Tensor",
        "LabeledImage" => "Image",
        "Dataset" => "Sequence",
        class => class,
    };
    Some(Node { class, content: json.get("content")?, legacy: json.get("proto_cls").is_none() })
}

impl Node<'_> {
    /// A field, whose name in Python has underscores.
    fn get(&self, name: &str) -> Option<&Value> {
        let snake = name.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        });
        self.content.get(name).or_else(|| self.content.get(snake)).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The sizes of axes.
    fn shape(&self) -> Option<Vec<Option<u64>>> {
        let shape = self.get("shape")?;
        let sizes = shape.get("dimensions").unwrap_or(shape).as_array();
        Some(sizes.map_or(Vec::new(), |sizes| sizes.iter().map(size).collect()))
    }
}

/// A size, if it is known. Numbers of 64 bits are strings in the JSON of protobuf.
fn size(json: &Value) -> Option<u64> {
    json.as_u64().or_else(|| json.as_str()?.parse().ok())
}

/// Whether a dtype is that of byte strings.
fn is_string(dtype: &str) -> bool {
    matches!(dtype, "string" | "object" | "str" | "bytes")
}

impl Features {
    pub(super) fn of(json: &Value) -> Self {
        let mut features = Self::default();
        features.walk(json, "", &mut Vec::new());
        features
    }

    /// Adds what a node declares. `levels` are the sizes of the sequences that it is in. A class that is not known is passed
    /// over: what it stores is taken as it is found.
    fn walk(&mut self, json: &Value, path: &str, levels: &mut Vec<Option<u64>>) {
        let Some(node) = node_of(json) else { return };
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        match node.class {
            "FeaturesDict" => {
                let features = if node.legacy { Some(node.content) } else { node.get("features") };
                for (name, json) in features.and_then(Value::as_object).into_iter().flatten() {
                    self.walk(json, &below(name), levels);
                }
            }
            "Sequence" => {
                if let Some(feature) = node.get("feature") {
                    levels.push(node.get("length").and_then(size));
                    self.walk(feature, path, levels);
                    levels.pop();
                }
            }
            "Translation" => {
                for language in node.get("languages").and_then(Value::as_array).into_iter().flatten() {
                    self.strings(&below(language.as_str().unwrap_or_default()), levels);
                }
            }
            "TranslationVariableLanguages" => {
                levels.push(None);
                for name in ["language", "translation"] {
                    self.strings(&below(name), levels);
                }
                levels.pop();
            }
            "Text" => self.strings(path, levels),
            "ClassLabel" => {
                self.labels.push(path.to_owned());
                self.leaf(path, levels, Some(DType::Int64), &[]);
            }
            "BBoxFeature" => {
                let shape = node.shape().filter(|shape| !shape.is_empty());
                self.leaf(path, levels, Some(DType::Float32), &shape.unwrap_or(vec![Some(4)]));
            }
            "Image" => self.image(&node, path, levels, node.shape().and_then(|shape| shape.last().copied()?)),
            "Video" => {
                let shape = node.shape().unwrap_or_default();
                levels.push(shape.first().copied().flatten());
                self.image(&node, path, levels, shape.last().copied().flatten());
                levels.pop();
            }
            "Audio" => self.audio(&node, path, levels),
            "Tensor" => self.tensor(&node, path, levels),
            _ => {}
        }
    }

    fn strings(&mut self, path: &str, levels: &[Option<u64>]) {
        self.views.insert(path.to_owned(), View { decode: Some(Decode::None), ..View::default() });
        self.leaf(path, levels, None, &[]);
    }

    fn image(&mut self, node: &Node<'_>, path: &str, levels: &[Option<u64>], channels: Option<u64>) {
        let floats = node.text("dtype") == "float32";
        let deep = node.text("dtype") == "uint16";
        let depth = if deep { image::Depth::U16 } else { image::Depth::U8 };
        // A float32 is stored as the four bytes of a pixel.
        let channels =
            if floats { Some(4) } else { channels.and_then(|channels| u8::try_from(channels).ok()) };
        let pixels =
            Pixels { channels: channels.filter(|n| matches!(n, 1 | 3 | 4)), floats, ..Pixels::default() };
        let decode = Some(Decode::Image { dialect: Dialect::Tf, depth });
        self.views.insert(path.to_owned(), View { decode, pixels, ..View::default() });
        if node.get("label").is_some() {
            self.labels.push(path.to_owned());
        }
        self.leaf(path, levels, None, &[]);
    }

    fn audio(&mut self, node: &Node<'_>, path: &str, levels: &[Option<u64>]) {
        if let Some(rate) = node.get("sampleRate").and_then(size).filter(|rate| *rate > 0) {
            self.rates.insert(path.to_owned(), rate);
        }
        if node.get("lazyDecode").and_then(Value::as_bool) != Some(true) {
            return self.tensor(node, path, levels);
        }
        // What is decoded only when it is looked at is stored as the bytes of a file. Those of one channel have no axis for it.
        let dtype = node.text("dtype").parse().ok();
        let depth = dtype.and_then(Depth::of).filter(|_| levels.is_empty());
        self.strings(path, levels);
        if let (Some(depth), "wav" | "flac") = (depth, node.text("fileFormat")) {
            let mono = node.shape().is_none_or(|shape| shape.len() < 2);
            let decode = Some(Decode::Audio { depth, mono });
            self.views.insert(path.to_owned(), View { decode, ..View::default() });
        }
    }

    fn tensor(&mut self, node: &Node<'_>, path: &str, levels: &[Option<u64>]) {
        let dtype = node.text("dtype").parse().ok().filter(|dtype| !matches!(dtype, DType::Bytes(_)));
        if dtype.is_none() && !is_string(node.text("dtype")) {
            return;
        }
        let encoding = match (node.text("encoding").to_ascii_lowercase().as_str(), dtype) {
            ("bytes", Some(_)) => Encoding::Bytes,
            ("zlib", Some(_)) => Encoding::Zlib,
            _ => Encoding::List,
        };
        let shape = node.shape().unwrap_or_default();
        let optional = node.get("optional").and_then(Value::as_bool) == Some(true);
        let unknown = shape.iter().filter(|size| size.is_none()).count();
        if unknown > 1 {
            // In a sequence, the shapes of all stand one after another, and are left as they are.
            if levels.is_empty() && encoding != Encoding::List {
                let (key, shape_key) = (format!("{path}/value"), Some(format!("{path}/shape")));
                self.declared.push(Declared {
                    key,
                    name: path.len(),
                    dtype,
                    axes: shape,
                    encoding,
                    shape_key,
                    optional,
                });
            }
            return;
        }
        if dtype.is_none() {
            self.views.insert(path.to_owned(), View { decode: Some(Decode::None), ..View::default() });
        }
        self.leaf(path, levels, dtype, &shape);
        if let Some(leaf) = self.declared.last_mut() {
            leaf.optional = optional;
            if encoding != Encoding::List {
                leaf.encoding = encoding;
            }
        }
    }

    /// Adds a feature whose axes are those of the sequences that it is in, and `axes`. What is in more than one sequence is
    /// stored as all of its values, and for each sequence but the last how long each one is.
    fn leaf(&mut self, path: &str, levels: &[Option<u64>], dtype: Option<DType>, axes: &[Option<u64>]) {
        let list = |key: String, name: usize, dtype, axes| Declared {
            key,
            name,
            dtype,
            axes,
            encoding: Encoding::List,
            shape_key: None,
            optional: false,
        };
        if levels.len() > 1 {
            for level in 0..levels.len() - 1 {
                let key = format!("{path}/ragged_row_lengths_{level}");
                let name = key.len();
                self.declared.push(list(key, name, Some(DType::Int64), vec![None]));
            }
            let axes = [&[None], axes].concat();
            self.declared.push(list(format!("{path}/ragged_flat_values"), path.len(), dtype, axes));
        } else {
            self.declared.push(list(path.to_owned(), path.len(), dtype, [levels, axes].concat()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(json: &str) -> Features {
        Features::of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn old_and_new_declarations_mean_the_same() {
        let new = features(
            r#"{"pythonClassName": "a.FeaturesDict", "featuresDict": {"features": {
                "x": {"pythonClassName": "a.Image", "image": {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8"}},
                "y": {"pythonClassName": "a.Sequence", "sequence": {"length": "-1", "feature":
                    {"pythonClassName": "a.ClassLabel", "classLabel": {"numClasses": "3"}}}},
                "z": {"pythonClassName": "a.Tensor", "tensor": {"shape": {"dimensions": ["2"]}, "dtype": "uint8", "encoding": "zlib"}}
            }}}"#,
        );
        let old = features(
            r#"{"type": "a.FeaturesDict", "content": {
                "x": {"type": "a.Image", "content": {"shape": [null, null, 3], "dtype": "uint8", "encoding_format": "png"}},
                "y": {"type": "a.Sequence", "content": {"length": null, "feature": {"type": "a.ClassLabel", "content": {"num_classes": 3}}}},
                "z": {"type": "a.Tensor", "content": {"shape": [2], "dtype": "uint8", "encoding": "zlib"}}
            }}"#,
        );
        assert_eq!(new, old);
        assert_eq!(new.labels, ["y"]);
        let axes: Vec<_> =
            new.declared.iter().map(|declared| (&*declared.key, declared.axes.clone())).collect();
        assert_eq!(axes, [("x", vec![]), ("y", vec![None]), ("z", vec![Some(2)])]);
        assert_eq!(new.views["x"].pixels.channels, Some(3));
        assert_eq!(new.declared[2].encoding, Encoding::Zlib);
    }

    #[test]
    fn nested_sequences_are_values_and_lengths() {
        let found = features(
            r#"{"pythonClassName": "a.FeaturesDict", "featuresDict": {"features": {"x":
                {"pythonClassName": "a.Sequence", "sequence": {"length": "-1", "feature":
                    {"pythonClassName": "a.Sequence", "sequence": {"length": "2", "feature":
                        {"pythonClassName": "a.Tensor", "tensor": {"shape": {"dimensions": ["3"]}, "dtype": "float64"}}}}}}}}}"#,
        );
        let all: Vec<_> = found.declared.iter().map(|one| (&*one.key, one.name, one.axes.clone())).collect();
        assert_eq!(
            all,
            [("x/ragged_row_lengths_0", 22, vec![None]), ("x/ragged_flat_values", 1, vec![None, Some(3)])]
        );
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        for json in [
            "1",
            "{}",
            "[]",
            r#"{"type": 3, "content": 4}"#,
            r#"{"pythonClassName": "x.Own", "jsonFeature": {"json": "{}"}}"#,
        ] {
            assert_eq!(features(json), Features::default(), "{json}");
        }
    }
}
