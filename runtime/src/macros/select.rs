//! `select!`, and the future that it awaits.

use crate::coop;
use crate::macros::either::Either;
use crate::macros::order::Order;
use crate::macros::pair::Pair;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Waits for the first of several branches, and drops the others.
///
/// ```text
/// select! {
///     [biased;]
///     <pattern> = <future> [, if <precondition>] => <handler> [,]
///     ..                                                              up to 64 branches
///     [else => <handler> [,]]
/// }
/// ```
/// All futures are polled by the calling task. The first that gives a value which matches its pattern wins: the others are
/// dropped, the handler runs, and what it gives is what `select!` gives. A handler in braces ends its branch; after any
/// other comes a comma. It works in `async` functions, blocks and closures, of any executor.
///
/// # In which order
/// 1. Each `precondition`, a `bool`, is evaluated, from top to bottom. `false` disables its branch for this `select!`; one that
///    stands in a loop begins anew each time.
/// 2. Each `future` is evaluated, from top to bottom, **those of disabled branches too**: only polling is spared.
/// 3. The branches that are not disabled are polled, whenever the task is. When none is left: step 6.
/// 4. A value that does not match its pattern is dropped and disables its branch. Go on with step 3.
/// 5. A value that matches ends it: **all futures are dropped**, then the branch's `handler` runs.
/// 6. No branch is left: all futures are dropped, then the `else` handler runs. Without one it panics.
///
/// Preconditions, futures and handlers stand in the caller's own function: `?`, `return`, `break`, `continue` and `.await`
/// do there what they do anywhere. Since the futures are gone when a handler runs, it may use what they had borrowed, and all
/// handlers may change the same thing:
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// async fn fill(buffer: &mut Vec<u8>) -> usize {
///     buffer.push(7);
///     buffer.len()
/// }
///
/// let mut buffer = Vec::new();
/// let mut closed = 0;
/// wakeline_runtime::select! {
///     len = fill(&mut buffer) => buffer.truncate(len),
///     _ = std::future::pending::<()>() => closed += 1,
/// }
/// assert_eq!((buffer.len(), closed), (1, 0));
/// # });
/// ```
///
/// # Fairness
/// At each poll a number decides which branch is polled first; the others follow in rotation. Of several branches that are
/// always ready, each wins its share. On a worker of a runtime the number comes from the worker's own generator: on a
/// current-thread runtime [`Builder::rng_seed`](crate::Builder::rng_seed) repeats every choice. On other threads, other
/// executors' for example, no seed repeats it.
///
/// `biased;` polls from top to bottom, always. That saves the number, and it is what to write when the order means something.
/// Then it is the caller's task to be fair: a branch that is ready all the time, such as a busy channel, starves all below
/// it. What is rare and important (a shutdown, say) stands above it.
///
/// Fair or not, a `select!` costs one step of the task's [budget](crate::coop), unless its branches have taken some
/// themselves; without budget it waits for the next turn. So no loop around a `select!` keeps a worker for itself.
///
/// # Panics
/// When every branch is disabled and there is no `else`.
///
/// # Cancel safety
/// A `select!` that is dropped drops its futures, so it is cancel safe when all of them are, and handlers lose nothing by it
/// until they themselves `.await`.
///
/// More often the question is what the branches that did **not** win have lost. Every branch but one is dropped each time,
/// and in a loop its future is made anew in the next round. That is harmless if dropping a future that is not complete and
/// making it again loses nothing, which is what *cancel safe* means in the documentation of each method here. Some examples:
///
/// | cancel safe | |
/// |---|---|
/// | `mpsc::Receiver::recv`, `UnboundedReceiver::recv`, `recv_many` | what was not received stays in the channel |
/// | `broadcast::Receiver::recv`, `watch::Receiver::changed` | the same |
/// | `mpsc::Sender::reserve` | but it gives up its place in the queue |
/// | `TcpListener::accept`, `UdpSocket::recv_from`, `send_to` | what was not given out stays in the socket |
/// | `AsyncReadExt::read`, `AsyncWriteExt::write` | they either did something and completed, or did nothing |
/// | `StreamExt::next` of any stream | |
/// | `Interval::tick`, `JoinSet::join_next`, `CancellationToken::cancelled` | |
/// | `&mut` to a future that lives outside: a `JoinHandle`, an `oneshot::Receiver`, a pinned `sleep` | nothing is dropped |
///
/// | loses its place in a queue | |
/// |---|---|
/// | `Mutex::lock`, `RwLock::read` and `write`, `Semaphore::acquire`, `Notify::notified` | the next round stands at the end again |
///
/// | not cancel safe | |
/// |---|---|
/// | `AsyncReadExt::read_exact`, `read_to_end`, `read_to_string`, `read_line` | what was read is lost |
/// | `AsyncWriteExt::write_all`, `io::copy` | nobody knows how much was written |
/// | `mpsc::Sender::send` | the value is lost with the future: `reserve` first, then send |
/// | `sleep(..)` made in the branch | it begins anew each round, and never ends if the rounds are shorter |
///
/// Of an `async fn` of one's own ask: what if it stops for good at this `.await`? What it has taken by then and keeps in a
/// variable is lost. What is not cancel safe goes on outside: pinned, and selected by reference, as below; or in a task.
///
/// # Examples
/// Two channels, until both are closed. A closed channel gives `None`, which does not match `Some(..)`:
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use wakeline_runtime::sync::mpsc;
///
/// let (numbers, mut number) = mpsc::channel(8);
/// let (words, mut word) = mpsc::channel(8);
/// wakeline_runtime::spawn(async move {
///     for n in 1..=3 {
///         numbers.send(n).await.expect("the receiver is there");
///     }
/// });
/// wakeline_runtime::spawn(async move { words.send("seven").await.expect("the receiver is there") });
///
/// let mut sum = 0;
/// loop {
///     wakeline_runtime::select! {
///         Some(n) = number.recv() => sum += n,
///         Some(text) = word.recv() => sum += text.len(),
///         else => break,
///     }
/// }
/// assert_eq!(sum, 11);
/// # });
/// ```
/// One future across many rounds: it is pinned outside, and selected by reference. Once it is complete it must not be polled
/// again, so the loop ends there:
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use wakeline_runtime::time::{interval, sleep};
///
/// let mut ticks = interval(Duration::from_millis(1));
/// let work = async {
///     sleep(Duration::from_millis(5)).await;
///     "done"
/// };
/// wakeline_runtime::pin!(work);
///
/// let mut seen = 0;
/// let result = loop {
///     wakeline_runtime::select! {
///         _ = ticks.tick() => seen += 1,
///         result = &mut work => break result,
///     }
/// };
/// assert_eq!(result, "done");
/// assert!(seen > 0);
/// # });
/// ```
/// Preconditions: both values, whichever comes first.
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use wakeline_runtime::sync::oneshot;
///
/// let (left, mut from_left) = oneshot::channel();
/// let (right, mut from_right) = oneshot::channel();
/// wakeline_runtime::spawn(async move { left.send(1) });
/// wakeline_runtime::spawn(async move { right.send(2) });
///
/// let (mut a, mut b) = (None, None);
/// while a.is_none() || b.is_none() {
///     wakeline_runtime::select! {
///         value = &mut from_left, if a.is_none() => a = value.ok(),
///         value = &mut from_right, if b.is_none() => b = value.ok(),
///     }
/// }
/// assert_eq!((a, b), (Some(1), Some(2)));
/// # });
/// ```
/// A priority: as long as the first branch is ready, the second has no turn.
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let mut order = Vec::new();
/// let (mut urgent, mut rest) = (2, 2);
/// loop {
///     wakeline_runtime::select! {
///         biased;
///         _ = async {}, if urgent > 0 => { urgent -= 1; order.push("urgent") }
///         _ = async {}, if rest > 0 => { rest -= 1; order.push("rest") }
///         else => break,
///     }
/// }
/// assert_eq!(order, ["urgent", "urgent", "rest", "rest"]);
/// # });
/// ```
///
/// ## Preconditions that race
/// A precondition is asked once, before anything is polled. When it asks about the very thing that its future waits for, the
/// thing may have happened in between:
/// ```no_run
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use wakeline_runtime::time::sleep;
///
/// async fn work() { /* .. */ }
///
/// let mut late = false;
/// let limit = sleep(Duration::from_millis(50));
/// wakeline_runtime::pin!(limit);
/// while !limit.is_elapsed() {
///     wakeline_runtime::select! {
///         // Wrong: when the time passes during `work`, the loop ends and this handler has never run.
///         _ = &mut limit, if !limit.is_elapsed() => late = true,
///         _ = work() => {}
///     }
/// }
/// # let _ = late;
/// # });
/// ```
/// The future itself says when it is complete; leave the loop there:
/// ```
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use wakeline_runtime::time::sleep;
///
/// async fn work() { sleep(Duration::from_millis(1)).await }
///
/// let limit = sleep(Duration::from_millis(5));
/// wakeline_runtime::pin!(limit);
/// let late = loop {
///     wakeline_runtime::select! {
///         _ = &mut limit => break true,
///         _ = work() => {}
///     }
/// };
/// assert!(late);
/// # });
/// ```
///
/// # Instead of `select!`
/// For a limit in time there is [`timeout`](crate::time::timeout()). To wait for all, [`join!`](crate::join!). For many
/// futures of one kind, a `JoinSet` or a stream that merges others; and for branches that must go on while another's handler
/// runs, tasks: all branches of a `select!` share one thread, and a handler that `.await`s holds up the loop.
///
/// # How it differs from tokio
/// It is `tokio::select!`, with these differences: a branch that is ready without taking from the budget costs a step, so that
/// it can not keep the worker for ever; what an expression of a branch borrowed for its evaluation only (a `RefCell`, say)
/// is given back before the next is evaluated; and a pattern is tried on the value itself rather than on a reference to it, so
/// that `Some(&x)` works in the edition 2024.
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
        let this = self.project();
        // Without budget those branches that have one would wait in vain, and the others win for ever.
        let remaining = ready!(coop::poll_remaining(cx));
        let output = if O::FROM_THE_LEFT {
            this.branches.poll_all(this.disabled, 0, cx)
        } else {
            poll_from(this.order.start(B::COUNT), this.branches, this.disabled, cx)
        };
        if let Poll::Ready(Some(_)) = output {
            remaining.spend_unless_spent();
        }
        output
    }
}

