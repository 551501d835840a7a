//! [`OnceCell`].

use crate::sync::once_value::OnceValue;
use crate::sync::semaphore::{Semaphore, SemaphorePermit, TryAcquireError};
use std::error::Error;
use std::fmt;
use std::future::Future;

/// A value that is computed at most once, by an async function, when it is first wanted.
///
/// Those who come while it is computed wait. When the computation fails, panics or is dropped, the next of them computes. It
/// is usable under any executor.
///
/// # Examples
/// ```
/// use wakeline_runtime::sync::OnceCell;
///
/// static CONFIG: OnceCell<String> = OnceCell::const_new();
///
/// async fn config() -> &'static str {
///     CONFIG.get_or_init(|| async { "read from somewhere".to_owned() }).await
/// }
/// # futures_lite::future::block_on(async {
/// assert_eq!(config().await, "read from somewhere");
/// # });
/// ```
pub struct OnceCell<T> {
    value: OnceValue<T>,
    /// One permit: the right to compute. Closed when the value is there.
    turn: Semaphore,
}

impl<T> OnceCell<T> {
    /// An empty cell.
    ///
    /// # Examples
    /// ```
    /// let cell = wakeline_runtime::sync::OnceCell::<i32>::new();
    /// assert!(!cell.initialized());
    /// ```
    #[must_use]
    pub fn new() -> OnceCell<T> {
        OnceCell { value: OnceValue::new(), turn: Semaphore::new(1) }
    }

    /// As [`new`](OnceCell::new), for statics.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::OnceCell;
    ///
    /// static CELL: OnceCell<i32> = OnceCell::const_new();
    /// assert_eq!(CELL.get(), None);
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub const fn const_new() -> OnceCell<T> {
        OnceCell { value: OnceValue::new(), turn: Semaphore::const_new(1) }
    }

    /// A cell with this value, or an empty one.
    ///
    /// # Examples
    /// ```
    /// let cell = wakeline_runtime::sync::OnceCell::new_with(Some(1));
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[must_use]
    pub fn new_with(value: Option<T>) -> OnceCell<T> {
        value.map_or_else(OnceCell::new, OnceCell::from)
    }

    /// A cell with this value, for statics.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::OnceCell;
    ///
    /// static CELL: OnceCell<i32> = OnceCell::const_new_with(1);
    /// assert_eq!(CELL.get(), Some(&1));
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub const fn const_new_with(value: T) -> OnceCell<T> {
        OnceCell { value: OnceValue::with(value), turn: Semaphore::const_new_closed() }
    }

    /// Whether the value is there.
    ///
    /// # Examples
    /// See [`new`](OnceCell::new).
    #[must_use]
    pub fn initialized(&self) -> bool {
        self.value.is_set()
    }

    /// The value, if it is there.
    ///
    /// # Examples
    /// See [`set`](OnceCell::set).
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there, to be changed.
    ///
    /// # Examples
    /// ```
    /// let mut cell = wakeline_runtime::sync::OnceCell::from(1);
    /// *cell.get_mut().expect("it was made with a value") = 2;
    /// assert_eq!(cell.into_inner(), Some(2));
    /// ```
    #[must_use]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Puts a value into the empty cell.
    ///
    /// # Errors
    /// [`SetError::AlreadyInitializedError`] when there is a value, [`SetError::InitializingError`] when somebody computes
    /// one now. Both give `value` back.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{OnceCell, SetError};
    ///
    /// let cell = OnceCell::new();
    /// cell.set(1)?;
    /// assert_eq!(cell.set(2), Err(SetError::AlreadyInitializedError(2)));
    /// assert_eq!(cell.get(), Some(&1));
    /// # Ok::<(), SetError<i32>>(())
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        if self.initialized() {
            return Err(SetError::AlreadyInitializedError(value));
        }
        match self.turn.try_acquire() {
            Ok(turn) => {
                self.put(value, turn);
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(SetError::InitializingError(value)),
            Err(TryAcquireError::Closed) => Err(SetError::AlreadyInitializedError(value)),
        }
    }

