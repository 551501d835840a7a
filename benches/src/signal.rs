//! A value from anywhere to one waiting task: the least that a wake-up can be, the same for every runtime.

use std::future::{Future, poll_fn};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A place for one value, and who waits for it.
///
/// # Examples
/// ```
/// use wakeline_benches::signal::Signal;
///
/// let signal = Signal::default();
/// signal.set(7);
/// assert_eq!(futures_lite::future::block_on(signal.taken()), 7);
/// ```
#[derive(Debug)]
pub struct Signal<T>(Mutex<Inside<T>>);

#[derive(Debug)]
struct Inside<T> {
    value: Option<T>,
    waiter: Option<Waker>,
}

impl<T> Signal<T> {
    /// Puts `value` there and wakes who waits for it. A value that was not taken is lost.
    pub fn set(&self, value: T) {
        let waiter = {
            let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inside.value = Some(value);
            inside.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Waits for a value and takes it. One task at a time.
    pub fn taken(&self) -> impl Future<Output = T> + Send + '_
    where
        T: Send,
    {
        poll_fn(|cx| self.poll_taken(cx))
    }

    fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                if !inside.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
                    inside.waiter = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Default for Signal<T> {
    fn default() -> Signal<T> {
        Signal(Mutex::new(Inside { value: None, waiter: None }))
    }
}
