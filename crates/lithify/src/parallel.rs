//! Threads.

use crate::error::{Error, ErrorKind, Result};

/// Runs `work` on so many threads at once, and waits for all. One is that of the caller.
///
/// # Errors
/// The threads cannot be started.
pub(crate) fn on_threads(threads: usize, work: impl Fn() + Sync) -> Result<()> {
    if threads <= 1 {
        work();
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| {
        Error::new(ErrorKind::Resources, format!("cannot start {threads} threads: {e}"))
            .hint("use fewer with `--threads`")
    })?;
    pool.broadcast(|_| work());
    Ok(())
}
