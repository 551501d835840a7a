//! `select!`, and the future that it awaits.

use crate::coop;
use crate::macros::either::Either;
use crate::macros::order::Order;
use crate::macros::pair::Pair;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Waits for the first of several branches.
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => {
        $crate::macros::expand_select! { ($crate) $($branches)* }
    };
}

pin_project_lite::pin_project! {
    /// Asks the branches of `B`, in the order that `O` says, for an output that matches; `None` when all are disabled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Select<B, O> {
        #[pin]
        branches: B,
        disabled: u64,
        order: O,
    }
}

/// The future of the macro. `disabled` has a bit for each branch whose precondition said no.
#[inline]
pub fn select<B: Branches, O: Order>(branches: B, disabled: u64, order: O) -> Select<B, O> {
    Select { branches, disabled, order }
}

impl<B: Branches, O: Order> Future for Select<B, O> {
    type Output = Option<B::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Without budget those branches that have one would wait in vain, and the others win for ever.
        let remaining = ready!(coop::poll_remaining(cx));
        let mut waiting = false;
        let start = this.order.start(B::COUNT);
        for index in (start..B::COUNT).chain(0..start) {
            if *this.disabled >> index & 1 == 1 {
                continue;
            }
            match this.branches.as_mut().poll_branch(index, cx) {
                Poll::Pending => waiting = true,
                Poll::Ready(None) => *this.disabled |= 1 << index,
                Poll::Ready(output) => {
                    remaining.spend_unless_spent();
                    return Poll::Ready(output);
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// A tree of branches.
pub trait Branches {
    /// The output of any of them.
    type Output;

    /// How many there are.
    const COUNT: u32;

    /// Polls branch `index`; `None` when its output does not match its pattern, and then it must not be polled again.
    fn poll_branch(self: Pin<&mut Self>, index: u32, cx: &mut Context<'_>) -> Poll<Option<Self::Output>>;
}

impl<L: Branches, R: Branches> Branches for Pair<L, R> {
    type Output = Either<L::Output, R::Output>;

    const COUNT: u32 = L::COUNT + R::COUNT;

    #[inline]
    fn poll_branch(self: Pin<&mut Self>, index: u32, cx: &mut Context<'_>) -> Poll<Option<Self::Output>> {
        if index < L::COUNT {
            self.left().poll_branch(index, cx).map(|output| output.map(Either::Left))
        } else {
            self.right().poll_branch(index - L::COUNT, cx).map(|output| output.map(Either::Right))
        }
    }
}

pin_project_lite::pin_project! {
    /// A leaf: a future, and the question whether its output matches the pattern.
    #[derive(Debug)]
    pub struct Branch<F, M> {
        #[pin]
        future: F,
        matches: M,
    }
}

/// What stands after the `=` as a future. A step of its own, so that the compiler complains where it stands.
#[inline]
pub fn into_future<F: IntoFuture>(future: F) -> F::IntoFuture {
    future.into_future()
}

/// A branch of the macro. `matches` gives an output back that matches.
#[inline]
pub fn branch<F, M>(future: F, matches: M) -> Branch<F, M>
where
    F: Future,
    M: FnMut(F::Output) -> Option<F::Output>,
{
    Branch { future, matches }
}

impl<F, M> Branches for Branch<F, M>
where
    F: Future,
    M: FnMut(F::Output) -> Option<F::Output>,
{
    type Output = F::Output;

    const COUNT: u32 = 1;

    #[inline]
    fn poll_branch(self: Pin<&mut Self>, _index: u32, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        this.future.poll(cx).map(this.matches)
    }
}

/// What a precondition adds to the mask of the disabled branches.
#[inline]
pub fn disabled_unless(precondition: bool, index: u32) -> u64 {
    u64::from(!precondition) << index
}

/// The end of a `select!` without `else` of which no branch is left.
#[cold]
#[track_caller]
pub fn all_branches_disabled() -> ! {
    panic!(
        "all branches are disabled and there is no else branch: add `else => ..` to this `select!`, or leave one branch \
         without a precondition and with a pattern that matches whatever comes"
    )
}

/// What follows a pattern that has matched the same value before.
#[cold]
#[track_caller]
pub fn unreachable_branch() -> ! {
    unreachable!("a pattern of this `select!` matched at first and then did not")
}
