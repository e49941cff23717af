//! A sample of every format, and what is in it.

use std::io::Write;

use lithify_tests::array_record::{self, Packed};
use lithify_tests::{
    example, field, floats, gzip, integers, numbered, record, strings, tables, tar_member, zlib,
};
use parquet::file::properties::WriterProperties;

pub type Feature = (String, Vec<u8>);

/// A file of a format, or a folder, and what is in it.
#[derive(Default)]
pub struct Sample {
    pub format: &'static str,
    pub what: &'static str,
    pub bytes: Vec<u8>,
    /// The files of a folder, where it is none itself.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// The file of the folder that is its part, where that is not the folder.
    pub part: &'static str,
    /// Where each element starts, and its features.
    pub elements: Vec<(u64, Vec<Feature>)>,
    /// Where the last element ends.
    pub end: u64,
    /// Whether positions are offsets of the file itself.
    pub plain: bool,
}

/// Elements of these payloads, framed one after another.
fn framed(payloads: &[(Vec<u8>, Vec<Feature>)]) -> (Vec<u8>, Vec<(u64, Vec<Feature>)>) {
    let (mut stream, mut elements) = (Vec::new(), Vec::new());
    for (payload, features) in payloads {
        elements.push((stream.len() as u64, features.clone()));
        stream.extend(record(payload));
    }
    (stream, elements)
}

