//! Whose turn it is at an operation: one at a time works on it, and no call is lost. Pure: no lock, no socket, no ring.
//!
//! # State
//! ```text
//!             1 begin                  2 rest
//!    Idle ------------> Busy --------------------------> Idle
//!     |                  | ^ \
//!     | 5 cancel, sever  | |  \ 4 end
//!     v                  v |   v
//!    Over          3 begin    Over
//! ```
//! - 1, 3: [`Turn::begin`]. Who finds it busy leaves a mark, and who is at it works on it once more: the cure that NAPI and tasks
//!   have too, `poll_refs` in io_uring.
//! - 2: [`Turn::rest`]. 4: [`Turn::end`]. 5: [`Turn::cancel`]; of what has not begun, [`Turn::sever`].

/// See the [module](self). `W` is the work, which whoever is at it has in hand.
#[derive(Debug)]
pub(crate) struct Turn<W> {
    phase: Phase,
    /// Somebody called while it was busy.
    again: bool,
    is_cancelled: bool,
    work: Option<W>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Busy,
    Over,
}

/// How work was left.
#[must_use]
#[derive(Debug)]
pub(crate) enum Rested<W> {
    /// Whoever calls next begins.
    Quiet,
    /// Somebody called meanwhile and went: begin once more.
    Called,
    /// It was cancelled meanwhile: tell so, and end it.
    Cancelled(W),
}

impl<W> Turn<W> {
    /// Nobody is at it.
    pub(crate) fn idle(work: Option<W>) -> Turn<W> {
        Turn { phase: Phase::Idle, again: false, is_cancelled: false, work }
    }

    /// Its maker is at it.
    pub(crate) fn busy() -> Turn<W> {
        Turn { phase: Phase::Busy, again: false, is_cancelled: false, work: None }
    }

    /// Takes the work in hand, unless somebody has it, who will then work on it once more.
    pub(crate) fn begin(&mut self) -> Option<W> {
        if self.phase != Phase::Idle {
            self.again = true;
            return None;
        }
        (self.phase, self.again) = (Phase::Busy, false);
        self.work.take()
    }

    /// Puts the work down.
    pub(crate) fn rest(&mut self, work: W) -> Rested<W> {
        if self.is_cancelled {
            return Rested::Cancelled(work);
        }
        (self.phase, self.work) = (Phase::Idle, Some(work));
        if self.again { Rested::Called } else { Rested::Quiet }
    }

    /// There is nothing left to do.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Over;
    }

    /// Gives the work for its last time, unless it is over already, or somebody has it in hand, who will be told.
    pub(crate) fn cancel(&mut self) -> Option<W> {
        self.is_cancelled = true;
        self.sever()
    }

    /// Gives the work for its last time, if nobody is at it.
    pub(crate) fn sever(&mut self) -> Option<W> {
        if self.phase != Phase::Idle {
            return None;
        }
        self.phase = Phase::Over;
        self.work.take()
    }
}
