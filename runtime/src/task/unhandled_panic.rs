//! What the panic of a task is to those around it.

/// What happens when a task panics, beside its `JoinHandle` saying so.
///
/// # Examples
/// ```
/// use wakeline_runtime::{LocalSet, UnhandledPanic};
///
/// let mut set = LocalSet::new();
/// set.unhandled_panic(UnhandledPanic::ShutdownRuntime);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnhandledPanic {
    /// Nothing: the other tasks go on.
    #[default]
    Ignore,
    /// All tasks end, and whoever drives them panics.
    ShutdownRuntime,
}
