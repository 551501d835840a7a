//! What a control block remembers in bits and small words: what is due, done or wished, and what its timer is for.

bitflags::bitflags! {
    /// What is due, done or wished.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Flags: u32 {
        /// A SYN, or a SYN-ACK, is to be sent (again).
        const SYN_DUE = 1 << 0;
        /// The oldest segment is to be sent again.
        const RETRANSMIT_DUE = 1 << 1;
        /// A closed window is to be probed.
        const PROBE_DUE = 1 << 2;
        /// The user will write no more; a FIN follows the text.
        const FIN_QUEUED = 1 << 3;
        /// The FIN has been sent.
        const FIN_SENT = 1 << 4;
        /// TCP_NODELAY.
        const NODELAY = 1 << 5;
        /// Text flows in both directions, so acknowledgements wait for the answer (`pingpong`).
        const PINGPONG = 1 << 6;
        /// The user has closed and will not read.
        const NO_USER = 1 << 7;
        /// The SYN was sent more than once.
        const SYN_REPEATED = 1 << 8;
        /// The SYN has just been acknowledged.
        const SYN_ACKED = 1 << 9;
        /// Text has arrived; the first one starts the quick phase.
        const TEXT_SEEN = 1 << 10;
        /// The peer's FIN has arrived, in order.
        const FIN_RECEIVED = 1 << 11;
        /// What is to be acknowledged ended in less than a full segment (`ICSK_ACK_PUSHED`): more may not come.
        const PUSHED = 1 << 13;
        /// The timer has overruled silly-window avoidance: what the window takes is sent.
        const OVERRIDE = 1 << 12;
        /// New text is to be sent as a loss probe, whatever the window.
        const PROBE_NEW = 1 << 14;
        /// The last segment is to be sent again as a loss probe.
        const PROBE_AGAIN = 1 << 15;
        /// A mark of the network's is echoed (`TCP_ECN_DEMAND_CWR`).
        const ECN_ECHO = 1 << 16;
        /// The peer marks its segments.
        const ECN_SEEN = 1 << 17;
        /// The peer is to be told that the window has shrunk (`TCP_ECN_QUEUE_CWR`).
        const CWR_DUE = 1 << 18;
        /// SO_RCVBUF was set (`SOCK_RCVBUF_LOCK`).
        const RCVBUF_LOCK = 1 << 19;
        /// SO_SNDBUF was set.
        const SNDBUF_LOCK = 1 << 20;
        /// Segments become smaller when large ones seem to vanish.
        const MTU_PROBING = 1 << 21;
        /// The peer's FIN has been seen, in order or not.
        const FIN_SEEN = 1 << 22;
        /// The user has shut down reading (`RCV_SHUTDOWN`).
        const NO_READER = 1 << 23;
    }
}

/// Whether an acknowledgement is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckDue {
    No,
    /// With the next segment, or when `ack_at` has come.
    Delayed,
    /// With the next poll.
    Now,
}

/// What `timer_at` is for. Only one of them runs at a time; a persist timer only while nothing is out (RFC 9293 3.8.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Off,
    Retransmit,
    Persist,
    /// RACK waits for what may only be late (RFC 8985 6.3).
    Reorder,
    /// A tail loss probe (RFC 8985 7.2).
    LossProbe,
}
