//! Futures that a thread drives itself, beside the tasks.

use crate::atomic::{AtomicBool, Ordering};
use crate::coop;
use crate::park::with_thread_parker;
use crate::scheduler::core::Core;
use crate::scheduler::current::{self, Context};
use crate::scheduler::shared::Shared;
use crate::scheduler::shutdown::end_tasks;
use crate::scheduler::worker::{self, Main};
use crate::task::SeededIds;
use crate::wait_queue::{Events, Mode};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll, Wake, Waker};

/// Drives `future` on the calling thread, and nothing else.
pub(crate) fn alone<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    with_thread_parker(|parker| {
        let waker = parker.waker();
        let mut cx = task::Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = coop::with_budget(|| future.as_mut().poll(&mut cx)) {
                return output;
            }
            parker.park();
        }
    })
}

/// Drives `future` and, as soon as nobody else does, the single worker of `shared` on the calling thread.
///
/// `None` when a task panicked and that is the end of the runtime, [by configuration](crate::scheduler::Config).
pub(crate) fn as_worker<F: Future>(shared: &Arc<Shared>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let core = match shared.take_core() {
        Some(core) => core,
        None => match wait_for_core(shared, future.as_mut()) {
            Waited::Core(core) => core,
            Waited::Output(output) => return Some(output),
        },
    };
    let place = Place(Context::new(shared.clone(), core));
    let woken = Arc::new(MainWaker { woken: AtomicBool::new(true), shared: shared.clone() });
    let mut main = MainFuture { future, waker: Waker::from(woken.clone()), woken, output: None };
    SeededIds::with(shared.config.ids.as_ref(), || {
        current::set(&place.0, || {
            worker::run(&place.0, &mut main);
            if main.output.is_none() {
                end_tasks(shared);
            }
        });
    });
    main.output
}

enum Waited<T> {
    Core(Box<Core>),
    Output(T),
}

/// Another thread drives the worker: drives the future alone until that thread is done.
fn wait_for_core<F: Future>(shared: &Shared, mut future: Pin<&mut F>) -> Waited<F::Output> {
    // A waiter that is told of the core and goes without it passes the wake on when it drops.
    let mut core = pin!(shared.core_free.wait_until(Events::ANY, Mode::Exclusive, || shared.take_core()));
    alone(poll_fn(move |cx| match core.as_mut().poll(cx) {
        Poll::Ready(core) => Poll::Ready(Waited::Core(core)),
        Poll::Pending => future.as_mut().poll(cx).map(Waited::Output),
    }))
}

/// Puts the core back on the shelf, also when the main future panics.
struct Place(Context);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.put_core_back();
    }
}

/// The main future of a single worker.
struct MainFuture<'a, F: Future> {
    future: Pin<&'a mut F>,
    woken: Arc<MainWaker>,
    waker: Waker,
    output: Option<F::Output>,
}

impl<F: Future> Main for MainFuture<'_, F> {
    fn is_woken(&self) -> bool {
        self.woken.woken.load(Ordering::Acquire)
    }

    fn poll(&mut self) -> bool {
        // A read-modify-write, and Acquire: the poll sees what was written before each wake that this one answers.
        self.woken.woken.swap(false, Ordering::AcqRel);
        match self.future.as_mut().poll(&mut task::Context::from_waker(&self.waker)) {
            Poll::Ready(output) => {
                self.output = Some(output);
                true
            }
            Poll::Pending => false,
        }
    }
}

struct MainWaker {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release pairs with the swap in `poll`.
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        // The worker itself looks at the flag before it sleeps, and when it comes back from the driver.
        let here = current::with(|context| context.is_some_and(|context| Arc::ptr_eq(&context.shared, &self.shared)));
        if !here {
            self.shared.wake(self.shared.idle.for_new_work());
        }
    }
}