/// At least one sample of each format: the test fails when one is missing.
pub fn samples() -> Vec<Sample> {
    let feature = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let examples: Vec<(Vec<u8>, Vec<Feature>)> = (0..7_u8)
        .map(|at| {
            let text = vec![b'a' + at; usize::from(at) * 11];
            let (x, t) = (("x", integers(&[i64::from(at)])), ("t", strings(&[&text, b"z"])));
            let wanted = [feature("x", &[at]), feature("t", &[&text[..], b"z"].concat())];
            match at % 3 {
                0 => (example(&[x, t]), wanted.to_vec()),
                1 => (example(&[t, x]), wanted.into_iter().rev().collect()),
                _ => (
                    example(&[x, ("f", floats(&[1.0]))]),
                    vec![wanted[0].clone(), feature("f", &1.0_f32.to_le_bytes())],
                ),
            }
        })
        .chain([(Vec::new(), Vec::new())])
        .collect();
    let raw: Vec<(Vec<u8>, Vec<Feature>)> = [&b""[..], b"one", &[0xff; 40], &numbered(3), b"", b"last"]
        .map(|data| (data.to_vec(), vec![feature("record", data)]))
        .to_vec();
    let mut samples = array_records(&examples, &raw);
    for (format, payloads) in [("tfrecord", examples), ("tfrecord-raw", raw)] {
        let (stream, elements) = framed(&payloads);
        let end = stream.len() as u64;
        let (first, second) = stream.split_at(stream.len() / 2);
        let packed: [(&'static str, Vec<u8>); 4] = [
            ("plain", stream.clone()),
            ("gzip", gzip(&stream)),
            ("zlib", zlib(&stream)),
            ("gzip of two members", [gzip(first), gzip(second)].concat()),
        ];
        for (what, bytes) in packed {
            samples.push(Sample {
                format,
                what,
                bytes,
                elements: elements.clone(),
                end,
                plain: what == "plain",
                ..Sample::default()
            });
        }
    }
    samples.extend([folder(), sounds(), store(), dataset()]);
    samples.extend(saved());
    samples.extend(tars());
    samples.extend(arrays());
    samples.extend(tables());
    samples
}

/// The file of a directory that `save_to_disk` writes.
const SAVED: &str = "data-00000-of-00001.arrow";

/// Tables of five rows in two groups. Positions are as if all rows had as many bytes of the file.
fn tables() -> Vec<Sample> {
    let batches = [tables::batch(0..3), tables::batch(3..5)];
    let sample = |format, what, bytes: Vec<u8>| {
        let step = bytes.len() as u64 / 5;
        let elements = (0..5).map(|at| (u64::from(at) * step, tables::values(at))).collect();
        Sample { format, what, bytes, elements, end: 5 * step, plain: true, ..Sample::default() }
    };
    let stream = sample("huggingface", "directory", tables::stream(&batches));
    let files = vec![
        ("dataset_info.json", b"{}".to_vec()),
        (
            "state.json",
            format!(r#"{{"_data_files": [{{"filename": "{SAVED}"}}], "_split": null}}"#).into_bytes(),
        ),
        (SAVED, stream.bytes.clone()),
    ];
    vec![
        Sample { files, part: SAVED, bytes: Vec::new(), ..stream },
        sample("arrow", "file", tables::arrow(&batches)),
        sample("arrow", "stream", tables::stream(&batches)),
        sample("parquet", "file", tables::parquet(&batches, WriterProperties::default())),
    ]
}

/// A `.npy` file of these rows.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &u16::try_from(dict.len()).unwrap().to_le_bytes()[..], dict.as_bytes(), data]
        .concat()
}

/// A zip file of these members.
fn zip(members: &[(&str, Vec<u8>)], deflates: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut packed = content.clone();
        if deflates {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            packed = encoder.finish().unwrap();
        }
        let sizes = [crc.sum(), u32::try_from(packed.len()).unwrap(), u32::try_from(content.len()).unwrap()];
        let length = u16::try_from(name.len()).unwrap();
        // From the version that is needed to the length of the name, which both headers have.
        let mut common = vec![20, 0, 0, 0, if deflates { 8 } else { 0 }, 0, 0, 0, 0x21, 0];
        common.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        common.extend(length.to_le_bytes());
        common.extend([0, 0]);
        directory.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10]].concat());
        directory.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend([b"PK\x03\x04", &common[..], name.as_bytes(), &packed].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let ends = [directory.len(), bytes.len()].map(|at| u32::try_from(at).unwrap().to_le_bytes());
    [&bytes[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &ends[0], &ends[1], &[0, 0]].concat()
}

/// Arrays of three rows: of 2 x 2 numbers, and of strings.
fn arrays() -> Vec<Sample> {
    let numbers: Vec<u8> = (0..24).collect();
    let x = npy("<i2", "(3, 2, 2)", &numbers);
    let t = npy("|S3", "(3,)", b"a\0\0\0\0\0bcd");
    let row = |name: &str, at: usize| (name.to_owned(), numbers[at * 8..][..8].to_vec());
    let one = |at: usize, name: &str| (at as u64 * 8, vec![row(name, at)]);
    let both = |at: usize| {
        (at as u64 * 11, vec![row("x", at), ("t".to_owned(), [&b"a"[..], b"", b"bcd"][at].to_vec())])
    };
    let sample = |format, what, bytes, elements, end| Sample {
        format,
        what,
        bytes,
        elements,
        end,
        plain: what != "deflated",
        ..Sample::default()
    };
    let members = [("x.npy", x.clone()), ("t.npy", t)];
    vec![
        // The name is that of the file.
        sample("npy", "rows", x.clone(), (0..3).map(|at| one(at, "sample")).collect(), 24),
        sample("npy-files", "file", x, vec![(0, vec![("array".to_owned(), numbers.clone())])], 24),
        sample("npz", "stored", zip(&members, false), (0..3).map(both).collect(), 33),
        sample("npz", "deflated", zip(&members, true), (0..3).map(both).collect(), 33),
    ]
}

/// The file of the elements of a dataset with a schema.
const SHARD: &str = "s-train.tfrecord-00000-of-00001";

/// A directory of TensorFlow Datasets.
fn dataset() -> Sample {
    let info = r#"{"name": "s", "splits": [{"name": "train", "shardLengths": ["5"]}]}"#;
    let features = r#"{"pythonClassName": "FeaturesDict", "featuresDict": {"features": {
        "x": {"pythonClassName": "Tensor", "tensor": {"shape": {}, "dtype": "uint8", "encoding": "none"}},
        "z": {"pythonClassName": "Tensor", "tensor": {"shape": {"dimensions": ["-1"]}, "dtype": "uint8", "encoding": "zlib"}}}}}"#;
    let payloads: Vec<_> = (0..5_u8)
        .map(|at| {
            let bytes = vec![at; usize::from(at) * 7];
            let record = example(&[("z", strings(&[&zlib(&bytes)])), ("x", integers(&[at.into()]))]);
            (record, vec![("z".to_owned(), bytes), ("x".to_owned(), vec![at])])
        })
        .collect();
    let (shard, elements) = framed(&payloads);
    let end = shard.len() as u64;
    let files = vec![
        ("dataset_info.json", info.as_bytes().to_vec()),
        ("features.json", features.as_bytes().to_vec()),
        (SHARD, shard),
    ];
    Sample {
        format: "tfds",
        what: "directory",
        bytes: Vec::new(),
        files,
        part: SHARD,
        elements,
        end,
        plain: true,
    }
}

