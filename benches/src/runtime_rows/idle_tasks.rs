//! What a task costs that waits and does nothing: a future of no size, polled once.

use crate::contestant::Contestant;
use crate::memory::Memory;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Resident bytes a task, of so many that their tables' growth is the smaller part. The `JoinHandle`s are gone.
///
/// All is in it that the machine has to have for one: the task's allocation with the allocator's own part, and what
/// the runtime keeps to find its tasks.
///
/// # Errors
/// When `/proc` does not tell.
pub fn resident_bytes_each<C: Contestant>(contestant: &C, tasks: usize) -> io::Result<f64> {
    // What is there once for all: stacks, queues, the first tables.
    spawn_and_poll(contestant, tasks / 100);
    let before = Memory::now()?;
    spawn_and_poll(contestant, tasks);
    let after = Memory::now()?;
    Ok((after.resident as f64 - before.resident as f64) / tasks as f64)
}

fn spawn_and_poll<C: Contestant>(contestant: &C, tasks: usize) {
    let polled = POLLED.load(Ordering::Relaxed) + tasks;
    for spawned in 1..=tasks {
        C::detach(contestant.spawn_from_outside(Idle));
        // So that no queue has room for all of them when it is over.
        if spawned % 100 == 0 || spawned == tasks {
            let wanted = polled - (tasks - spawned);
            contestant.block_on(async {
                while POLLED.load(Ordering::Relaxed) < wanted {
                    futures_lite::future::yield_now().await;
                }
            });
        }
    }
}

/// Of the whole process: a task of no size has no place for a reference.
static POLLED: AtomicUsize = AtomicUsize::new(0);

struct Idle;

impl Future for Idle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        POLLED.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::{Smol, Tokio, Wakeline};

    /// What memory they take is not looked at: other tests of this process use it as well.
    #[test]
    fn every_idle_task_is_polled_once() {
        fn check<C: Contestant>() {
            let before = POLLED.load(Ordering::Relaxed);
            spawn_and_poll(&C::new(1).unwrap(), 250);
            assert_eq!(POLLED.load(Ordering::Relaxed) - before, 250);
        }
        check::<Wakeline>();
        check::<Tokio>();
        check::<Smol>();
    }
}
