//! What a task knows of its scheduler.

use crate::task::cell::Header;
use crate::task::handles::Scheduled;

/// Where a task goes when it is ready to be polled.
pub(crate) trait Schedule: Send + Sync + Sized + 'static {
    /// Queues a task that was woken.
    fn schedule(task: Scheduled<Self>);

    /// Queues a task that was woken while it ran, behind those that wait already.
    fn reschedule(task: Scheduled<Self>) {
        Self::schedule(task);
    }

    /// A poll of a task panicked; its handle will say so. The right to poll is still the caller's.
    fn panicked(&self) {}

    /// A task completes. Returns whether the registry's reference was there, was taken out and
    /// released.
    fn release(&self, task: &Header) -> bool;
}
