//! Programs for tokio, of which one line has changed: the one below. They are written as its users write them, and what
//! they show is that this is all.
//!
//! Each is small and stands for a habit: a task that owns a state and is asked through a channel, a worker that is told to
//! stop, a limit on how many do something at once.

// As in most programs of this size.
#![allow(clippy::unwrap_used)]

extern crate wakeline as tokio;

#[path = "port/cache.rs"]
mod cache;
#[path = "port/guide.rs"]
mod guide;
#[path = "port/limits.rs"]
mod limits;
#[path = "port/news.rs"]
mod news;
#[path = "port/pipeline.rs"]
mod pipeline;
#[path = "port/runtimes.rs"]
mod runtimes;
#[path = "port/shutdown.rs"]
mod shutdown;
#[path = "port/tasks.rs"]
mod tasks;
