//! `join!` and `try_join!`, and the futures that they await.

use crate::macros::order::Order;
use crate::macros::pair::Pair;
use std::convert::Infallible;
use std::future::{Future, IntoFuture};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for all of several futures.
#[macro_export]
macro_rules! join {
    ($($futures:tt)*) => {
        $crate::macros::expand_join! { ($crate) $($futures)* }
    };
}

/// Waits for all of several futures, or for the first error.
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
