//! Any bytes as an image: what its header says is what is decoded, in no more memory than was announced, and nothing is
//! left behind in the buffers that shows in the next image. The first two bytes say how it is decoded.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use lithify::image::{
    DecodeOptions, Depth, Dialect, Fault, Format, Header, Samples, Scratch, decode, output_shape, scratch_bytes,
};

/// What is held now, and the most that was since it was last set, in bytes. What libjpeg takes goes another way.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Count;

#[global_allocator]
static ALLOCATOR: Count = Count;

fn taken(bytes: usize) {
    MOST.fetch_max(HELD.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

unsafe impl GlobalAlloc for Count {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(old, layout) }
    }
}

/// The most that an image may take here.
const LIMIT: u64 = 16 << 20;

/// What reading a header may take: the lists of a TIFF.
const HEADER: usize = 9 << 20;

/// What `work` gives, and the most that it held at a time beyond what was held before.
fn held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let given = work();
    (given, MOST.load(Relaxed).saturating_sub(before))
}

/// The samples as bytes, or whose fault it is that there are none.
fn samples(bytes: &[u8], options: &DecodeOptions, scratch: &mut Scratch) -> Result<Vec<u8>, Fault> {
    let image = decode(bytes, options, scratch).map_err(|e| {
        assert!(!e.message.contains("a bug"), "a decoder panicked");
        assert!(e.byte.is_none_or(|byte| byte <= bytes.len() as u64), "{e}");
        e.fault
    })?;
    let count = match image.samples {
        Samples::U8(samples) => samples.len(),
        Samples::U16(samples) => samples.len(),
    };
    let header = Header::read(bytes).expect("it was decoded");
    assert_eq!(image.shape, output_shape(&header, options).expect("it was decoded"));
    assert_eq!(count as u64, image.shape.samples());
    Ok(match image.samples {
        Samples::U8(samples) => samples.to_vec(),
        Samples::U16(samples) => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
    })
}

fuzz_target!(|input: &[u8]| {
    let [how, channels, bytes @ ..] = input else { return };
    let options = DecodeOptions {
        channels: [None, Some(1), Some(3), Some(4)][usize::from(channels % 4)],
        dialect: if how & 1 == 0 { Dialect::Tf } else { Dialect::Accurate },
        depth: if how & 2 == 0 { Depth::U8 } else { Depth::U16 },
        ratio: 1 << (how >> 2 & 3),
        exif_apply: how & 16 != 0,
        all_frames: how & 32 != 0,
        limit: LIMIT,
    };
    let (header, took) = held(|| Header::read(bytes));
    assert!(took <= HEADER, "reading the header took {took} bytes");
    let mut scratch = Scratch::new();
    let Ok(header) = header else {
        assert!(decode(bytes, &options, &mut scratch).is_err());
        return;
    };
    let Ok(takes) = scratch_bytes(&header, &options) else {
        assert!(decode(bytes, &options, &mut scratch).is_err());
        return;
    };
    // What a damaged part of a lossy WebP claims is reserved, but never touched.
    let beyond = if header.format == Format::WebP { 17 << 20 } else { 0 };
    let (first, took) = held(|| decode(bytes, &options, &mut scratch).map(|_| ()).map_err(|e| e.fault));
    assert!(took as u64 <= takes.min(LIMIT) + beyond, "{header:?} took {took} bytes, not {takes}");
    assert!(takes <= LIMIT || first == Err(Fault::Memory));
    let again = samples(bytes, &options, &mut scratch);
    assert_eq!(first, again.as_ref().map(|_| ()).map_err(|fault| *fault));
    assert_eq!(again, samples(bytes, &options, &mut Scratch::new()), "buffers that were used before");
    let less = DecodeOptions { limit: takes - 1, ..options };
    assert!(decode(bytes, &less, &mut scratch).is_err_and(|e| e.fault == Fault::Memory));
});
