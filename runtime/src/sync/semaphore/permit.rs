//! The permits that a semaphore has given out.

use crate::sync::semaphore::counting::Semaphore;
use std::ptr;
use std::sync::Arc;

/// Permits of a [`Semaphore`]; from [`Semaphore::acquire`] and its variants. Dropping it gives them back.
///
/// # Examples
/// See [`Semaphore`].
#[clippy::has_significant_drop]
#[must_use = "dropping it gives the permits back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// As [`SemaphorePermit`], with a reference to the semaphore of its own and so without a lifetime; from
/// [`Semaphore::acquire_owned`] and its variants.
///
/// # Examples
/// See [`Semaphore::acquire_owned`].
#[clippy::has_significant_drop]
#[must_use = "dropping it gives the permits back at once"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl<'a> SemaphorePermit<'a> {
    /// What a caller that has taken `permits` from the semaphore holds.
    #[inline]
    pub(crate) fn of(semaphore: &'a Semaphore, permits: usize) -> SemaphorePermit<'a> {
        semaphore.told_taken(permits);
        SemaphorePermit { semaphore, permits }
    }

    /// Takes the permits away for good: they do not go back.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(2);
    /// semaphore.try_acquire()?.forget();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// # Ok::<(), wakeline_runtime::sync::TryAcquireError>(())
    /// ```
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to these.
    ///
    /// # Panics
    /// When they are of another semaphore.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(3);
    /// let mut permits = semaphore.try_acquire()?;
    /// permits.merge(semaphore.try_acquire_many(2)?);
    /// assert_eq!(permits.num_permits(), 3);
    /// # Ok::<(), wakeline_runtime::sync::TryAcquireError>(())
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(ptr::eq(self.semaphore, other.semaphore), "merging permits from different semaphore instances");
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Splits `n` permits off; `None`, and nothing changes, when there are fewer.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(3);
    /// let mut permits = semaphore.try_acquire_many(3)?;
    /// drop(permits.split(1));
    /// assert_eq!((permits.num_permits(), semaphore.available_permits()), (2, 1));
    /// assert!(permits.split(3).is_none());
    /// # Ok::<(), wakeline_runtime::sync::TryAcquireError>(())
    /// ```
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(n)?;
        Some(SemaphorePermit { semaphore: self.semaphore, permits: n })
    }

    /// The semaphore that these are of.
    #[must_use]
    pub fn semaphore(&self) -> &Semaphore {
        self.semaphore
    }

    /// How many permits this holds.
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }
}

impl OwnedSemaphorePermit {
    /// What a caller that has taken `permits` from the semaphore holds.
    #[inline]
    pub(crate) fn of(semaphore: Arc<Semaphore>, permits: usize) -> OwnedSemaphorePermit {
        semaphore.told_taken(permits);
        OwnedSemaphorePermit { semaphore, permits }
    }

    /// Takes the permits away for good: they do not go back.
    ///
    /// # Examples
    /// See [`SemaphorePermit::forget`].
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to these.
    ///
    /// # Panics
    /// When they are of another semaphore.
    ///
    /// # Examples
    /// See [`SemaphorePermit::merge`].
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(Arc::ptr_eq(&self.semaphore, &other.semaphore), "merging permits from different semaphore instances");
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Splits `n` permits off; `None`, and nothing changes, when there are fewer.
    ///
    /// # Examples
    /// See [`SemaphorePermit::split`].
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(n)?;
        Some(OwnedSemaphorePermit { semaphore: self.semaphore.clone(), permits: n })
    }

    /// The semaphore that these are of.
    #[must_use]
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    /// How many permits this holds.
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.add_permits(self.permits);
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.add_permits(self.permits);
    }
}
