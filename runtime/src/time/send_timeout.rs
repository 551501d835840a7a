//! Sending with a deadline. It stands here because channels know no timers.

use super::timeout::timeout;
use crate::sync::mpsc::Sender;
use crate::sync::mpsc::error::SendTimeoutError;
use std::time::Duration;

impl<T> Sender<T> {
    /// Sends `value`, and waits for room first, at most for `limit`.
    ///
    /// # Errors
    /// [`Timeout`](SendTimeoutError::Timeout) or [`Closed`](SendTimeoutError::Closed), with the value.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_time`.
    ///
    /// # Cancel safety
    /// As [`send`](Sender::send): dropped before it is ready, it has not sent, and the value is dropped with it.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::sync::mpsc::{self, error::SendTimeoutError};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let (tx, _rx) = mpsc::channel(1);
    /// let limit = Duration::from_millis(1);
    /// assert_eq!(tx.send_timeout("first", limit).await, Ok(()));
    /// assert_eq!(tx.send_timeout("second", limit).await, Err(SendTimeoutError::Timeout("second")));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        match timeout(limit, self.reserve()).await {
            Ok(Ok(permit)) => {
                permit.send(value);
                Ok(())
            }
            Ok(Err(_)) => Err(SendTimeoutError::Closed(value)),
            Err(_) => Err(SendTimeoutError::Timeout(value)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::builder::Builder;
    use crate::clock::VirtualClock;
    use crate::sync::mpsc::channel;
    use crate::sync::mpsc::error::SendTimeoutError;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(1000);

    #[test]
    fn it_sends_or_says_why_not() {
        Builder::new_current_thread().enable_time().virtual_clock(VirtualClock::new()).build().unwrap().block_on(
            async {
                let (tx, mut rx) = channel(1);
                assert_eq!(tx.send_timeout(1, LIMIT).await, Ok(()));
                let error = tx.send_timeout(2, LIMIT).await.unwrap_err();
                assert_eq!(format!("{error}, {error:?}"), "timed out waiting on send operation, Timeout(..)");
                assert_eq!(error.into_inner(), 2);
                let other = tx.clone();
                let waiting = crate::spawn(async move { other.send_timeout(3, LIMIT).await });
                assert_eq!(rx.recv().await, Some(1));
                assert_eq!(rx.recv().await, Some(3));
                assert_eq!(waiting.await.unwrap(), Ok(()));
                drop(rx);
                assert_eq!(tx.send_timeout(4, LIMIT).await, Err(SendTimeoutError::Closed(4)));
                assert_eq!(SendTimeoutError::Closed(5).to_string(), "channel closed");
            },
        );
    }
}
