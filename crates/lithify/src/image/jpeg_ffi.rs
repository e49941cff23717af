//! Calls into libjpeg (mozjpeg's, plain C and SIMD): the only `unsafe` of the image decoders.
//!
//! Why libjpeg and not a decoder in Rust: TensorFlow decodes with libjpeg-turbo's fast integer DCT, whose rounding is part
//! of the result, and no decoder in Rust has it. Why not through a safe wrapper: those take the end of the data for an end
//! of the image and a warning, as libjpeg's own source of bytes does; TensorFlow's source, which is rebuilt here, ends
//! decoding with an error.

#![expect(unsafe_code, reason = "libjpeg is written in C")]

use std::ffi::{CStr, c_char, c_int, c_long};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mozjpeg_sys::{
    J_COLOR_SPACE, J_DCT_METHOD, boolean, jpeg_calc_output_dimensions, jpeg_common_struct,
    jpeg_create_decompress, jpeg_decompress_struct, jpeg_destroy_decompress, jpeg_error_mgr,
    jpeg_finish_decompress, jpeg_progress_mgr, jpeg_read_header, jpeg_read_scanlines, jpeg_resync_to_restart,
    jpeg_source_mgr, jpeg_start_decompress, jpeg_std_error,
};

/// How an image is to be decompressed.
pub(super) struct Wanted {
    /// Samples of a pixel: 1 for grey, 3 for colour, 4 for inks as they are stored.
    pub channels: u8,
    /// The size is divided by this: 1, 2, 4 or 8.
    pub ratio: u8,
    /// With the fast integer DCT, else with the accurate one.
    pub fast: bool,
    /// Rows that will come, after division.
    pub height: u32,
    /// Pixels of a row that will come, after division.
    pub width: u32,
    /// Rows of blocks in a scan, at most.
    pub rows_of_blocks: u16,
}

/// Why libjpeg stopped.
pub(super) struct Stopped {
    /// How many bytes it had taken, or more than were left when it stopped.
    pub byte: usize,
    /// What it says.
    pub message: String,
}

/// So many scans an image may have. Each costs the time of decoding the whole image, so that a small file could keep a
/// thread busy for hours; encoders make about ten.
const MOST_SCANS: u32 = 500;

/// Rows that are asked for at a time: it makes no more of them at once.
const MOST_ROWS: usize = 4;

/// What libjpeg counts, which starts with what it knows of, and when it is too much.
#[repr(C)]
struct Progress {
    manager: jpeg_progress_mgr,
    /// So many rows of blocks in all scans together.
    most: c_long,
}

unsafe extern "C" {
    // Both builds of the library have it: the one without SIMD answers 0.
    fn jsimd_can_idct_ifast() -> c_int;
}

/// Whether JPEGs are decoded with SIMD. On x86-64 the library is built with it where `nasm` is installed, and without it
/// otherwise, which takes about 2.3 times as long. The samples are the same, but for damaged images that still decode:
/// coefficients that no encoder makes overflow in another way.
#[must_use]
pub fn simd() -> bool {
    // SAFETY: it takes nothing and only asks the processor what it can do.
    unsafe { jsimd_can_idct_ifast() != 0 }
}

