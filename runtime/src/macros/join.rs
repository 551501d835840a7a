//! `join!` and `try_join!`, and the futures that they await.

use crate::macros::order::Order;
use crate::macros::pair::Pair;
use std::convert::Infallible;
use std::future::{Future, IntoFuture};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for all of several futures, and gives their outputs as a tuple.
///
/// ```text
/// join!([biased;] <future>, <future>, ..)
/// ```
/// All futures are polled by the calling task: they take turns, on one thread. For more than one thread, spawn them and join the
/// handles. Futures that give a `Result` are all waited for, whatever they give; [`try_join!`](crate::try_join!) ends at the
/// first error.
///
/// A future is dropped as soon as it is complete. All of them live in the caller's own future: nothing is allocated.
///
/// # Fairness
/// At each poll the next future is polled first, and the others follow in rotation: one that uses up the task's
/// [budget](crate::coop) does not starve the others. `biased;` polls from left to right, always; then it is the caller's task to
/// put such a future last.
///
/// # Cancel safety
/// A `join!` that is dropped drops its futures, and the outputs of those that are complete.
///
/// # Examples
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use wakeline_runtime::sync::oneshot;
///
/// let (sender, receiver) = oneshot::channel();
/// let (sent, received) = wakeline_runtime::join!(
///     async { sender.send(7) },
///     async { receiver.await.expect("the other future sends") },
/// );
/// assert_eq!((sent, received), (Ok(()), 7));
/// # });
/// ```
/// The order of polls may be fixed:
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::cell::RefCell;
///
/// let order = RefCell::new(Vec::new());
/// wakeline_runtime::join!(
///     biased;
///     async { order.borrow_mut().push("first") },
///     async { order.borrow_mut().push("second") },
/// );
/// assert_eq!(order.take(), ["first", "second"]);
/// # });
/// ```
/// What is not a future does not compile:
/// ```compile_fail,E0277
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// wakeline_runtime::join!(async {}, 17);
/// # });
/// ```
#[macro_export]
macro_rules! join {
    ($($futures:tt)*) => {
        $crate::macros::expand_join! { ($crate) $($futures)* }
    };
}

/// Waits for all of several futures, or for the first error.
///
/// ```text
/// try_join!([biased;] <future>, <future>, ..)
/// ```
/// Each future gives a `Result`, with one type of error for all. When all are `Ok`, `try_join!` is `Ok` of the tuple of their
/// values. The first `Err` ends it: it is what `try_join!` gives, and the other futures are dropped, with the values of
/// those that were complete.
///
/// Otherwise it is like [`join!`](crate::join!), `biased;` and fairness included.
///
/// # Cancel safety
/// As [`join!`](crate::join!). Mind that an error cancels the other futures, too.
///
/// # Examples
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// async fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// let both = wakeline_runtime::try_join!(parse("3"), parse("4"));
/// assert_eq!(both, Ok((3, 4)));
///
/// let failed = wakeline_runtime::try_join!(parse("3"), parse("four"), std::future::pending());
/// let failed = failed.map(|(three, four, ())| three + four);
/// assert!(failed.is_err());
/// # });
/// ```
/// Tasks: a task that panics, and one that gives an error, both end it. The other task itself goes on, as its handle only was
/// dropped.
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use wakeline_runtime::{JoinHandle, spawn};
///
/// type Failure = Box<dyn std::error::Error + Send + Sync>;
///
/// async fn flat<T>(task: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
///     task.await?
/// }
///
/// let one = spawn(async { Ok::<_, Failure>(1) });
/// let other = spawn(async { Err::<u8, Failure>("no answer".into()) });
/// let error = wakeline_runtime::try_join!(flat(one), flat(other)).expect_err("the second fails");
/// assert_eq!(error.to_string(), "no answer");
/// # });
/// ```
/// Errors of two types do not compile:
/// ```compile_fail,E0271
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let _ = wakeline_runtime::try_join!(async { Err::<(), u8>(1) }, async { Err::<(), &str>("1") });
/// # });
/// ```
#[macro_export]
macro_rules! try_join {
    ($($futures:tt)*) => {
        $crate::macros::expand_try_join! { ($crate) $($futures)* }
    };
}

pin_project_lite::pin_project! {
    /// Polls the futures of `B` that are not done until all are, or one has failed.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TryJoin<B, O> {
        #[pin]
        branches: B,
        order: O,
    }
}

/// The future of `try_join!`.
#[inline]
pub fn try_join<B: Branches, O: Order>(branches: B, order: O) -> TryJoin<B, O> {
    TryJoin { branches, order }
}

impl<B: Branches, O: Order> Future for TryJoin<B, O> {
    type Output = Result<B::Outputs, B::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let start = this.order.start(B::COUNT);
        let mut done = true;
        for range in [start..B::COUNT, 0..start] {
            match this.branches.as_mut().poll_range(range, cx) {
                Ok(all) => done &= all,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if done { Poll::Ready(Ok(this.branches.take())) } else { Poll::Pending }
    }
}

pin_project_lite::pin_project! {
    /// As [`TryJoin`], of futures that can not fail.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Join<B, O> {
        #[pin]
        inner: TryJoin<B, O>,
    }
}

