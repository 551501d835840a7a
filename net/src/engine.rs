//! Engines: the parts of a network that run by themselves, whoever lends them a thread.
//!
//! An emulated CPU and a delay line are engines. An engine is turned: it does a bounded piece of work and says what it
//! waits for. [`Spawner`] runs it as a task on a runtime, or on a thread of its own where there is no executor. The engine
//! can not tell which.

use crate::halt::Halt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use wakeline_runtime::Handle;
use wakeline_runtime::clock::{Clock, Instant};
use wakeline_runtime::namespace;
use wakeline_runtime::park::Parker;
use wakeline_runtime::time::{Sleep, sleep_until};

/// Something that is turned until it is done.
pub(crate) trait Engine: Send + Unpin + 'static {
    /// Does a bounded piece of work.
    fn turn(&mut self, now: Instant) -> Turn;
    /// Where the engine halts while there is nothing to do.
    fn halt(&self) -> &Halt;
    /// Whether work has come since the last turn: tested after the engine has halted, with `SeqCst` loads.
    fn has_work(&self) -> bool;
    /// Whoever ran the engine has gone, and nobody will turn it again.
    fn abandoned(&mut self);
}

/// What an engine wants after a turn.
pub(crate) enum Turn {
    /// More work is ready; others may go first.
    Again,
    /// Nothing to do until `halt` rings or the moment comes.
    Idle(Option<Instant>),
    /// Never again.
    Done,
}

/// Lends engines a place to run.
#[derive(Clone, Debug)]
pub(crate) enum Spawner {
    /// A task each, on this runtime.
    Runtime(Handle),
    /// A thread each.
    Threads,
}

impl Spawner {
    /// Starts `engine` under `name`, which names its thread.
    pub(crate) fn start(&self, name: String, clock: Clock, engine: impl Engine) -> std::io::Result<()> {
        match self {
            Spawner::Runtime(handle) => {
                // An engine stands on no network, whoever builds it.
                let _outermost = namespace::enter(None);
                drop(handle.spawn(Driven::new(engine, clock)));
            }
            Spawner::Threads => {
                let run = move || run_on_this_thread(engine, &clock);
                std::thread::Builder::new().name(name).stack_size(THREAD_STACK_BYTES).spawn(run)?;
            }
        }
        Ok(())
    }
}

/// An engine recurses nowhere and keeps no large buffer on its stack.
const THREAD_STACK_BYTES: usize = 256 * 1024;

/// An engine as a future. Aligned, and so is its task, which has no cache line in common with another engine's.
#[repr(align(128))]
struct Driven<E: Engine> {
    engine: E,
    clock: Clock,
    sleep: Option<Sleep>,
    /// When `sleep` fires; it is left alone while it fires early enough, because an early turn is harmless and rearming
    /// it for every packet is not.
    armed: Option<Instant>,
    done: bool,
}

impl<E: Engine> Driven<E> {
    fn new(engine: E, clock: Clock) -> Driven<E> {
        Driven { engine, clock, sleep: None, armed: None, done: false }
    }

    fn arm(&mut self, deadline: Instant, now: Instant, cx: &mut Context<'_>) {
        if self.armed.is_some_and(|armed| armed > now && armed <= deadline) {
            return;
        }
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                Pin::new(&mut *sleep).reset(deadline);
                sleep
            }
            none => none.insert(sleep_until(deadline)),
        };
        self.armed = Some(deadline);
        if Pin::new(sleep).poll(cx).is_ready() {
            self.armed = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl<E: Engine> Future for Driven<E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.engine.halt().wake_up();
        let now = this.clock.now();
        match this.engine.turn(now) {
            Turn::Done => {
                this.done = true;
                return Poll::Ready(());
            }
            Turn::Again => cx.waker().wake_by_ref(),
            Turn::Idle(deadline) => {
                this.engine.halt().halt(cx.waker());
                if this.engine.has_work() {
                    cx.waker().wake_by_ref();
                } else if let Some(deadline) = deadline {
                    this.arm(deadline, now, cx);
                }
            }
        }
        Poll::Pending
    }
}

impl<E: Engine> Drop for Driven<E> {
    fn drop(&mut self) {
        if !self.done {
            self.engine.abandoned();
        }
    }
}

fn run_on_this_thread(mut engine: impl Engine, clock: &Clock) {
    let parker = Parker::new();
    let waker = parker.waker();
    loop {
        engine.halt().wake_up();
        match engine.turn(clock.now()) {
            Turn::Done => break,
            Turn::Again => std::thread::yield_now(),
            Turn::Idle(deadline) => {
                engine.halt().halt(&waker);
                if engine.has_work() {
                    continue;
                }
                match deadline {
                    None => parker.park(),
                    Some(deadline) => {
                        parker.park_timeout(deadline.saturating_duration_since(clock.now()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Counts up to what is asked for, one a turn.
    struct Counting {
        halt: Arc<Halt>,
        asked: Arc<AtomicU32>,
        counted: Arc<AtomicU32>,
        last: u32,
    }

    impl Engine for Counting {
        fn turn(&mut self, _now: Instant) -> Turn {
            if self.asked.load(Ordering::SeqCst) > self.counted.load(Ordering::SeqCst) {
                self.counted.fetch_add(1, Ordering::SeqCst);
            }
            if self.counted.load(Ordering::SeqCst) == self.last { Turn::Done } else { Turn::Idle(None) }
        }

        fn halt(&self) -> &Halt {
            &self.halt
        }

        fn has_work(&self) -> bool {
            self.asked.load(Ordering::SeqCst) > self.counted.load(Ordering::SeqCst)
        }

        fn abandoned(&mut self) {}
    }

    /// Each of many rings finds the engine halted, halting or running; none is lost, or this would never end.
    #[test]
    fn no_ring_is_lost() {
        let (asked, counted, last) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), 2000);
        let halt = Arc::new(Halt::default());
        let engine = Counting { halt: halt.clone(), asked: asked.clone(), counted: counted.clone(), last };
        std::thread::scope(|scope| {
            scope.spawn(|| run_on_this_thread(engine, &Clock::Real));
            for n in 1..=last {
                asked.store(n, Ordering::SeqCst);
                halt.ring();
                if n % 2 == 0 {
                    while counted.load(Ordering::SeqCst) < n {
                        std::thread::yield_now();
                    }
                }
            }
        });
        assert_eq!(counted.load(Ordering::SeqCst), last);
    }
}
