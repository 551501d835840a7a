//! Who is woken through which functions, by the kernel's names: what the stacktrace trigger of `sched_waking` shows.
//!
//! Linux calls the functions of a wait queue from within the function that found something, so a stack trace says it all.
//! Here they are called later, when the lock is released ([`WakeBatch`]); so whoever finds something notes his name
//! (`Effects`), and whoever makes the calls enters it here, where a callback, which is given a key and nothing else, finds it.
//! All of it only while somebody listens; otherwise a batch is called as it is.

use crate::event::{Event, Stacktrace, Tracer};
use std::cell::RefCell;
use wakeline_runtime::wait_queue::{Events, WakeBatch};

thread_local! {
    /// What this thread is in, and where it is told.
    static ENTERED: RefCell<Entered> = const { RefCell::new(Entered { tracer: None, functions: Vec::new() }) };
}

struct Entered {
    tracer: Option<Tracer>,
    /// The outermost first.
    functions: Vec<&'static str>,
}

/// The functions that were entered are left when this drops.
pub(crate) struct Leave {
    functions: usize,
    tracer: Option<Tracer>,
}

/// This thread is in `functions`, the innermost first, and tells what happens there to `tracer`.
#[cold]
pub(crate) fn enter(tracer: &Tracer, functions: &[&'static str]) -> Leave {
    ENTERED.with_borrow_mut(|entered| {
        let before = entered.functions.len();
        entered.functions.extend(functions.iter().rev());
        Leave { functions: before, tracer: entered.tracer.replace(tracer.clone()) }
    })
}

impl Drop for Leave {
    fn drop(&mut self) {
        let tracer = self.tracer.take();
        let left = ENTERED.with_borrow_mut(|entered| {
            entered.functions.truncate(self.functions);
            std::mem::replace(&mut entered.tracer, tracer)
        });
        drop(left);
    }
}

/// From a callback: calls all of `wakes`, which were found in `functions`, the innermost first. `func` is the function with
/// which those who sleep stand in their wait queue, if they stand in one.
pub(crate) fn wake_all(mut wakes: WakeBatch, func: Option<&'static str>, functions: &[&'static str]) {
    if wakes.is_empty() {
        return;
    }
    let tracer = ENTERED.with_borrow(|entered| entered.tracer.clone());
    match tracer {
        None => wakes.wake_all(),
        Some(tracer) => wake_each(&tracer, wakes, |_| func, |_| functions.to_vec()),
    }
}

/// Makes the calls of `wakes` one by one and tells of each that wakes somebody. `func_of` says with which function who waits
/// for something stands in the queue, `through` how the call with this number comes about, the innermost first.
#[cold]
pub(crate) fn wake_each(
    tracer: &Tracer,
    mut wakes: WakeBatch,
    func_of: impl Fn(Events) -> Option<&'static str>,
    through: impl Fn(usize) -> Vec<&'static str>,
) {
    let mut number = 0;
    while let Some(wake) = wakes.pop() {
        let _in = enter(tracer, &through(number));
        number += 1;
        let Some(interest) = wake.interest() else {
            wake.call();
            continue;
        };
        let func = func_of(interest);
        if func == Some(IO_POLL_WAKE) {
            // An operation of a ring: nobody wakes by it but by what it completes.
            let _in = enter(tracer, &[IO_POLL_WAKE]);
            wake.call();
        } else {
            tracer.emit(|| Event::SchedWaking { waiters: 1, stack: stacktrace(func) });
            wake.call();
            tracer.emit(|| Event::SchedWakeup { waiters: 1 });
        }
    }
}

fn stacktrace(func: Option<&'static str>) -> Stacktrace {
    let entered = ENTERED.with_borrow(|entered| entered.functions.clone());
    Stacktrace::new(["try_to_wake_up"].into_iter().chain(func).chain(entered.into_iter().rev()))
}

/// The function of an operation of a ring.
pub(crate) const IO_POLL_WAKE: &str = "io_poll_wake";

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Waker;
    use wakeline_runtime::clock::Clock;
    use wakeline_runtime::wait_queue::{Mode, WaitList, WaitSlot, WakeFn};

    struct Callback;

    impl WakeFn for Callback {
        fn call(&self, _: Events) {
            let mut wakes = WakeBatch::new();
            wakes.push(Waker::noop().clone());
            wake_all(wakes, Some("sleeper"), &["callback"]);
        }
    }

    /// A list with a callback and a waker, told as from `outer`.
    fn wake(tracer: &Tracer) {
        let (mut list, mut wakes, mut slots) = (WaitList::new(), WakeBatch::new(), [WaitSlot::new(), WaitSlot::new()]);
        drop(list.add(&mut slots[0], Arc::new(Callback), Events::IN, Mode::Shared));
        drop(list.join(&mut slots[1], Waker::noop(), Events::OUT, Mode::Shared));
        list.wake(Events::ANY, 1, &mut wakes);
        wake_each(tracer, wakes, |interest| interest.contains(Events::OUT).then_some("pollwake"), |_| vec!["outer"]);
    }

    #[test]
    fn what_a_callback_wakes_is_told_with_who_called_it() {
        let trace = crate::event::Trace::new(Clock::Real);
        let tracer = trace.tracer("host".into());
        trace.start();
        let leave = enter(&tracer, &["inner", "outermost"]);
        wake(&tracer);
        drop(leave);
        // Nobody has entered anything: nothing is told.
        Callback.call(Events::IN);
        let told: Vec<_> = trace.stop().iter().map(|record| format!("{:#}", record.event)).collect();
        assert_eq!(
            told,
            [
                "sched_waking waiters=1 stack=try_to_wake_up < pollwake < outer < inner < outermost",
                "sched_wakeup waiters=1",
                "sched_waking waiters=1 stack=try_to_wake_up < sleeper < callback < outer < inner < outermost",
                "sched_wakeup waiters=1",
            ]
        );
    }
}