/// Polls branch `start` and, in rotation, those that follow, until one has an output that matches.
#[inline]
fn poll_from<B: Branches>(
    start: u32,
    mut branches: Pin<&mut B>,
    disabled: &mut u64,
    cx: &mut Context<'_>,
) -> Poll<Option<B::Output>> {
    let mut waiting = false;
    for index in (start..B::COUNT).chain(0..start) {
        if *disabled >> index & 1 == 1 {
            continue;
        }
        match branches.as_mut().poll_branch(index, cx) {
            Poll::Pending => waiting = true,
            Poll::Ready(None) => *disabled |= 1 << index,
            Poll::Ready(output) => return Poll::Ready(output),
        }
    }
    if waiting { Poll::Pending } else { Poll::Ready(None) }
}

/// A tree of branches.
pub trait Branches {
    /// The output of any of them.
    type Output;

    /// How many there are.
    const COUNT: u32;

    /// Polls the branches that are not disabled, from left to right, until one has an output that matches; `None` when
    /// all are disabled. The first one's bit in the mask is `first`.
    fn poll_all(
        self: Pin<&mut Self>,
        disabled: &mut u64,
        first: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Output>>;

    /// Polls branch `index`; `None` when its output does not match its pattern, and then it must not be polled again.
    fn poll_branch(self: Pin<&mut Self>, index: u32, cx: &mut Context<'_>) -> Poll<Option<Self::Output>>;
}

impl<L: Branches, R: Branches> Branches for Pair<L, R> {
    type Output = Either<L::Output, R::Output>;

    const COUNT: u32 = L::COUNT + R::COUNT;

    #[inline]
    fn poll_all(
        mut self: Pin<&mut Self>,
        disabled: &mut u64,
        first: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Output>> {
        let left = self.as_mut().left().poll_all(disabled, first, cx);
        if let Poll::Ready(Some(output)) = left {
            return Poll::Ready(Some(Either::Left(output)));
        }
        match self.right().poll_all(disabled, first + L::COUNT, cx) {
            Poll::Ready(None) if left.is_pending() => Poll::Pending,
            right => right.map(|output| output.map(Either::Right)),
        }
    }

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
    fn poll_all(self: Pin<&mut Self>, disabled: &mut u64, first: u32, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if *disabled >> first & 1 == 1 {
            return Poll::Ready(None);
        }
        let output = self.poll_branch(0, cx);
        if let Poll::Ready(None) = output {
            *disabled |= 1 << first;
        }
        output
    }

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
