//! What a server counts about itself, and how it is asked.
//!
//! Everything here is counted by the kernel for the process, or by the server at its own waits; nothing is derived from the
//! load.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wakeline_benches::child::Figures;
use wakeline_benches::memory::Memory;

/// A server that is being measured.
pub(crate) trait Server {
    /// Answers [`COUNTS`] or [`LEVELS`].
    fn ask(&mut self, question: &str) -> io::Result<Figures>;
}

/// What only grows: processor time, context switches, returns from waiting.
pub(crate) const COUNTS: &str = "counts";
/// What is so at the moment: threads, memory.
pub(crate) const LEVELS: &str = "levels";

/// The answer of this process.
pub(crate) fn answer(question: &str) -> io::Result<Figures> {
    match question {
        COUNTS => {
            let cpu = cpu_time(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
            Ok(counts(&getrusage(UsageWho::RUSAGE_SELF)?, cpu))
        }
        LEVELS => levels(),
        other => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("nobody counts {other}"))),
    }
}

/// The part of [`COUNTS`] that is the calling thread's.
pub(crate) fn of_this_thread() -> io::Result<Figures> {
    let cpu = cpu_time(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let mut figures = counts(&getrusage(UsageWho::RUSAGE_THREAD)?, cpu);
    figures.set("returns", 0.0);
    figures.set("spurious", 0.0);
    Ok(figures)
}

fn counts(usage: &Usage, cpu: Duration) -> Figures {
    let mut figures = Figures::default();
    figures.set("cpu_us", cpu.as_secs_f64() * 1e6);
    figures.set("voluntary", usage.voluntary_context_switches() as f64);
    figures.set("involuntary", usage.involuntary_context_switches() as f64);
    figures.set("returns", RETURNS.load(Ordering::Relaxed) as f64);
    figures.set("spurious", SPURIOUS.load(Ordering::Relaxed) as f64);
    figures
}

fn cpu_time(clock: ClockId) -> io::Result<Duration> {
    Ok(clock_gettime(clock)?.into())
}

fn levels() -> io::Result<Figures> {
    let memory = Memory::now()?;
    let mut figures = Figures::default();
    figures.set("threads", memory.threads as f64);
    figures.set("bytes", memory.total() as f64);
    Ok(figures)
}

/// How often a waiter of the server has come back from waiting: a thread from the call in which it waits, a task by being
/// polled.
static RETURNS: AtomicU64 = AtomicU64::new(0);
/// How many of these have found nothing to do.
static SPURIOUS: AtomicU64 = AtomicU64::new(0);

/// A thread of the server has come back from waiting.
pub(crate) fn returned(is_useful: bool) {
    RETURNS.fetch_add(1, Ordering::Relaxed);
    if !is_useful {
        SPURIOUS.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    /// Counts what the tasks on this thread get done.
    static PROGRESS: Cell<u64> = const { Cell::new(0) };
}

/// A task of the server has got something: bytes, a connection, the end of one.
pub(crate) fn progress() {
    PROGRESS.set(PROGRESS.get() + 1);
}

/// A task of the server whose polls are counted as returns; the first is none, nobody has woken it.
pub(crate) async fn counted<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    let mut is_new = true;
    poll_fn(|cx| {
        let before = PROGRESS.get();
        let poll = task.as_mut().poll(cx);
        if !is_new {
            returned(poll.is_ready() || PROGRESS.get() > before);
        }
        is_new = false;
        poll
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use std::task::Poll;

    #[test]
    fn a_poll_without_progress_is_spurious() {
        let mut polls = 0;
        let task = poll_fn(|cx| {
            polls += 1;
            if polls == 3 {
                progress();
            }
            if polls == 4 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let before = answer(COUNTS).unwrap();
        block_on(counted(task));
        let counts = answer(COUNTS).unwrap().since(&before);
        // The second poll found nothing; nobody else in these tests counts.
        assert_eq!((counts.get("returns").unwrap(), counts.get("spurious").unwrap()), (3.0, 1.0));
    }
}