/// A Zarr store of the same, whose last chunk is not stored, since it would hold the fill value alone.
fn store() -> Sample {
    let numbers: Vec<u8> = (0..24).collect();
    let array = |data_type: &str, shape: &str, chunk: &str| {
        format!(
            r#"{{"zarr_format": 3, "node_type": "array", "shape": {shape}, "data_type": "{data_type}",
            "chunk_grid": {{"name": "regular", "configuration": {{"chunk_shape": {chunk}}}}},
            "chunk_key_encoding": {{"name": "default"}}, "fill_value": 7,
            "codecs": [{{"name": "bytes", "configuration": {{"endian": "little"}}}}]}}"#
        )
        .into_bytes()
    };
    let files = vec![
        ("zarr.json", br#"{"zarr_format": 3, "node_type": "group"}"#.to_vec()),
        ("b/zarr.json", array("int16", "[3, 2, 2]", "[2, 2, 2]")),
        ("b/c/0/0/0", numbers[..16].to_vec()),
        ("b/c/1/0/0", [&numbers[16..], &[0; 8]].concat()),
        ("a/zarr.json", array("uint8", "[3]", "[2]")),
        ("a/c/0", vec![5, 6]),
    ];
    let one = |at: usize| {
        let b = ("b".to_owned(), numbers[at * 8..][..8].to_vec());
        (at as u64 * 9, vec![("a".to_owned(), vec![5 + u8::try_from(at).unwrap()]), b])
    };
    let elements = (0..3).map(one).collect();
    Sample {
        format: "zarr",
        what: "store",
        bytes: Vec::new(),
        files,
        part: "",
        elements,
        end: 27,
        plain: true,
    }
}

/// A folder of sound files.
fn sounds() -> Sample {
    let wav = |size: usize| [&b"RIFF\x04\0\0\0WAVE"[..], &vec![7; size]].concat();
    let files = vec![("a/1.wav", wav(3)), ("a/2.flac", b"fLaC".to_vec()), ("b/3.WAV", wav(90))];
    files_of("audio-folder", "audio", files)
}

/// A folder of image files, as they are taken: by class, then by name.
fn folder() -> Sample {
    let png = |size: usize| [&b"\x89PNG\r\n\x1a\n"[..], &vec![7; size]].concat();
    let files = vec![
        ("a/deep/2.png", png(5)),
        ("a/deep.png", png(0)),
        ("a/x.PNG", png(300)),
        ("b/1.png", Vec::new()),
        ("b/2.png", png(9)),
        ("z.png", png(70)),
    ];
    files_of("image-folder", "image", files)
}

fn files_of(format: &'static str, feature: &str, files: Vec<(&'static str, Vec<u8>)>) -> Sample {
    let (mut elements, mut end) = (Vec::new(), 0);
    for (name, bytes) in &files {
        let mut features = vec![(feature.to_owned(), bytes.clone())];
        features.extend(name.starts_with("a/").then(|| ("label".to_owned(), vec![0; 8])));
        features.extend(name.starts_with("b/").then(|| ("label".to_owned(), vec![1, 0, 0, 0, 0, 0, 0, 0])));
        features.push(("name".to_owned(), name.as_bytes().to_vec()));
        elements.push((end, features));
        end += bytes.len() as u64 + 1;
    }
    let (what, bytes, part) = ("folder", Vec::new(), "");
    Sample { format, what, bytes, files, part, elements, end, plain: true }
}

