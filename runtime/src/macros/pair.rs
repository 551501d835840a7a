//! The inner node of a tree of futures.

use std::pin::Pin;

pin_project_lite::pin_project! {
    /// Two neighbours; the left one is dropped first.
    #[derive(Debug)]
    pub struct Pair<L, R> {
        #[pin]
        left: L,
        #[pin]
        right: R,
    }
}

impl<L, R> Pair<L, R> {
    /// Puts two neighbours together.
    #[inline]
    pub fn new(left: L, right: R) -> Pair<L, R> {
        Pair { left, right }
    }

    #[inline]
    pub(super) fn left(self: Pin<&mut Self>) -> Pin<&mut L> {
        self.project().left
    }

    #[inline]
    pub(super) fn right(self: Pin<&mut Self>) -> Pin<&mut R> {
        self.project().right
    }
}
