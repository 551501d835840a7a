//! The budget that keeps one task from holding its worker for ever.
//!
//! A poll may take 128 steps of progress on the resources of this runtime; after that they all say `Pending`, having woken
//! the task, so that it goes to the end of the queue. A leaf future asks [`poll_proceed`] first and says
//! [`made`](Progress::made) when it is about to return `Ready`. Outside a task there is no limit.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How many steps of progress one poll of a task may make.
pub(crate) const BUDGET: u8 = 128;

/// What stands for "no limit".
const UNCONSTRAINED: u8 = u8::MAX;
/// What stands for "nothing left, and somebody was told so".
const REFUSED: u8 = UNCONSTRAINED - 1;

thread_local! {
    static LEFT: Cell<u8> = const { Cell::new(UNCONSTRAINED) };
}

/// Runs `f`, a poll of a task, with a fresh budget; afterwards the thread has what it had before.
#[inline]
pub(crate) fn with_budget<R>(f: impl FnOnce() -> R) -> R {
    with_left(BUDGET, f)
}

/// As [`with_budget`]; says also whether `f` wanted more than there was.
#[inline]
pub(crate) fn with_budget_told<R>(f: impl FnOnce() -> R) -> (R, bool) {
    with_left(BUDGET, || {
        let result = f();
        (result, LEFT.get() == REFUSED)
    })
}

/// Runs `f` without a budget.
#[inline]
pub(crate) fn without_budget<R>(f: impl FnOnce() -> R) -> R {
    with_left(UNCONSTRAINED, f)
}

#[inline]
fn with_left<R>(left: u8, f: impl FnOnce() -> R) -> R {
    struct Restore(u8);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _restore = Restore(LEFT.replace(left));
    f()
}

/// Takes one step out of the calling task's budget; `Pending`, with the task woken, when nothing is left.
///
/// Ask before looking at the resource, and keep the [`Progress`] until it is known whether there was any.
///
/// # Examples
/// ```
/// use std::task::{Context, Poll, ready};
/// use wakeline_runtime::coop;
///
/// fn poll_letter(letters: &mut Vec<String>, cx: &mut Context<'_>) -> Poll<String> {
///     let progress = ready!(coop::poll_proceed(cx));
///     match letters.pop() {
///         Some(letter) => { progress.made(); Poll::Ready(letter) }
///         None => Poll::Pending, // .. having registered `cx.waker()`; the step is given back
///     }
/// }
/// # let mut cx = Context::from_waker(std::task::Waker::noop());
/// # assert_eq!(poll_letter(&mut vec!["hello".into()], &mut cx), Poll::Ready("hello".into()));
/// ```
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<Progress> {
    let left = LEFT.get();
    match left {
        UNCONSTRAINED => Poll::Ready(Progress { refund: Cell::new(None) }),
        0 | REFUSED => {
            LEFT.set(REFUSED);
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        _ => {
            LEFT.set(left - 1);
            Poll::Ready(Progress { refund: Cell::new(Some(left)) })
        }
    }
}

/// A step taken from the budget; given back when this drops, unless progress was [`made`](Progress::made).
#[must_use = "dropping it gives the step back"]
pub struct Progress {
    refund: Cell<Option<u8>>,
}

impl Progress {
    /// The step was used: the resource gave something.
    #[inline]
    pub fn made(&self) {
        self.refund.set(None);
    }
}

impl Drop for Progress {
    #[inline]
    fn drop(&mut self) {
        if let Some(left) = self.refund.get() {
            LEFT.set(left);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("made", &self.refund.get().is_none()).finish()
    }
}

/// What was left of the budget a moment ago, and that was not nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remaining(u8);

/// Looks at the budget without taking a step; `Pending`, with the task woken, when nothing is left.
#[inline]
pub(crate) fn poll_remaining(cx: &mut Context<'_>) -> Poll<Remaining> {
    match LEFT.get() {
        0 | REFUSED => {
            LEFT.set(REFUSED);
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        left => Poll::Ready(Remaining(left)),
    }
}

impl Remaining {
    /// Takes one step, unless somebody has taken one since.
    #[inline]
    pub(crate) fn spend_unless_spent(self) {
        if self.0 != UNCONSTRAINED && LEFT.get() == self.0 {
            LEFT.set(self.0 - 1);
        }
    }
}

/// Whether the calling task may still make progress in this poll; always true outside a task.
#[must_use]
pub fn has_budget_remaining() -> bool {
    !matches!(LEFT.get(), 0 | REFUSED)
}

/// Takes one step, and yields first when none is left: for long computations between `.await`s.
///
/// # Cancel safety
/// Yes.
pub async fn consume_budget() {
    std::future::poll_fn(|cx| poll_proceed(cx).map(|progress| progress.made())).await;
}

/// Runs `future` without a budget. It may then starve every other task of its worker.
///
/// # Cancel safety
/// That of `future`.
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project_lite::pin_project! {
    /// The future of [`unconstrained`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        without_budget(|| self.project().future.poll(cx))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn steps(cx: &mut Context<'_>) -> usize {
        (0..1000).take_while(|_| poll_proceed(cx).map(|p| p.made()).is_ready()).count()
    }

    #[test]
    fn a_poll_makes_as_many_steps_as_the_budget_has_and_is_woken_once_after() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        assert_eq!(with_budget(|| steps(&mut cx)), usize::from(BUDGET));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(steps(&mut cx), 1000, "outside a task there is no limit");
    }

    #[test]
    fn a_step_without_progress_is_given_back() {
        let mut cx = Context::from_waker(Waker::noop());
        with_budget(|| {
            for _ in 0..1000 {
                assert!(poll_proceed(&mut cx).is_ready());
            }
            assert_eq!(steps(&mut cx), usize::from(BUDGET));
            assert!(!has_budget_remaining());
        });
        assert_eq!(with_budget_told(|| steps(&mut cx)), (usize::from(BUDGET), true));
        assert!(!with_budget_told(|| (0..BUDGET).all(|_| poll_proceed(&mut cx).map(|p| p.made()).is_ready())).1);
    }

    #[test]
    fn unconstrained_has_no_limit_and_leaves_the_callers_budget_alone() {
        let mut cx = Context::from_waker(Waker::noop());
        with_budget(|| {
            let mut inner = Box::pin(unconstrained(std::future::poll_fn(|cx| Poll::Ready(steps(cx)))));
            assert_eq!(inner.as_mut().poll(&mut cx), Poll::Ready(1000));
            assert_eq!(steps(&mut cx), usize::from(BUDGET));
        });
    }
}