/// A tensor as a saved dataset has it.
fn tensor(dtype: u8, size: u8, content: &[u8]) -> Vec<u8> {
    [&[8, dtype][..], &field(2, &field(2, &[8, size])), &field(4, content)].concat()
}

/// The spec of such a tensor, as an entry of a dict.
fn spec(key: &[u8], dtype: u8, size: u8) -> Vec<u8> {
    let spec = [&field(2, &field(2, &[8, size]))[..], &[0x18, dtype]].concat();
    field(1, &[field(1, key), field(2, &field(33, &spec))].concat())
}

/// Saved datasets of five elements: of strings and numbers, compressed or not, and of numbers alone, which are all alike.
fn saved() -> Vec<Sample> {
    const PART: &str = "7/00000000.shard/00000000.snapshot";
    let (mut mixed, mut numbers) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for at in 0..5_u8 {
        let (text, x) = (vec![b'a' + at; usize::from(at) * 3], [at, 0, at + 1, 0, at + 2, 0]);
        let strings = [&[at * 3, 1][..], &text, b"z"].concat();
        let strings = ("t".to_owned(), [&text[..], b"z"].concat(), record(&tensor(7, 2, &strings)));
        let integers = ("x".to_owned(), x.to_vec(), record(&tensor(5, 3, &x)));
        let bytes = ("y".to_owned(), vec![at; 4], record(&tensor(4, 4, &[at; 4])));
        for ((stream, elements), features) in
            [(&mut mixed, [strings, integers.clone()]), (&mut numbers, [integers, bytes])]
        {
            let stream: &mut Vec<u8> = stream;
            let named = features.iter().map(|feature| (feature.0.clone(), feature.1.clone()));
            elements.push((stream.len() as u64, named.collect::<Vec<Feature>>()));
            for feature in features {
                stream.extend(feature.2);
            }
        }
    }
    let sample =
        |what: &'static str, first: (&[u8], u8, u8), second: (&[u8], u8, u8), dataset: &(Vec<u8>, Vec<_>)| {
            let (stream, elements) = dataset.clone();
            let metadata =
                [&field(2, b"7")[..], &[0x20, 2], &field(5, &[first.1, second.1]), &[0x30, 5, 0xc0, 0x3e, 1]];
            // A map has no order.
            let entries = [spec(second.0, second.1, second.2), spec(first.0, first.1, first.2)].concat();
            let end = stream.len() as u64;
            let bytes = if what == "gzip" { gzip(&stream) } else { stream };
            let files = vec![
                ("snapshot.metadata", metadata.concat()),
                ("dataset_spec.pb", field(53, &entries)),
                (PART, bytes.clone()),
                // Of a run that is not the present one.
                ("6/00000000.shard/00000000.snapshot", record(b"stale")),
            ];
            Sample {
                format: "saved-dataset",
                what,
                bytes,
                files,
                part: PART,
                elements,
                end,
                plain: what != "gzip",
            }
        };
    vec![
        sample("strings and numbers", (b"t", 7, 2), (b"x", 5, 3), &mixed),
        sample("gzip", (b"t", 7, 2), (b"x", 5, 3), &mixed),
        sample("numbers", (b"x", 5, 3), (b"y", 4, 4), &numbers),
    ]
}

