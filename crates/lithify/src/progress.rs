//! How a long run tells its caller how far it is, and how the caller stops it.

/// Receives the progress of a pass. Every method has a silent default, so `()` is a `Progress`.
pub trait Progress: Sync {
    /// A pass begins: `what` it does, and how many bytes of input it will read (0 if unknown).
    fn begin(&self, what: &'static str, total_bytes: u64) {
        let _ = (what, total_bytes);
    }

    /// The run goes on with one that was ended: so many of its blocks are done.
    fn resumed(&self, done: u64, blocks: u64) {
        let _ = (done, blocks);
    }

    /// So many more bytes of input are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// The pass is over.
    fn end(&self) {}

    /// Whether the run should stop as soon as it can.
    fn cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}

impl<P: Progress + ?Sized> Progress for &P {
    fn begin(&self, what: &'static str, total_bytes: u64) {
        (**self).begin(what, total_bytes);
    }

    fn resumed(&self, done: u64, blocks: u64) {
        (**self).resumed(done, blocks);
    }

    fn advance(&self, bytes: u64) {
        (**self).advance(bytes);
    }

    fn end(&self) {
        (**self).end();
    }

    fn cancelled(&self) -> bool {
        (**self).cancelled()
    }
}