/// Decompresses an image to `out`, of (height, width, channels), with no bytes more or less.
///
/// # Errors
/// The image is damaged, or other than `wanted` says.
pub(super) fn decompress(bytes: &[u8], wanted: &Wanted, out: &mut [u8]) -> Result<(), Stopped> {
    // SAFETY, of the whole function:
    // - Every structure is a C structure of integers, pointers, optional function pointers, floats and C enums that have a
    //   value 0, so that all zeros is a valid value of it; libjpeg expects to be handed `cinfo` like that.
    // - The structures live on this stack frame and are not moved while `cinfo` points at them, and `cinfo` is not moved
    //   after it is created. Whatever happens in between, `jpeg_destroy_decompress` is called once, after the last use.
    // - `source` points into `bytes`, which outlives it. libjpeg reads `bytes_in_buffer` bytes at most; `skip` keeps the two
    //   fields in step, and `fill` never adds bytes.
    // - Rows are written to `out`, to no more of them than are left of it; that they are as long as the library says that it
    //   will write is checked after the last call that could change it.
    // - Errors leave C by unwinding from `error_exit`, which the library's interface allows for (`C-unwind`; the C code is
    //   compiled with unwind tables, and has nothing to release). The unwinding is caught right here. `resume_unwind`
    //   starts it, so that the panic hook does not run. With `panic = "abort"` this would end the process instead.
    unsafe {
        let mut error = MaybeUninit::<jpeg_error_mgr>::zeroed().assume_init();
        jpeg_std_error(&mut error);
        error.error_exit = Some(error_exit);
        error.emit_message = Some(emit_nothing);
        error.output_message = Some(output_nothing);
        let mut source = jpeg_source_mgr {
            next_input_byte: bytes.as_ptr(),
            bytes_in_buffer: bytes.len(),
            init_source: Some(no_change),
            fill_input_buffer: Some(fill),
            skip_input_data: Some(skip),
            resync_to_restart: Some(jpeg_resync_to_restart),
            term_source: Some(no_change),
        };
        let manager = jpeg_progress_mgr {
            progress_monitor: Some(count_scans),
            pass_counter: 0,
            pass_limit: 0,
            completed_passes: 0,
            total_passes: 0,
        };
        let block_rows = c_long::from(wanted.rows_of_blocks);
        let mut progress = Progress { manager, most: block_rows * c_long::from(MOST_SCANS) };
        let mut cinfo = MaybeUninit::<jpeg_decompress_struct>::zeroed().assume_init();
        cinfo.common.err = &raw mut error;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            jpeg_create_decompress(&raw mut cinfo);
            cinfo.src = &raw mut source;
            cinfo.common.progress = (&raw mut progress).cast();
            rows(&mut cinfo, wanted, out)
        }));
        let stopped = outcome.unwrap_or_else(|payload| match payload.downcast::<Exit>() {
            Ok(exit) => Err(exit.0),
            // Nothing else unwinds, but if it did, nothing of the library may be left behind.
            Err(payload) => {
                jpeg_destroy_decompress(&mut cinfo);
                resume_unwind(payload)
            }
        });
        jpeg_destroy_decompress(&mut cinfo);
        let byte = bytes.len() - source.bytes_in_buffer.min(bytes.len());
        stopped.map_err(|message| Stopped { byte, message })
    }
}

/// The calls, in the order and with the settings of TensorFlow (`UncompressLow` in `jpeg_mem.cc`).
///
/// # Safety
/// `cinfo` must be created and have a source, and unwinding must be caught by the caller.
unsafe fn rows(cinfo: &mut jpeg_decompress_struct, wanted: &Wanted, out: &mut [u8]) -> Result<(), String> {
    // SAFETY: see `decompress`.
    unsafe {
        jpeg_read_header(cinfo, 1);
        let inks = matches!(cinfo.jpeg_color_space, J_COLOR_SPACE::JCS_CMYK | J_COLOR_SPACE::JCS_YCCK);
        cinfo.out_color_space = match wanted.channels {
            1 => J_COLOR_SPACE::JCS_GRAYSCALE,
            _ if inks => J_COLOR_SPACE::JCS_CMYK,
            _ => J_COLOR_SPACE::JCS_RGB,
        };
        cinfo.do_fancy_upsampling = 1;
        cinfo.scale_num = 1;
        cinfo.scale_denom = wanted.ratio.into();
        cinfo.dct_method = if wanted.fast { J_DCT_METHOD::JDCT_IFAST } else { J_DCT_METHOD::JDCT_ISLOW };
        // Before there is memory for it, and after the last call that could change it.
        let expected = (wanted.width, wanted.height, c_int::from(wanted.channels));
        let is_expected = |cinfo: &jpeg_decompress_struct| {
            (cinfo.output_width, cinfo.output_height, cinfo.output_components) == expected
        };
        jpeg_calc_output_dimensions(cinfo);
        if !is_expected(cinfo) {
            return Err("its markers contradict each other".into());
        }
        if jpeg_start_decompress(cinfo) == 0 {
            return Err("the image is cut".into());
        }
        if is_smoothed(cinfo) {
            return Err("its last scans are missing".into());
        }
        if !is_expected(cinfo) {
            return Err("its markers contradict each other".into());
        }
        let stride = wanted.width as usize * usize::from(wanted.channels);
        if out.len() != wanted.height as usize * stride {
            return Err("there is no room for it".into());
        }
        while (cinfo.output_scanline as usize) < wanted.height as usize {
            let done = cinfo.output_scanline as usize;
            let mut rows = [ptr::null_mut(); MOST_ROWS];
            let left = out[done * stride..].chunks_exact_mut(stride);
            let count = rows.iter_mut().zip(left).map(|(to, row)| *to = row.as_mut_ptr()).count();
            if jpeg_read_scanlines(cinfo, rows.as_mut_ptr(), u32::try_from(count).unwrap_or(0)) == 0 {
                return Err(format!("the image is cut: it has {done} rows of {}", wanted.height));
            }
        }
        // It reads up to the end marker. Like TensorFlow, what it returns is not looked at: it raises an error where
        // there is one.
        jpeg_finish_decompress(cinfo);
        Ok(())
    }
}

