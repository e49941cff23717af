//! An allocator that remembers the largest piece it was asked for, to see that no damaged length is believed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest piece of memory that was asked for at once, in bytes.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The largest piece of memory that was asked for at once in this process, in bytes.
#[must_use]
pub fn largest() -> usize {
    LARGEST.load(Ordering::Relaxed)
}

/// The allocator.
pub struct Watch;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(old, layout) }
    }
}
