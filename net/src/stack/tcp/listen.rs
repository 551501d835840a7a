//! Listeners and their two queues: half-open connections (the SYN queue) and established ones that nobody has accepted.
//!
//! As in Linux an entry of the SYN queue is small, stands in the same table as connections and only becomes a socket with
//! the handshake's last segment. Both queues hold one more than the backlog says.

use crate::stack::demux::{Binding, FourTuple};
use crate::stack::endpoint::Endpoint;
use crate::stack::tcp::options::Agreed;
use crate::stack::tcp::settings::Settings;
use crate::tcp_info::{TcpInfo, TcpState};
use crate::wire::tcp::SeqNumber;
use std::collections::VecDeque;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::WaitList;

/// A socket in LISTEN.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: Endpoint,
    pub(crate) binding: Binding,
    /// How many connections may wait to be accepted; `None` while the socket is bound and does not listen.
    pub(crate) backlog: Option<u32>,
    /// The places of established connections, oldest first.
    pub(crate) accept_queue: VecDeque<u32>,
    /// How many half-open connections there are.
    pub(crate) half_open: u32,
    pub(crate) wait: WaitList,
    /// What the connections will have that it accepts.
    pub(crate) settings: Settings,
    /// The host went down.
    pub(crate) is_down: bool,
}

impl Listener {
    /// `sk_acceptq_is_full`: the comparison is "greater", so that `listen(n)` holds `n + 1`.
    pub(crate) fn accept_queue_is_full(&self) -> bool {
        self.accept_queue.len() as u64 > u64::from(self.backlog.unwrap_or(0))
    }

    /// What `TCP_INFO` says of a listener (`tcp_get_info`): its queue, and how long it may become.
    pub(crate) fn info(&self) -> TcpInfo {
        TcpInfo {
            state: if self.backlog.is_some() { TcpState::Listen } else { TcpState::Closed },
            unacked: self.accept_queue.len() as u32,
            sacked: self.backlog.unwrap_or(0),
            ..TcpInfo::default()
        }
    }

    /// `inet_csk_reqsk_queue_is_full`
    pub(crate) fn syn_queue_is_full(&self) -> bool {
        self.half_open > self.backlog.unwrap_or(0)
    }
}

/// A half-open connection (`request_sock`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) flow: FourTuple,
    /// The listener's place.
    pub(crate) listener: u32,
    pub(crate) iss: SeqNumber,
    pub(crate) irs: SeqNumber,
    pub(crate) agreed: Agreed,
    /// How often the SYN-ACK was sent again.
    pub(crate) retries: u8,
    /// When the SYN-ACK was last sent.
    pub(crate) sent_at: Instant,
    pub(crate) expires_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_syn_queue_is_small() {
        assert!(size_of::<Request>() <= 160, "{}", size_of::<Request>());
    }
}
