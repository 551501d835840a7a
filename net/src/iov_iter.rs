//! Where the bytes of a call lie: in one buffer (`ITER_UBUF`), or in several that follow each other (`ITER_IOVEC`).

use crate::syscall::Syscall;
use std::io::{IoSlice, IoSliceMut};

/// What is to be sent (`ITER_SOURCE`).
pub(crate) trait IterSource {
    /// The system call that sends it, and what it is told of its size.
    fn call(&self) -> (Syscall, usize);

    /// The buffers, in their order.
    fn bufs(&self) -> impl Iterator<Item = &[u8]>;

    /// How many bytes there are in all.
    #[inline]
    fn count(&self) -> usize {
        self.bufs().fold(0, |sum, buf| sum.saturating_add(buf.len()))
    }
}

/// Room for what is received (`ITER_DEST`).
pub(crate) trait IterDest {
    /// The system call that fills it, and what it is told of its size.
    fn call(&self) -> (Syscall, usize);

    /// The buffers, in their order.
    fn bufs(&mut self) -> impl Iterator<Item = &mut [u8]>;

    /// Whether there is no room at all.
    #[inline]
    fn is_full(&mut self) -> bool {
        self.bufs().all(|buf| buf.is_empty())
    }
}

impl IterSource for [u8] {
    #[inline]
    fn call(&self) -> (Syscall, usize) {
        (Syscall::Write, self.len())
    }

    #[inline]
    fn bufs(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self)
    }
}

impl IterSource for [IoSlice<'_>] {
    fn call(&self) -> (Syscall, usize) {
        (Syscall::Writev, self.len())
    }

    #[inline]
    fn bufs(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().map(|buf| &**buf)
    }
}

impl IterDest for [u8] {
    #[inline]
    fn call(&self) -> (Syscall, usize) {
        (Syscall::Read, self.len())
    }

    #[inline]
    fn bufs(&mut self) -> impl Iterator<Item = &mut [u8]> {
        std::iter::once(self)
    }
}

impl IterDest for [IoSliceMut<'_>] {
    fn call(&self) -> (Syscall, usize) {
        (Syscall::Readv, self.len())
    }

    #[inline]
    fn bufs(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.iter_mut().map(|buf| &mut **buf)
    }
}