/// Tar files of samples, with members that belong to none.
pub fn tars() -> Vec<Sample> {
    let long = format!("{}/b", "d".repeat(150));
    let members: [(&str, &str, u8, &[u8]); 11] = [
        ("", "folder/", b'5', b""),
        ("a", "a.cls", b'0', b" 7\n"),
        ("a", "a.Bin", b'0', &[9; 700]),
        ("", "README", b'0', b"no sample"),
        ("a", "a.x.txt", 0, b""),
        ("", "link", b'2', b""),
        ("b", "b.cls", b'0', b"-1"),
        (&long, "././@LongLink", b'L', &[]),
        (&long, "cut.cls", b'0', b"256"),
        ("c", "c.cls", b'7', b"3"),
        ("", "__meta__/end.txt", b'0', &[1; 512]),
    ];
    let name = format!("{long}.cls\0");
    let mut stream = Vec::new();
    // Where each sample starts, and its features as they are and as they are read.
    let mut elements: Vec<(u64, Vec<Feature>, Vec<Feature>)> = Vec::new();
    let mut last = "";
    for (key, member, kind, data) in members {
        let data = if kind == b'L' { name.as_bytes() } else { data };
        if !key.is_empty() && key != last {
            let key_of = ("__key__".to_owned(), key.as_bytes().to_vec());
            let start = if elements.is_empty() { 0 } else { stream.len() as u64 };
            elements.push((start, vec![key_of.clone()], vec![key_of]));
            last = key;
        }
        if let (false, true, Some((_, extension))) = (key.is_empty(), kind != b'L', member.split_once('.')) {
            let (_, raw, read) = elements.last_mut().unwrap();
            let extension = extension.to_lowercase();
            let number = std::str::from_utf8(data).ok().and_then(|text| text.trim().parse::<i64>().ok());
            let read_as =
                if extension == "cls" { number.unwrap().to_le_bytes().to_vec() } else { data.to_vec() };
            raw.push((extension.clone(), data.to_vec()));
            read.push((extension, read_as));
        }
        stream.extend(tar_member(member, kind, data));
    }
    stream.extend([0; 1024]);
    let end = stream.len() as u64;
    let sample = |format, what, bytes: Vec<u8>| {
        let plain = what == "plain";
        let features = |(at, raw, read): &(u64, Vec<Feature>, Vec<Feature>)| {
            (*at, if format == "webdataset" { read.clone() } else { raw.clone() })
        };
        let elements = elements.iter().map(features).collect();
        Sample { format, what, bytes, elements, end, plain, ..Sample::default() }
    };
    let packed = gzip(&stream);
    vec![
        sample("webdataset", "gzip", packed.clone()),
        sample("webdataset", "plain", stream.clone()),
        sample("webdataset-raw", "gzip", packed),
        sample("webdataset-raw", "plain", stream),
    ]
}

/// `ArrayRecord` files: of records in groups and of single ones, packed in every way there is.
fn array_records(examples: &[(Vec<u8>, Vec<Feature>)], raw: &[(Vec<u8>, Vec<Feature>)]) -> Vec<Sample> {
    let feature = |bytes: &[u8]| vec![("record".to_owned(), bytes.to_vec())];
    // One that goes over blocks; another has more records than bytes.
    let large = vec![b'l'; 150_000];
    let raw: Vec<_> = raw.iter().cloned().chain([(large.clone(), feature(&large))]).collect();
    let many = vec![(Vec::new(), feature(b"")); 9];
    let mut samples = Vec::new();
    let packings = [("plain", Packed::Plain), ("zstd", Packed::Zstd), ("snappy", Packed::Snappy)];
    for (format, payloads, group) in
        [("array_record", examples, 3), ("array_record-raw", &raw[..], 1), ("array_record-raw", &many, 9)]
    {
        for (what, how) in packings {
            let mut file = array_record::File::new();
            let mut elements = Vec::new();
            for (number, group) in payloads.chunks(group).enumerate() {
                let records: Vec<_> = group.iter().map(|payload| &payload.0).collect();
                let positions = file.group(&records, how);
                elements.extend(positions.into_iter().zip(group.iter().map(|payload| payload.1.clone())));
                if number == 0 {
                    file.chunk(b'p', &[0; 7], 0, 0);
                }
            }
            let bytes = file.close();
            let end = bytes.len() as u64;
            samples.push(Sample { format, what, bytes, elements, end, plain: true, ..Sample::default() });
        }
    }
    samples
}

/// Places in so many bytes that are worth a try: the first ones, and some of the others.
pub fn places(bytes: u64) -> impl Iterator<Item = u64> {
    (0..bytes).filter(|at| *at < 1500 || at % 997 == 0)
}