/// The future of `join!`.
#[inline]
pub fn join<B: Branches<Error = Infallible>, O: Order>(branches: B, order: O) -> Join<B, O> {
    Join { inner: try_join(branches, order) }
}

impl<B: Branches<Error = Infallible>, O: Order> Future for Join<B, O> {
    type Output = B::Outputs;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B::Outputs> {
        self.project().inner.poll(cx).map(|Ok(outputs)| outputs)
    }
}

/// A tree of futures, each of which is polled until it is done.
pub trait Branches {
    /// What they give, as a tree of tuples.
    type Outputs;

    /// What ends them all.
    type Error;

    /// How many there are.
    const COUNT: u32;

    /// Polls those in `range` that are not done; whether all in it are done now.
    ///
    /// # Errors
    /// That of the first that fails; nothing here must be polled after it.
    fn poll_range(self: Pin<&mut Self>, range: Range<u32>, cx: &mut Context<'_>) -> Result<bool, Self::Error>;

    /// Takes the outputs, when all are done.
    fn take(self: Pin<&mut Self>) -> Self::Outputs;
}

/// Two neighbours, whose errors are the same.
#[inline]
pub fn join_pair<L: Branches, R: Branches<Error = L::Error>>(left: L, right: R) -> Pair<L, R> {
    Pair::new(left, right)
}

impl<L: Branches, R: Branches<Error = L::Error>> Branches for Pair<L, R> {
    type Outputs = (L::Outputs, R::Outputs);
    type Error = L::Error;

    const COUNT: u32 = L::COUNT + R::COUNT;

    #[inline]
    fn poll_range(mut self: Pin<&mut Self>, range: Range<u32>, cx: &mut Context<'_>) -> Result<bool, L::Error> {
        let Range { start, end } = range;
        let left = self.as_mut().left().poll_range(start..end.min(L::COUNT), cx)?;
        let right = self.right().poll_range(start.saturating_sub(L::COUNT)..end.saturating_sub(L::COUNT), cx)?;
        Ok(left & right)
    }

    #[inline]
    fn take(mut self: Pin<&mut Self>) -> Self::Outputs {
        (self.as_mut().left().take(), self.right().take())
    }
}

pin_project_lite::pin_project! {
    /// A future, and in its place what it gave.
    #[derive(Debug)]
    #[project = StageProjection]
    #[project_replace = StageOwned]
    enum Stage<F, T> {
        Running { #[pin] future: F },
        Done { output: T },
        Taken,
    }
}

impl<F: Future, T> Stage<F, T> {
    /// Polls the future unless it is done. What it gives is kept as `keep` makes it.
    #[inline]
    fn poll<E>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        keep: impl FnOnce(F::Output) -> Result<T, E>,
    ) -> Result<bool, E> {
        let StageProjection::Running { future } = self.as_mut().project() else { return Ok(true) };
        let Poll::Ready(output) = future.poll(cx) else { return Ok(false) };
        let output = keep(output)?;
        self.set(Stage::Done { output });
        Ok(true)
    }

    #[inline]
    fn take(self: Pin<&mut Self>) -> T {
        match self.project_replace(Stage::Taken) {
            StageOwned::Done { output } => output,
            _ => unreachable!("outputs are taken once, when all futures are done"),
        }
    }
}

pin_project_lite::pin_project! {
    /// A leaf of `join!`.
    #[derive(Debug)]
    pub struct JoinBranch<F, T> {
        #[pin]
        stage: Stage<F, T>,
    }
}

/// A future of `join!`.
#[inline]
pub fn join_branch<F: IntoFuture>(future: F) -> JoinBranch<F::IntoFuture, F::Output> {
    JoinBranch { stage: Stage::Running { future: future.into_future() } }
}

impl<F: Future> Branches for JoinBranch<F, F::Output> {
    type Outputs = F::Output;
    type Error = Infallible;

    const COUNT: u32 = 1;

    #[inline]
    fn poll_range(self: Pin<&mut Self>, range: Range<u32>, cx: &mut Context<'_>) -> Result<bool, Infallible> {
        if range.is_empty() { Ok(true) } else { self.project().stage.poll(cx, Ok) }
    }

    #[inline]
    fn take(self: Pin<&mut Self>) -> F::Output {
        self.project().stage.take()
    }
}

pin_project_lite::pin_project! {
    /// A leaf of `try_join!`.
    #[derive(Debug)]
    pub struct TryJoinBranch<F, T> {
        #[pin]
        stage: Stage<F, T>,
    }
}

/// A future of `try_join!`.
#[inline]
pub fn try_join_branch<F, T, E>(future: F) -> TryJoinBranch<F::IntoFuture, T>
where
    F: IntoFuture<Output = Result<T, E>>,
{
    TryJoinBranch { stage: Stage::Running { future: future.into_future() } }
}

impl<F, T, E> Branches for TryJoinBranch<F, T>
where
    F: Future<Output = Result<T, E>>,
{
    type Outputs = T;
    type Error = E;

    const COUNT: u32 = 1;

    #[inline]
    fn poll_range(self: Pin<&mut Self>, range: Range<u32>, cx: &mut Context<'_>) -> Result<bool, E> {
        if range.is_empty() { Ok(true) } else { self.project().stage.poll(cx, |output| output) }
    }

    #[inline]
    fn take(self: Pin<&mut Self>) -> T {
        self.project().stage.take()
    }
}
