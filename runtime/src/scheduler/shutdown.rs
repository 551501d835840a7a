//! The end of a runtime: the injector closes, the workers leave their loops, every task goes, then the driver.

use crate::scheduler::current::{self, Context};
use crate::scheduler::shared::Shared;
use std::sync::Arc;

/// Begins the end: workers that are asleep wake up to it, busy ones see it after the present poll.
pub(crate) fn begin(shared: &Shared) {
    shared.injector.close();
    shared.wake_all();
}

/// Drops every task that nobody polls at this moment; those that are being polled are dropped by their pollers. New ones are
/// refused from now on.
pub(super) fn end_tasks(shared: &Shared) {
    for task in shared.registry.close() {
        task.shutdown();
    }
}

/// Does what is left when all cores lie on the shelf, that is, when no worker runs any more: drops the tasks, if no worker
/// did, what stands in the queues, and shuts the driver down. Otherwise, and the second time, it does nothing.
pub(crate) fn finish(shared: &Arc<Shared>) {
    let Some(mut cores) = shared.take_all_cores() else { return };
    if let Some(core) = cores.pop() {
        // As a worker, so that what the tasks wake as they drop stays here and is dropped too.
        let context = Context::new(shared.clone(), core);
        current::set(&context, || end_tasks(shared));
        drop(context.take());
    }
    drop(cores);
    while let Some(task) = shared.injector.pop() {
        drop(task);
    }
    shared.driver.lock().shutdown(&shared.driver_handle);
}
