//! The allocation that the two halves share, and what each may do with it.
//!
//! # References
//! Exactly one [`SenderHalf`] and one [`ReceiverHalf`] point at it. There is no count: [`State`] says who goes last.
//!
//! # Safety
//! A half keeps the memory alive until its own `sender_goes`, `receiver_goes`, or `end` that says `Gone`. Which half may touch
//! which field when is the [state](crate::sync::oneshot::state)'s to say, and each access here names the step that allows it.

use crate::atomic::UnsafeCell;
use crate::sync::oneshot::state::{Closing, Ended, Gone, Seen, State};
use std::fmt;
use std::mem;
use std::ptr::{self, NonNull};
use std::task::Waker;

struct Shared<T> {
    state: State,
    value: UnsafeCell<Option<T>>,
    receiver: UnsafeCell<Option<Waker>>,
    /// Which waker the receiver has put into its place, to be compared when the place may be the sender's already.
    registered: UnsafeCell<Identity>,
    sender: UnsafeCell<Option<Waker>>,
}

/// What [`Waker::will_wake`] compares.
type Identity = (usize, usize);

pub(super) struct SenderHalf<T>(NonNull<Shared<T>>);

pub(super) struct ReceiverHalf<T>(NonNull<Shared<T>>);

// SAFETY: the halves hand over one `T` and two wakers, each touched by one of them at a time as the state says; and wakers may
// be sent.
unsafe impl<T: Send> Send for SenderHalf<T> {}
// SAFETY: a shared reference only reads the state.
unsafe impl<T: Send> Sync for SenderHalf<T> {}
// SAFETY: as for the sender.
unsafe impl<T: Send> Send for ReceiverHalf<T> {}
// SAFETY: a shared reference only reads the state, and whether there is a value, which needs a `&mut` to change by then.
unsafe impl<T: Send> Sync for ReceiverHalf<T> {}

pub(super) fn halves<T>() -> (SenderHalf<T>, ReceiverHalf<T>) {
    let shared = NonNull::from(Box::leak(Box::new(Shared {
        state: State::new(),
        value: UnsafeCell::new(None),
        receiver: UnsafeCell::new(None),
        registered: UnsafeCell::new((0, 0)),
        sender: UnsafeCell::new(None),
    })));
    (SenderHalf(shared), ReceiverHalf(shared))
}

impl<T> SenderHalf<T> {
    /// Ends, with a value or without, and wakes the receiver; gives the value back if the receiver has closed.
    #[inline]
    pub(super) fn end(self, value: Option<T>) -> Result<(), Option<T>> {
        let half = mem::ManuallyDrop::new(self);
        half.end_once(value)
    }

    /// The half must not be used again.
    fn end_once(&self, value: Option<T>) -> Result<(), Option<T>> {
        let shared = self.shared();
        // SAFETY: before `end` the value's place is the sender's.
        let none = shared.value.with_mut(|place| mem::replace(unsafe { &mut *place }, value));
        // Spares a look whether there is something to drop: nobody has sent before.
        mem::forget(none);
        match shared.state.end() {
            Ended::Gone => Ok(()),
            Ended::TakeWakers { receiver } => {
                self.end_and_wake(receiver);
                Ok(())
            }
            Ended::Refused => {
                // SAFETY: refused, so the place is still the sender's.
                let value = shared.value.with_mut(|place| unsafe { &mut *place }.take());
                self.go();
                Err(value)
            }
        }
    }

    fn end_and_wake(&self, receiver: bool) {
        let shared = self.shared();
        // SAFETY: `end` found `RX_WAKER`: the waker is the sender's.
        let waker = if receiver { shared.receiver.with_mut(|place| unsafe { &mut *place }.take()) } else { None };
        // SAFETY: `end` came before any `close`: the sender's waker stays its own.
        let own = shared.sender.with_mut(|place| unsafe { &mut *place }.take());
        self.go();
        if let Some(waker) = waker {
            waker.wake();
        }
        drop(own);
    }

