//! Pass 2 without a pass 1: what comes is written as it comes, as far as all that comes is as the first, and how many rows there are
//! is known at the end.

use std::fs::File;
use std::time::Instant;

use super::fill::{Block, Filler, Scratch, slots_of};
use super::journal::sync_file_system;
use super::manifest::{Manifest, Run};
use super::publish::{check_beside, complete_output, end, stopped};
use super::staging::Staging;
use super::{Notes, WriteOptions, Written, check_target, unfinished};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::plan::request::Request;
use crate::source::{Elements, Source, Want, at_position};
use crate::store::{self, Opening};
use crate::value::Slots;

/// Writes elements as they come, by a plan for a number of them that need not be right, and publishes.
///
/// # Errors
/// As [`write_staged`](super::write_staged); also where an element has other features than the first. Nothing is kept of it then.
pub fn write_growing(
    source: &dyn Source,
    plan: &Plan,
    asked: &Request,
    staging: &Staging,
    options: &WriteOptions<'_>,
) -> Result<Manifest> {
    let start = Instant::now();
    check_target(&plan.target(), options.overwrite)?;
    check_beside(plan, options.overwrite)?;
    staging.clear()?;
    staging.create()?;
    // The kernel tells an error to each open file once, and to those opened later not at all.
    let directory = File::open(staging.path()).map_err(|e| Error::io("open", staging.path(), e))?;
    let (made, slabs) = (staging.output(), staging.slabs());
    let mut store = store::open(&made, &slabs, (plan.layout, plan.io), &plan.arrays, Opening::Growing)?;
    options.progress.begin("write", 0);
    let mut growing = Growing::new(plan);
    let mut elements = source.read(0, 0..u64::MAX, Want::Whole)?;
    growing.fill(source, elements.as_mut(), store.as_ref(), options)?;
    drop(elements);
    options.progress.end();
    let Growing { at, totals, blocks, .. } = growing;
    let plan = plan.clone().of_elements(at, &totals);
    let (mut notes, mut files) = (Notes::of(&plan), store.cut(&plan.arrays)?);
    for (number, mut written) in (0..).zip(blocks) {
        // The manifest has them once.
        written.files.append(&mut files);
        notes.take(number, written);
    }
    let filled = notes.joined(&plan)?;
    // Whoever finds a complete output finishes it by its plan.
    unfinished::save(staging.path(), asked, &plan)?;
    let run = Run { seconds: start.elapsed().as_secs_f64(), ..Run::of(&plan) };
    let sync =
        || if options.durable.is_some() { sync_file_system(&directory, staging.path()) } else { Ok(()) };
    let completed = complete_output(store, filled, run, &plan, staging, (options.overwrite, &sync));
    let manifest = completed.map_err(|error| stopped(error, staging, false))?;
    end(&plan, staging, options.durable.is_some())?;
    Ok(manifest)
}

/// Rows that are being written.
struct Growing<'p> {
    plan: &'p Plan,
    slots: Slots,
    fillers: Vec<Filler<'p>>,
    scratch: Scratch,
    /// How many elements are written.
    at: u64,
    totals: Vec<u64>,
    blocks: Vec<Written>,
}

impl<'p> Growing<'p> {
    fn new(plan: &'p Plan) -> Self {
        let slots = slots_of(plan);
        Self {
            plan,
            fillers: (0..plan.features.len()).map(|number| Filler::of(plan, number, &slots)).collect(),
            slots,
            scratch: Scratch::default(),
            at: 0,
            totals: vec![0; plan.counters.len()],
            blocks: Vec::new(),
        }
    }

    fn fill(
        &mut self,
        source: &dyn Source,
        elements: &mut dyn Elements,
        store: &dyn store::Store,
        options: &WriteOptions<'_>,
    ) -> Result<()> {
        let (plan, run) = (self.plan, self.plan.run());
        let (mut open, mut start) = (None, 0);
        // Where features are named, others do not matter.
        let (all, mut features) = (plan.request.names().is_none(), None);
        loop {
            if options.progress.cancelled() {
                return Err(super::stopped());
            }
            let position = elements.position();
            let place = |e: Error, number: u64| at_position(source, 0, position, e.at_element(number));
            let left = start + plan.block_rows - self.at;
            // A full block ends when it is known that there is more: what stands behind the last row belongs to the last.
            let most = run.min(if left == 0 { plan.block_rows } else { left });
            let number = self.at;
            let Some(element) = elements.next_run(most).map_err(|e| place(e, number))? else { break };
            if left == 0
                && let Some(full) = open.take()
            {
                self.commit(full, start)?;
                start = self.at;
            }
            let block = match &mut open {
                Some(block) => block,
                none => none.insert(Block::begin(store, plan, start, plan.block_rows, self.totals.clone())?),
            };
            if all && *features.get_or_insert(element.len()) != element.len() {
                let error = Error::input("it has other features than the first element");
                return Err(place(error, number));
            }
            let Self { slots, fillers, scratch, .. } = self;
            slots.find(&element, |_| Ok::<_, Error>(false))?;
            let filled =
                fillers.iter().try_for_each(|filler| filler.fill(number, &element, slots, block, scratch));
            filled.map_err(|e| if e.kind() == ErrorKind::Input { place(e, number) } else { e })?;
            self.at += element.count();
            options.progress.advance(element.stored_bytes());
        }
        match open {
            Some(mut last) => {
                self.fillers.iter().try_for_each(|filler| filler.end(&mut last))?;
                self.commit(last, start)
            }
            None => Err(Error::input("there are no elements")),
        }
    }

    fn commit(&mut self, block: Block<'_>, start: u64) -> Result<()> {
        let bytes: Vec<u64> = block.filled().collect();
        super::check_filled(self.plan, &bytes, self.at - start)?;
        let after = block.totals.clone();
        let before = std::mem::replace(&mut self.totals, after.clone());
        let (checksums, files) = block.commit()?;
        let arrays = bytes.into_iter().zip(checksums).collect();
        self.blocks.push(Written { arrays, totals: [before, after], files });
        Ok(())
    }
}