    /// The value; computed by `f` first when there is none and nobody else computes one.
    ///
    /// A computation that asks for the value of the same cell waits for itself, for ever.
    ///
    /// # Panics
    /// When `f` does. The cell stays empty, and the next who waits computes.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it leaves the queue. Dropped while it computes, it drops the computation, and the next who
    /// waits begins its own.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::OnceCell;
    ///
    /// # futures_lite::future::block_on(async {
    /// let cell = OnceCell::new();
    /// assert_eq!(cell.get_or_init(|| async { 1 }).await, &1);
    /// assert_eq!(cell.get_or_init(|| async { 2 }).await, &1);
    /// # });
    /// ```
    pub async fn get_or_init<F, Fut>(&self, f: F) -> &T
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        if let Some(value) = self.get() {
            return value;
        }
        match self.turn.acquire().await {
            Ok(turn) => {
                let value = f().await;
                self.put(value, turn)
            }
            Err(_) => self.get().expect(CLOSED_WITH_VALUE),
        }
    }

    /// As [`get_or_init`](OnceCell::get_or_init), with a computation that may fail.
    ///
    /// # Errors
    /// That of `f`. The cell stays empty, and the next who waits computes.
    ///
    /// # Panics
    /// When `f` does, likewise.
    ///
    /// # Cancel safety
    /// As [`get_or_init`](OnceCell::get_or_init).
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::OnceCell;
    ///
    /// # futures_lite::future::block_on(async {
    /// let cell = OnceCell::new();
    /// assert!(cell.get_or_try_init(|| async { "x".parse::<i32>() }).await.is_err());
    /// assert_eq!(cell.get_or_try_init(|| async { "1".parse::<i32>() }).await, Ok(&1));
    /// # });
    /// ```
    pub async fn get_or_try_init<E, F, Fut>(&self, f: F) -> Result<&T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        match self.turn.acquire().await {
            Ok(turn) => {
                let value = f().await?;
                Ok(self.put(value, turn))
            }
            Err(_) => Ok(self.get().expect(CLOSED_WITH_VALUE)),
        }
    }

    fn put(&self, value: T, turn: SemaphorePermit<'_>) -> &T {
        let Ok(value) = self.value.set(value) else { unreachable!("the one with the turn alone puts a value") };
        // After the value: whoever finds the semaphore closed finds the value.
        self.turn.close();
        turn.forget();
        value
    }

    /// The value, if it is there, with the cell gone.
    ///
    /// # Examples
    /// See [`get_mut`](OnceCell::get_mut).
    #[must_use]
    pub fn into_inner(mut self) -> Option<T> {
        self.value.take()
    }

    /// Takes the value out, if it is there, and leaves the cell empty and as good as new.
    ///
    /// # Examples
    /// ```
    /// let mut cell = wakeline_runtime::sync::OnceCell::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert!(cell.set(2).is_ok());
    /// ```
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

const CLOSED_WITH_VALUE: &str = "the semaphore is closed after the value was set, never before";

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        OnceCell { value: OnceValue::with(value), turn: Semaphore::new_closed() }
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    fn clone(&self) -> Self {
        OnceCell::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).finish()
    }
}

/// Why [`OnceCell::set`] did not; it gives the value back.
#[derive(Debug, PartialEq, Eq)]
pub enum SetError<T> {
    /// There is a value already.
    AlreadyInitializedError(T),
    /// Somebody computes one now.
    InitializingError(T),
}

impl<T> SetError<T> {
    /// Whether there was a value already.
    #[must_use]
    pub fn is_already_init_err(&self) -> bool {
        matches!(self, SetError::AlreadyInitializedError(_))
    }

    /// Whether somebody was computing one.
    #[must_use]
    pub fn is_initializing_err(&self) -> bool {
        matches!(self, SetError::InitializingError(_))
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetError::AlreadyInitializedError(_) => "AlreadyInitializedError",
            SetError::InitializingError(_) => "InitializingError",
        })
    }
}

impl<T: fmt::Debug> Error for SetError<T> {}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