    /// The half must not be used again.
    fn go(&self) {
        if self.shared().state.sender_goes() == Gone::Last {
            // SAFETY: the receiver is gone, and this is the sender's last use.
            unsafe { free(self.0) };
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared().state.is_closed()
    }

    /// Whether the receiver has closed; if not, `waker` is woken when it does.
    pub(super) fn poll_closed(&mut self, waker: &Waker) -> bool {
        let shared = self.shared();
        if shared.state.unregister_sender() {
            return true;
        }
        // SAFETY: neither `TX_WAKER` nor `CLOSED` is set: the place is the sender's until it registers.
        let before = shared.sender.with_mut(|place| unsafe { &mut *place }.replace(waker.clone()));
        drop(before);
        shared.state.register_sender()
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: this half has not gone, so the memory is there; it is only ever shared.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for SenderHalf<T> {
    fn drop(&mut self) {
        // Refused or not, there was no value.
        let _ = self.end_once(None);
    }
}

impl<T> ReceiverHalf<T> {
    /// What there is; if nothing yet, `waker` is woken when there is.
    #[inline]
    pub(super) fn poll(&mut self, waker: &Waker) -> Seen {
        match self.shared().state.look() {
            Seen::Pending { registered } => self.register(waker, registered),
            seen => seen,
        }
    }

    fn register(&mut self, waker: &Waker, registered: bool) -> Seen {
        let shared = self.shared();
        let identity = (waker.data().addr(), ptr::from_ref(waker.vtable()).addr());
        if registered {
            // SAFETY: only the receiver touches it.
            if shared.registered.with(|known| unsafe { *known }) == identity {
                // The waker that is registered was not given away when this poll looked, so it is the same one.
                return Seen::Pending { registered };
            }
            match shared.state.unregister_receiver() {
                Seen::Pending { .. } => {}
                seen => return seen,
            }
        }
        // SAFETY: `RX_WAKER` is not set: the place is the receiver's.
        let before = shared.receiver.with_mut(|place| unsafe { &mut *place }.replace(waker.clone()));
        // SAFETY: only the receiver touches it.
        shared.registered.with_mut(|known| unsafe { *known = identity });
        drop(before);
        shared.state.register_receiver()
    }

    pub(super) fn look(&self) -> Seen {
        self.shared().state.look()
    }

    /// Whether a value can be received; the sender has ended.
    pub(super) fn has_value(&self) -> bool {
        // SAFETY: after `SENT` the place is the receiver's, and what changes it takes the half by value.
        self.shared().value.with(|place| unsafe { &*place }.is_some())
    }

    /// Receives the value, or that there is none; the sender has ended, and is gone or not.
    #[inline]
    pub(super) fn receive(self, sender_gone: bool) -> Option<T> {
        let half = mem::ManuallyDrop::new(self);
        half.receive_once(sender_gone)
    }

    /// The half must not be used again.
    fn receive_once(&self, sender_gone: bool) -> Option<T> {
        // SAFETY: after `SENT` the place is the receiver's.
        let value = self.shared().value.with_mut(|place| unsafe { &mut *place }.take());
        self.go(sender_gone);
        value
    }

    /// The half must not be used again.
    fn go(&self, sender_gone: bool) {
        if sender_gone || self.shared().state.receiver_goes() == Gone::Last {
            // SAFETY: the sender is gone, and this is the receiver's last use.
            unsafe { free(self.0) };
        }
    }

    /// Wants no value any more; one that was sent before can still be received. Wakes the sender.
    pub(super) fn close(&mut self) -> Closing {
        let shared = self.shared();
        let closing = shared.state.close();
        if let Closing::TakeWakers { sender } = closing {
            // SAFETY: closed before it was sent: the sender will not take the receiver's waker.
            let own = shared.receiver.with_mut(|place| unsafe { &mut *place }.take());
            // SAFETY: `close` found `TX_WAKER`: the waker is the receiver's.
            let waker = if sender { shared.sender.with_mut(|place| unsafe { &mut *place }.take()) } else { None };
            if let Some(waker) = waker {
                waker.wake();
            }
            drop(own);
        }
        closing
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: this half has not gone, so the memory is there; it is only ever shared.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for ReceiverHalf<T> {
    fn drop(&mut self) {
        if let Seen::Sent { sender_gone } = self.look() {
            drop(self.receive_once(sender_gone));
            return;
        }
        match self.close() {
            Closing::Sent => drop(self.receive_once(false)),
            Closing::TakeWakers { .. } | Closing::Again => self.go(false),
        }
    }
}

/// Frees what both halves have left, and drops wakers that nobody took.
///
/// # Safety
/// Both halves are gone but for this call.
unsafe fn free<T>(shared: NonNull<Shared<T>>) {
    // SAFETY: it came from a `Box`, and by the caller's promise nobody else points at it.
    drop(unsafe { Box::from_raw(shared.as_ptr()) });
}

impl<T> fmt::Debug for SenderHalf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().state.fmt(f)
    }
}

impl<T> fmt::Debug for ReceiverHalf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().state.fmt(f)
    }
}
