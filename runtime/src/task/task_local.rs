//! Task-locals: values that a future carries along, and that its code finds without being handed them.
//!
//! A value lies in its future, and in a thread-local of the key while that future is polled or dropped: entering a scope
//! exchanges the two, and leaving it exchanges them back. It knows nothing of tasks; any executor will do.

use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

/// Declares task-local keys: statics of type [`LocalKey`].
///
/// # Examples
/// ```
/// wakeline_runtime::task_local! {
///     /// Whose request this is.
///     pub static USER: String;
///     static DEPTH: u32;
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = wakeline_runtime::Runtime::new()?;
/// let greeting = runtime.block_on(USER.scope("ada".to_owned(), async {
///     DEPTH.scope(1, async { USER.with(|user| format!("{user}, {} deep", DEPTH.get())) }).await
/// }));
/// assert_eq!(greeting, "ada, 1 deep");
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};

    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty; $($rest:tt)*) => {
        $crate::__task_local_key!($(#[$attr])* $vis $name, $t);
        $crate::task_local!($($rest)*);
    };

    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty) => {
        $crate::__task_local_key!($(#[$attr])* $vis $name, $t);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __task_local_key {
    ($(#[$attr:meta])* $vis:vis $name:ident, $t:ty) => {
        $(#[$attr])*
        $vis static $name: $crate::task::LocalKey<$t> = {
            ::std::thread_local! {
                static VALUE: ::std::cell::RefCell<::std::option::Option<$t>> = const {
                    ::std::cell::RefCell::new(::std::option::Option::None)
                };
            }
            $crate::task::LocalKey { value: VALUE }
        };
    };
}

/// A task-local; made by [`task_local!`](crate::task_local).
///
/// It has a value inside a [`scope`](LocalKey::scope) and nowhere else. Tasks that are spawned inside do not see it: wrap
/// what is spawned in a scope of its own.
///
/// # Examples
/// ```
/// wakeline_runtime::task_local! { static NUMBER: u32; }
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = wakeline_runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(NUMBER.scope(1, async {
///     assert_eq!(NUMBER.get(), 1);
///     NUMBER.scope(2, async { assert_eq!(NUMBER.get(), 2) }).await;
///     assert_eq!(NUMBER.get(), 1);
/// }));
/// assert!(NUMBER.try_get().is_err());
/// # Ok(())
/// # }
/// ```
pub struct LocalKey<T: 'static> {
    #[doc(hidden)]
    pub value: thread::LocalKey<RefCell<Option<T>>>,
}

impl<T: 'static> LocalKey<T> {
    /// A future that runs `future` with this key set to `value`: in its polls, and also while it is dropped.
    ///
    /// The value is dropped with the future that is returned. [`TaskLocalFuture::take_value`] gets it back.
    ///
    /// # Panics
    /// When it is polled inside [`with`](LocalKey::with) of the same key.
    ///
    /// # Cancel safety
    /// That of `future`.
    ///
    /// # Examples
    /// ```
    /// wakeline_runtime::task_local! { static REQUEST: u64; }
    ///
    /// async fn log(line: &str) -> String {
    ///     format!("request {}: {line}", REQUEST.get())
    /// }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().build()?;
    /// let line = runtime.block_on(REQUEST.scope(7, log("begun")));
    /// assert_eq!(line, "request 7: begun");
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope<F>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F>
    where
        F: Future,
    {
        TaskLocalFuture { key: self, value: Some(value), future: Some(future) }
    }

    /// Runs `f` with this key set to `value`.
    ///
    /// # Panics
    /// When it is called inside [`with`](LocalKey::with) of the same key.
    ///
    /// # Examples
    /// ```
    /// wakeline_runtime::task_local! { static NUMBER: u32; }
    /// assert_eq!(NUMBER.sync_scope(5, || NUMBER.get() + 1), 6);
    /// ```
    #[track_caller]
    pub fn sync_scope<F, R>(&'static self, value: T, f: F) -> R
    where
        F: FnOnce() -> R,
    {
        let mut value = Some(value);
        match self.enter(&mut value) {
            Ok(_inside) => f(),
            Err(refused) => refused.panic(),
        }
    }

    /// Runs `f` with the value of the innermost scope.
    ///
    /// # Panics
    /// When there is none.
    ///
    /// # Examples
    /// ```
    /// wakeline_runtime::task_local! { static NAME: String; }
    /// NAME.sync_scope("ada".to_owned(), || assert_eq!(NAME.with(String::len), 3));
    /// ```
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(_) => panic!(
                "cannot access a task-local storage value without setting it first: call this inside the key's `scope`"
            ),
        }
    }

    /// Runs `f` with the value of the innermost scope.
    ///
    /// # Errors
    /// [`AccessError`] when there is none; then `f` does not run.
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        // Late in thread exit the slot is gone; a key without a slot is in no scope.
        self.value.try_with(|slot| slot.borrow().as_ref().map(f)).ok().flatten().ok_or(AccessError { _private: () })
    }

    /// Exchanges the key's value and `value` until the result drops.
    fn enter<'a>(&'static self, value: &'a mut Option<T>) -> Result<Inside<'a, T>, Refused> {
        if self.exchange(value)? { Ok(Inside { key: self, value }) } else { Err(Refused::Borrowed) }
    }

    /// False, with nothing done, while somebody looks at the value.
    fn exchange(&'static self, value: &mut Option<T>) -> Result<bool, Refused> {
        self.value
            .try_with(|slot| slot.try_borrow_mut().map(|mut slot| std::mem::swap(&mut *slot, value)).is_ok())
            .map_err(|_| Refused::ThreadEnding)
    }
}

impl<T: Clone + 'static> LocalKey<T> {
    /// A clone of the value of the innermost scope.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn get(&'static self) -> T {
        self.with(T::clone)
    }

    /// A clone of the value of the innermost scope.
    ///
    /// # Errors
    /// [`AccessError`] when there is none.
    pub fn try_get(&'static self) -> Result<T, AccessError> {
        self.try_with(T::clone)
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// A scope that has been entered; dropping it leaves the scope, also when the code inside panics.
struct Inside<'a, T: 'static> {
    key: &'static LocalKey<T>,
    value: &'a mut Option<T>,
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        // Nothing looks at the value any more: whoever did was called from inside the scope and has returned. And a
        // thread-local that was there on entry is there until the thread has left this frame.
        let left = self.key.exchange(self.value);
        debug_assert!(matches!(left, Ok(true)));
    }
}

/// Why a scope can not be entered.
enum Refused {
    Borrowed,
    ThreadEnding,
}

impl Refused {
    #[cold]
    #[track_caller]
    fn panic(self) -> ! {
        match self {
            Refused::Borrowed => panic!(
                "cannot enter a task-local scope while the task-local storage is borrowed: do so outside the closure \
                 given to `with`"
            ),
            Refused::ThreadEnding => {
                panic!("cannot enter a task-local scope while the thread ends: its thread-locals are gone")
            }
        }
    }
}

pin_project! {
    /// The future of [`LocalKey::scope`].
    ///
    /// # Cancel safety
    /// That of the future inside.
    #[must_use = "futures do nothing unless polled"]
    pub struct TaskLocalFuture<T, F>
    where
        T: 'static,
    {
        key: &'static LocalKey<T>,
        value: Option<T>,
        // Empty once it was ready: what it holds is dropped where the value can be seen.
        #[pin]
        future: Option<F>,
    }

    impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                // If the scope can not be entered, the future drops without it, with the fields.
                let _ = this.key.enter(this.value).map(|_inside| this.future.set(None));
            }
        }
    }
}

impl<T, F> TaskLocalFuture<T, F> {
    /// Takes the value out; afterwards the future's code finds none.
    ///
    /// `None` when it was taken before.
    ///
    /// # Examples
    /// ```
    /// wakeline_runtime::task_local! { static KEY: u32; }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().build()?;
    /// let mut scope = Box::pin(KEY.scope(42, async { KEY.get() }));
    /// assert_eq!(runtime.block_on(scope.as_mut()), 42);
    /// assert_eq!(scope.as_mut().take_value(), Some(42));
    /// assert_eq!(scope.as_mut().take_value(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_value(self: Pin<&mut Self>) -> Option<T> {
        self.project().value.take()
    }
}

impl<T, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _inside = match this.key.enter(this.value) {
            Ok(inside) => inside,
            Err(refused) => refused.panic(),
        };
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("`TaskLocalFuture` polled after completion")
        };
        let output = std::task::ready!(future.poll(cx));
        this.future.set(None);
        Poll::Ready(output)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture").field("value", &self.value).finish_non_exhaustive()
    }
}

/// A task-local was looked at outside its scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError {
    _private: (),
}

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task-local value not set")
    }
}

impl std::error::Error for AccessError {}

#[cfg(all(test, not(loom)))]
mod tests;
