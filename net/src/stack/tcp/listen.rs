//! Listeners and their two queues: half-open connections (the SYN queue) and established ones that nobody has accepted.
//!
//! As in Linux an entry of the SYN queue is small, stands in the same table as connections and only becomes a socket with
//! the handshake's last segment. Both queues hold one more than the backlog says.

use crate::stack::demux::{Binding, FourTuple};
use crate::stack::endpoint::Endpoint;
use crate::stack::socket_wq::SocketWq;
use crate::stack::tcp::control_block::CHALLENGE_INTERVAL;
use crate::stack::tcp::defer::retransmissions_in;
use crate::stack::tcp::options::Agreed;
use crate::stack::tcp::rto::RttEstimator;
use crate::stack::tcp::settings::Settings;
use crate::tcp_info::{TcpInfo, TcpState};
use crate::wire::tcp::SeqNumber;
use std::collections::VecDeque;
use wakeline_runtime::clock::Instant;

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
    /// How many of these have not had their SYN-ACK sent again.
    pub(crate) young: u32,
    /// When a cookie was last given out, which is when the SYN queue was full (`tcp_synq_overflow`).
    pub(crate) overflowed_at: Option<Instant>,
    pub(crate) wq: SocketWq,
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

impl Request {
    /// A request that was just answered.
    pub(crate) fn new(
        (flow, listener): (FourTuple, u32),
        (iss, irs): (SeqNumber, SeqNumber),
        agreed: Agreed,
        now: Instant,
    ) -> Request {
        Request {
            flow,
            listener,
            iss,
            irs,
            agreed,
            timeouts: 0,
            is_repeated: false,
            is_acked: false,
            answered_ms: None,
            sent_at: now,
            expires_at: now.saturating_add(RttEstimator::new().rto()),
        }
    }

    /// Whether a segment that is out of place may be answered: the first at once, then one in half a second
    /// (`tcp_oow_rate_limited`). The time wraps after 49 days, which an entry does not see.
    pub(crate) fn may_answer(&mut self, now: Instant) -> bool {
        let now_ms = (now.as_nanos() / 1_000_000) as u32;
        let recent =
            self.answered_ms.is_some_and(|ms| u128::from(now_ms.wrapping_sub(ms)) < CHALLENGE_INTERVAL.as_millis());
        if !recent {
            self.answered_ms = Some(now_ms);
        }
        !recent
    }
}

impl Listener {
    /// Half of the queue is kept for young requests: while it is more than half full, and most in it are old, these
    /// get fewer retries (`reqsk_timer_handler`).
    pub(crate) fn syn_ack_retries(&self, most: u8) -> u8 {
        let mut retries = most;
        if self.half_open * 2 > self.backlog.unwrap_or(0).max(8) {
            let mut young = self.young * 2;
            while retries > 2 && self.half_open >= young {
                retries -= 1;
                young = young.saturating_mul(2);
            }
        }
        retries
    }

    /// TCP_DEFER_ACCEPT as a number of retransmissions of the SYN-ACK (`secs_to_retrans`).
    pub(crate) fn defer_accept(&self) -> u8 {
        retransmissions_in(self.settings.defer_accept_s)
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
    /// How often its time was over without an answer (`num_timeout`).
    pub(crate) timeouts: u8,
    /// The SYN-ACK was sent more than once, so its round trip says nothing.
    pub(crate) is_repeated: bool,
    /// The handshake's last segment has come, and was turned away (`acked`): there was no room, or no data yet.
    pub(crate) is_acked: bool,
    /// When a segment that was out of place was last answered.
    pub(crate) answered_ms: Option<u32>,
    /// When the SYN-ACK was last sent.
    pub(crate) sent_at: Instant,
    pub(crate) expires_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::flow_table::ENTRY_COST_MAX;

    #[test]
    fn an_entry_of_the_syn_queue_is_small() {
        // With its place in the slab, in the demux, and in the timers; tables as they are when they have just grown.
        let timer = size_of::<(Instant, u32)>() + size_of::<u32>();
        let sum = size_of::<Option<Request>>() + ENTRY_COST_MAX + timer;
        assert!(sum <= 160, "{} + {ENTRY_COST_MAX} + {timer}", size_of::<Option<Request>>());
    }
}
