//! [`Semaphore`].

use crate::sync::blocking;
use crate::sync::permits::{Acquire, Permits, Source};
use crate::sync::semaphore::error::{AcquireError, TryAcquireError};
use crate::sync::semaphore::permit::{OwnedSemaphorePermit, SemaphorePermit};
use crate::trace::{Place, Resource, ResourceKind};
use std::future::Future;
use std::sync::Arc;

/// A counting semaphore: so many permits, and tasks that wait for some.
///
/// Fair: permits go to whoever asked first. Somebody who asks for many is not overtaken by one who asks for few and came
/// later: what comes back is saved for the one in front until it has all that it asked for. While somebody waits,
/// [`available_permits`](Semaphore::available_permits) is 0 and `try_acquire` finds nothing, as in tokio. It is usable under
/// any executor.
///
/// # Examples
/// At most two at a time:
/// ```
/// use wakeline_runtime::sync::{AcquireError, Semaphore};
///
/// static DOWNLOADS: Semaphore = Semaphore::const_new(2);
///
/// async fn download(url: &str) -> Result<usize, AcquireError> {
///     let _permit = DOWNLOADS.acquire().await?;
///     Ok(url.len()) // .. having fetched it
/// } // dropping the permit gives it back
/// # futures_lite::future::block_on(async { assert_eq!(download("here").await.unwrap(), 4) });
/// ```
#[derive(Debug)]
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// The most permits that a semaphore can have: `usize::MAX >> 3`.
    pub const MAX_PERMITS: usize = Permits::MAX;

    /// A semaphore with `permits` permits.
    ///
    /// # Panics
    /// When `permits` is more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    /// ```
    /// let semaphore = wakeline_runtime::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.available_permits(), 3);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(permits: usize) -> Semaphore {
        assert_in_range(permits);
        let resource = Resource::new("Semaphore", ResourceKind::Sync, Place::here());
        resource.permits(permits, "override");
        Semaphore { permits: Permits::new(permits).told_of(resource) }
    }

    /// As [`new`](Semaphore::new), for statics.
    ///
    /// # Panics
    /// When `permits` is more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// static SEMAPHORE: Semaphore = Semaphore::const_new(3);
    /// assert_eq!(SEMAPHORE.available_permits(), 3);
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    #[track_caller]
    pub const fn const_new(permits: usize) -> Semaphore {
        assert_in_range(permits);
        Semaphore { permits: Permits::new(permits) }
    }

    /// So many permits are not available any more.
    #[inline]
    pub(super) fn told_taken(&self, permits: usize) {
        self.permits.resource().permits(permits, "sub");
    }

    /// One without permits that is closed.
    pub(crate) fn new_closed() -> Semaphore {
        Semaphore { permits: Permits::new_closed() }
    }

    #[cfg(not(loom))]
    pub(crate) const fn const_new_closed() -> Semaphore {
        Semaphore { permits: Permits::new_closed() }
    }

    /// How many permits somebody who asks now could have at once; none while somebody waits.
    ///
    /// # Examples
    /// ```
    /// let semaphore = wakeline_runtime::sync::Semaphore::new(3);
    /// let two = semaphore.try_acquire_many(2)?;
    /// assert_eq!(semaphore.available_permits(), 1);
    /// # Ok::<(), wakeline_runtime::sync::TryAcquireError>(())
    /// ```
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.permits.available()
    }

    /// Adds `n` new permits; those who wait are served first.
    ///
    /// # Panics
    /// When there would be more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    /// ```
    /// let semaphore = wakeline_runtime::sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// assert!(semaphore.try_acquire_many(2).is_ok());
    /// ```
    #[inline]
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        // Before anybody can take them, so that the observer's sum is never below zero.
        self.permits.resource().permits(n, "add");
        self.permits.give(n);
    }

    /// Takes up to `n` of the available permits away for good, and returns how many it were.
    ///
    /// # Examples
    /// ```
    /// let semaphore = wakeline_runtime::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.forget_permits(2), 2);
    /// assert_eq!(semaphore.forget_permits(2), 1);
    /// ```
    pub fn forget_permits(&self, n: usize) -> usize {
        let forgotten = self.permits.forget(n);
        self.told_taken(forgotten);
        forgotten
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it loses its place in the queue, and nothing else: a permit that it was handed goes on to the
    /// next.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// # futures_lite::future::block_on(async {
    /// let semaphore = Semaphore::new(2);
    /// let permit = semaphore.acquire().await?;
    /// assert_eq!(semaphore.available_permits(), 1);
    /// drop(permit);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// # Ok::<(), wakeline_runtime::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        Acquire::some(self, 1, "Semaphore::acquire", |got| Ok(SemaphorePermit::of(got?, 1)))
    }

    /// Waits for `n` permits, and gets all of them at once.
    ///
    /// No permits at all (`n` = 0) are there at once, unless the semaphore is closed.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Cancel safety
    /// As [`acquire`](Semaphore::acquire); also what was saved for it goes on.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// # futures_lite::future::block_on(async {
    /// let semaphore = Semaphore::new(5);
    /// let three = semaphore.acquire_many(3).await?;
    /// assert_eq!(semaphore.available_permits(), 2);
    /// # drop(three);
    /// # Ok::<(), wakeline_runtime::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire_many(&self, n: u32) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        Acquire::some(self, n, "Semaphore::acquire_many", move |got| Ok(SemaphorePermit::of(got?, n as usize)))
    }

    /// Takes a permit if one is there and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError::Closed`] when the semaphore was closed, [`TryAcquireError::NoPermits`] when there is none, or
    /// somebody waits.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{Semaphore, TryAcquireError};
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire()?;
    /// assert_eq!(semaphore.try_acquire().err(), Some(TryAcquireError::NoPermits));
    /// # Ok::<(), TryAcquireError>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.permits.try_take(1)?;
        Ok(SemaphorePermit::of(self, 1))
    }

    /// As [`try_acquire`](Semaphore::try_acquire), for `n` permits or none.
    ///
    /// # Errors
    /// As [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Panics
    /// When `n` is more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(3);
    /// let three = semaphore.try_acquire_many(3)?;
    /// # Ok::<(), wakeline_runtime::sync::TryAcquireError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        assert_in_range(n as usize);
        self.permits.try_take(n as usize)?;
        Ok(SemaphorePermit::of(self, n as usize))
    }

    /// As [`acquire`](Semaphore::acquire) for threads: the calling one sleeps meanwhile, in the same queue as tasks.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`acquire`](Semaphore::acquire) there.
    ///
    /// # Examples
    /// ```
    /// let semaphore = wakeline_runtime::sync::Semaphore::new(1);
    /// let permit = semaphore.blocking_acquire()?;
    /// # Ok::<(), wakeline_runtime::sync::AcquireError>(())
    /// ```
    #[track_caller]
    pub fn blocking_acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        blocking::wait_for("Semaphore::blocking_acquire", "acquire().await", self.acquire())
    }

    /// As [`acquire_many`](Semaphore::acquire_many) for threads.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`acquire_many`](Semaphore::acquire_many) there.
    ///
    /// # Examples
    /// ```
    /// let semaphore = wakeline_runtime::sync::Semaphore::new(3);
    /// let three = semaphore.blocking_acquire_many(3)?;
    /// # Ok::<(), wakeline_runtime::sync::AcquireError>(())
    /// ```
    #[track_caller]
    pub fn blocking_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        blocking::wait_for("Semaphore::blocking_acquire_many", "acquire_many(n).await", self.acquire_many(n))
    }

    /// As [`acquire`](Semaphore::acquire), with a permit that owns a reference to the semaphore and so has no lifetime.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Cancel safety
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// # futures_lite::future::block_on(async {
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let permit = semaphore.clone().acquire_owned().await?;
    /// std::thread::spawn(move || drop(permit)).join().expect("the thread only gives back");
    /// assert_eq!(semaphore.available_permits(), 1);
    /// # Ok::<(), wakeline_runtime::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire_owned(self: Arc<Self>) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> {
        Acquire::some(self, 1, "Semaphore::acquire_owned", |got| Ok(OwnedSemaphorePermit::of(got?, 1)))
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Semaphore::acquire_many).
    ///
    /// # Examples
    /// See [`acquire_owned`](Semaphore::acquire_owned).
    #[inline]
    pub fn acquire_many_owned(
        self: Arc<Self>,
        n: u32,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> {
        Acquire::some(self, n, "Semaphore::acquire_many_owned", move |got| {
            Ok(OwnedSemaphorePermit::of(got?, n as usize))
        })
    }

    /// As [`try_acquire`](Semaphore::try_acquire), with a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    /// As [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// let permit = Arc::new(Semaphore::new(1)).try_acquire_owned()?;
    /// # Ok::<(), wakeline_runtime::sync::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.permits.try_take(1)?;
        Ok(OwnedSemaphorePermit::of(self, 1))
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many), with a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    /// As [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Panics
    /// When `n` is more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    /// See [`try_acquire_owned`](Semaphore::try_acquire_owned).
    #[inline]
    #[track_caller]
    pub fn try_acquire_many_owned(self: Arc<Self>, n: u32) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        assert_in_range(n as usize);
        self.permits.try_take(n as usize)?;
        Ok(OwnedSemaphorePermit::of(self, n as usize))
    }

    /// As [`acquire_owned`](Semaphore::acquire_owned) for threads.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`acquire_owned`](Semaphore::acquire_owned) there.
    ///
    /// # Examples
    /// See [`blocking_acquire`](Semaphore::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        blocking::wait_for("Semaphore::blocking_acquire_owned", "acquire_owned().await", self.acquire_owned())
    }

    /// As [`acquire_many_owned`](Semaphore::acquire_many_owned) for threads.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore was closed, also while it waits.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`acquire_many_owned`](Semaphore::acquire_many_owned)
    /// there.
    ///
    /// # Examples
    /// See [`blocking_acquire`](Semaphore::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_many_owned(self: Arc<Self>, n: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        blocking::wait_for(
            "Semaphore::blocking_acquire_many_owned",
            "acquire_many_owned(n).await",
            self.acquire_many_owned(n),
        )
    }

    /// Closes the semaphore: it gives out nothing any more, and all who wait get an error.
    ///
    /// Permits that are out stay valid, and come back as before.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{Semaphore, TryAcquireError};
    ///
    /// # futures_lite::future::block_on(async {
    /// let semaphore = Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.acquire().await.is_err());
    /// assert_eq!(semaphore.try_acquire().err(), Some(TryAcquireError::Closed));
    /// # });
    /// ```
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether the semaphore was closed.
    ///
    /// # Examples
    /// See [`close`](Semaphore::close).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl Source for &Semaphore {
    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl Source for Arc<Semaphore> {
    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

#[track_caller]
const fn assert_in_range(permits: usize) {
    assert!(permits <= Permits::MAX, "more permits than Semaphore::MAX_PERMITS, which is usize::MAX >> 3");
}
