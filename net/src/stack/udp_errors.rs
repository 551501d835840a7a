//! The error queue of a UDP socket: what the network says about its datagrams, one by one (`sk_error_queue`).

use crate::extended_error::{ErrorOrigin, ExtendedError};
use crate::stack::endpoint::{Endpoint, Family};
use crate::stack::error::SocketError;
use crate::stack::report::Report;
use std::collections::VecDeque;

/// See the [module](self). Bounded: what comes while it is full is not told, as when Linux's receive buffer is full.
#[derive(Debug, Default)]
pub(crate) struct ErrorQueue {
    // A box of its own, because hardly a socket has one.
    #[expect(clippy::box_collection, reason = "a pointer instead of four words in every socket")]
    errors: Option<Box<VecDeque<(SocketError, ExtendedError)>>>,
}

/// As many as fit into Linux's default receive buffer, about.
const ERRORS_MAX: usize = 256;

impl ErrorQueue {
    /// Whether there is nothing to tell.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_none()
    }

    /// `ip_icmp_error`: somebody has reported about a datagram.
    pub(crate) fn push_report(&mut self, report: &Report, family: Family) {
        let Report { flow, said, from, .. } = report;
        let told = ExtendedError {
            errno: said.error.errno(),
            origin: if flow.is_v4() { ErrorOrigin::Icmp } else { ErrorOrigin::Icmp6 },
            kind: from.kind,
            code: from.code,
            info: said.mtu.unwrap_or(0),
            offender: Some(family.show(Endpoint::new(from.addr, 0)).ip()),
            destination: family.show(flow.remote),
        };
        self.push(said.error, told);
    }

    /// `ip_local_error`: a datagram of more than `mtu` bytes with its headers was refused.
    pub(crate) fn push_too_long(&mut self, to: Endpoint, family: Family, mtu: usize) {
        let error = SocketError::MessageTooLong;
        let told = ExtendedError {
            errno: error.errno(),
            origin: ErrorOrigin::Local,
            kind: 0,
            code: 0,
            info: mtu as u32,
            offender: None,
            destination: family.show(to),
        };
        self.push(error, told);
    }

    fn push(&mut self, error: SocketError, told: ExtendedError) {
        let errors = self.errors.get_or_insert_default();
        if errors.len() < ERRORS_MAX {
            errors.push_back((error, told));
        }
    }

    /// What another queue holds comes behind this one's. Says whether there was anything.
    pub(crate) fn append(&mut self, other: ErrorQueue) -> bool {
        let Some(others) = other.errors else { return false };
        let errors = self.errors.get_or_insert_default();
        errors.extend(others.into_iter().take(ERRORS_MAX - errors.len()));
        true
    }

    /// Takes the oldest. What ICMP says next is what is `pending` on the socket from now on (`sock_dequeue_err_skb`).
    pub(crate) fn pop(&mut self, pending: &mut Option<SocketError>) -> Option<ExtendedError> {
        let errors = self.errors.as_mut()?;
        let (_, told) = errors.pop_front()?;
        let is_icmp = |told: &ExtendedError| told.origin != ErrorOrigin::Local;
        match errors.front().filter(|(_, next)| is_icmp(next)) {
            Some((next, _)) => *pending = Some(*next),
            None if is_icmp(&told) => *pending = None,
            None => {}
        }
        if errors.is_empty() {
            self.errors = None;
        }
        Some(told)
    }
}
