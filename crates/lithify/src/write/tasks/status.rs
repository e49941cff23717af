//! How far the tasks of a plan are, as their files tell.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::super::journal;
use super::Batch;
use crate::error::Result;
use crate::plan::Plan;

/// How far the tasks of a plan are.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Blocks of all tasks.
    pub blocks: u64,
    /// Those of them that are done.
    pub done: u64,
    /// Blocks a second, since the first task began; nothing where none has.
    pub rate: Option<f64>,
    /// How many seconds the others take, if they go on like that.
    pub seconds_left: Option<f64>,
    /// Each task.
    pub tasks: Vec<TaskStatus>,
}

/// How far a task is.
#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    /// Its number.
    pub task: u64,
    /// Its blocks.
    pub blocks: u64,
    /// Those of them that are done.
    pub done: u64,
    /// Whether it is complete: a task that has done all of its blocks may still have to say so.
    pub complete: bool,
    /// How many processes were begun for it.
    pub processes: u64,
}

impl Batch {
    /// How far the tasks are. Nobody is asked but files, so that it works without a scheduler, and after all have ended.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn status(&self, plan: &Plan) -> Result<Status> {
        let (mut tasks, mut begun, mut last) = (Vec::new(), u64::MAX, 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        for task in 0..self.tasks.count {
            let range = plan.blocks_of(&self.tasks, task);
            let blocks = range.end - range.start;
            let complete = self.is_done(task)?;
            let processes = self.processes(task)?;
            let mut done = 0;
            for process in &processes {
                let (at, count) = journal::progress(process)?;
                begun = begun.min(at.unwrap_or(u64::MAX));
                done = done.max(count.min(blocks));
                let changed = process.join("journal").metadata().and_then(|there| there.modified()).ok();
                let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                last = last.max(changed.map_or(0, |at| at.as_secs()));
            }
            if complete {
                done = blocks;
            }
            tasks.push(TaskStatus { task, blocks, done, complete, processes: processes.len() as u64 });
        }
        let (blocks, done) = tasks.iter().fold((0, 0), |all, task| (all.0 + task.blocks, all.1 + task.done));
        // Where all is done, time goes on, and no more is done.
        let until = if done == blocks { last } else { now };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate =
            (begun != u64::MAX && done > 0).then(|| done as f64 / until.saturating_sub(begun).max(1) as f64);
        #[expect(clippy::cast_precision_loss, reason = "a time")]
        let seconds_left = rate.map(|rate| (blocks - done) as f64 / rate);
        Ok(Status { blocks, done, rate, seconds_left, tasks })
    }
}