/// Whether blocks would be smoothed, because the scans that make the first ten coefficients exact are not there. Between
/// TensorFlow's libjpeg and this one, that is what was changed, so that the samples would differ.
///
/// # Safety
/// `cinfo` must have been started.
unsafe fn is_smoothed(cinfo: &jpeg_decompress_struct) -> bool {
    let components = usize::try_from(cinfo.num_components).unwrap_or(0);
    // SAFETY: where it is not null, it points at 64 numbers for each component, at least.
    let known = (!cinfo.coef_bits.is_null())
        .then(|| unsafe { std::slice::from_raw_parts(cinfo.coef_bits.cast::<[c_int; 64]>(), components) });
    known.is_some_and(|known| known.iter().any(|bits| bits[1..10].iter().any(|bits| *bits != 0)))
}

/// What `error_exit` unwinds with.
struct Exit(String);

unsafe extern "C-unwind" fn error_exit(cinfo: &mut jpeg_common_struct) {
    /// `format_message` as the binding declares it, whose buffer is shorter than what C writes; and as C has it.
    type Declared = unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &[u8; 80]);
    type Format = unsafe extern "C-unwind" fn(*mut jpeg_common_struct, *mut c_char);
    /// `JMSG_LENGTH_MAX`.
    const LONGEST: usize = 200;
    let mut text = [0 as c_char; LONGEST];
    // SAFETY: `err` is the manager of `decompress`, whose `format_message` is libjpeg's own; it writes a string with its
    // terminator, of `LONGEST` bytes at most. The two function types differ in references for pointers only.
    let message = unsafe {
        if let Some(format) = (*cinfo.err).format_message {
            std::mem::transmute::<Declared, Format>(format)(cinfo, text.as_mut_ptr());
        }
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    };
    resume_unwind(Box::new(Exit(message)))
}

// Warnings and traces: TensorFlow prints the first and goes on.
unsafe extern "C-unwind" fn emit_nothing(_: &mut jpeg_common_struct, _: c_int) {}

unsafe extern "C-unwind" fn output_nothing(_: &mut jpeg_common_struct) {}

unsafe extern "C-unwind" fn no_change(_: &mut jpeg_decompress_struct) {}

/// There are no more bytes than those that were given at first: an error, where libjpeg's own source would make an end
/// marker up. Where some are left by the library's account, as in the middle of a unit that it would read again from its
/// start, TensorFlow answers that more may come, which ends decoding as well (`MemFillInputBuffer` in `jpeg_handle.cc`).
unsafe extern "C-unwind" fn fill(cinfo: &mut jpeg_decompress_struct) -> boolean {
    // SAFETY: `src` is the source of `decompress`.
    if unsafe { (*cinfo.src).bytes_in_buffer } == 0 {
        resume_unwind(Box::new(Exit("the image is cut".into())));
    }
    0
}

unsafe extern "C-unwind" fn skip(cinfo: &mut jpeg_decompress_struct, bytes: c_long) {
    let Ok(bytes) = usize::try_from(bytes) else { return };
    // SAFETY: `src` is the source of `decompress`; it moves within the bytes that are left.
    unsafe {
        let source = &mut *cinfo.src;
        if bytes > source.bytes_in_buffer {
            source.bytes_in_buffer = 0;
            resume_unwind(Box::new(Exit("the image is cut in a marker".into())));
        }
        source.next_input_byte = source.next_input_byte.add(bytes);
        source.bytes_in_buffer -= bytes;
    }
}

unsafe extern "C-unwind" fn count_scans(cinfo: &mut jpeg_common_struct) {
    // SAFETY: `progress` is the structure of `decompress`.
    let (done, most) = unsafe {
        let progress = &*cinfo.progress.cast::<Progress>();
        (progress.manager.pass_counter, progress.most)
    };
    if done > most {
        resume_unwind(Box::new(Exit(format!("it has more than {MOST_SCANS} scans"))));
    }
}
