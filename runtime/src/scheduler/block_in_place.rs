//! A task that blocks where it stands: its worker's core goes to another thread, and with it everything that waits for it.
//!
//! ```text
//!   this thread                        shelf                  a thread of the blocking pool
//!   1 lays its core there       ---->  core  ---------------> 2 takes it and is the worker from now on
//!   3 runs the closure                  |                       (or nobody does, if the closure was quicker)
//!   4 takes it again, if it is there <--+
//! ```
//! Without its core a thread finishes the poll it is in, schedules what it wakes through the injector, and leaves the
//! worker's loop.

use crate::coop;
use crate::park::Unentered;
use crate::scheduler::current;
use crate::scheduler::shared::{RuntimeFlavor, Shared};
use std::sync::Arc;

/// The calling thread is the one that drives a current-thread runtime.
#[derive(Debug)]
pub(crate) struct OnlyThread;

/// Runs `f`, which may block, while another thread does what this one would. `replace` has to run
/// [`drive`](crate::scheduler::drive) on another thread.
pub(crate) fn block_in_place<R>(f: impl FnOnce() -> R, replace: impl FnOnce(Arc<Shared>)) -> Result<R, OnlyThread> {
    let Some(handed) = hand_over()? else {
        // No worker's core here: the thread may block, it only must be allowed to drive another runtime.
        let _unentered = Unentered::new();
        return Ok(coop::without_budget(f));
    };
    let handed = TakeBack(handed);
    replace(handed.0.0.clone());
    let _unentered = Unentered::new();
    Ok(coop::without_budget(f))
}

/// Lays this thread's core on the shelf, if it has one to spare; says whose it was.
fn hand_over() -> Result<Option<(Arc<Shared>, usize)>, OnlyThread> {
    current::with(|context| {
        let Some(context) = context else { return Ok(None) };
        if context.shared.config.flavor == RuntimeFlavor::CurrentThread {
            return Err(OnlyThread);
        }
        let Some(core) = context.take() else { return Ok(None) };
        if core.parker.is_none() {
            // A waker that the driver calls: the worker is on its way out of its sleep, and needs its core there.
            context.put(core);
            return Ok(None);
        }
        let index = core.index;
        if let Some(detector) = &context.shared.config.detector {
            // What this task does from now on holds nobody up.
            detector.end(index, None);
        }
        context.shared.put_core_back(core);
        Ok(Some((context.shared.clone(), index)))
    })
}

/// Takes the core off the shelf, if nobody did meanwhile; also when the closure panics.
struct TakeBack((Arc<Shared>, usize));

impl Drop for TakeBack {
    fn drop(&mut self) {
        let TakeBack((shared, index)) = self;
        current::with(|context| {
            if let Some(context) = context
                && let Some(core) = shared.take_core_of(*index)
            {
                context.put(core);
            }
        });
    }
}
