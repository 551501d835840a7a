//! What an observer is told of tasks and of what they wait for: spans and events of `tracing`, in the shape in which tokio
//! makes them, so that what reads tokio's reads these. Without the feature `tracing` all of it is types of no size and calls of
//! no code.
//!
//! A span runs code of the subscriber, which is the user's: nothing here is called under a lock or a borrow. The one exception
//! is `waker.clone`, because wait queues clone wakers under theirs, whoever's they are: a subscriber must not use what it
//! observes.

mod about;
pub(crate) use about::{About, ResourceKind};

#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "tracing")]
pub(crate) use spans::{ON, Op, Place, Resource, Task, TaskId, blocking, task};

#[cfg(not(feature = "tracing"))]
mod none;
#[cfg(not(feature = "tracing"))]
pub(crate) use none::{ON, Op, Place, Resource, Task, TaskId, blocking, task};

#[cfg(all(test, feature = "tracing"))]
mod tests;
