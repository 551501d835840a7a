//! The states of a connection and the table of their transitions (RFC 9293 3.3.2, figure 5).
//!
//! LISTEN and a passive opener's SYN-RECEIVED are not here: a listener is a socket of its own kind, and a half-open
//! connection is an entry in its SYN queue (see `listen`). SYN-RECEIVED here is that of a simultaneous open, and of a
//! request in the moment in which its ACK arrives.

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// What moves a connection from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The user opens actively, and a SYN goes out.
    Open,
    /// A SYN arrives.
    Syn,
    /// A SYN arrives that acknowledges ours.
    SynAck,
    /// Our SYN is acknowledged.
    AckOfSyn,
    /// The user has no more to send.
    Close,
    /// The peer's FIN arrives, in order.
    Fin,
    /// Our FIN is acknowledged.
    AckOfFin,
    /// A reset arrives, or we give up.
    Abort,
}

impl State {
    /// Every state, in the RFC's order.
    pub(crate) const ALL: [State; 10] = [
        State::Closed,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// The state that follows, or `None` when `cause` changes nothing here.
    pub(crate) const fn after(self, cause: Cause) -> Option<State> {
        Some(match (self, cause) {
            (State::Closed, Cause::Open) => State::SynSent,
            (State::SynSent, Cause::Syn) => State::SynReceived,
            (State::SynSent, Cause::SynAck) => State::Established,
            (State::SynReceived, Cause::AckOfSyn) => State::Established,
            (State::SynReceived | State::Established, Cause::Close) => State::FinWait1,
            (State::SynSent, Cause::Close) => State::Closed,
            (State::SynReceived | State::Established, Cause::Fin) => State::CloseWait,
            (State::FinWait1, Cause::Fin) => State::Closing,
            (State::FinWait1, Cause::AckOfFin) => State::FinWait2,
            (State::FinWait2, Cause::Fin) => State::TimeWait,
            (State::CloseWait, Cause::Close) => State::LastAck,
            (State::Closing, Cause::AckOfFin) => State::TimeWait,
            (State::LastAck, Cause::AckOfFin) => State::Closed,
            (State::Closed, _) => return None,
            (_, Cause::Abort) => State::Closed,
            _ => return None,
        })
    }

    /// The name that the kernel's tracepoints print.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            State::Closed => "TCP_CLOSE",
            State::SynSent => "TCP_SYN_SENT",
            State::SynReceived => "TCP_SYN_RECV",
            State::Established => "TCP_ESTABLISHED",
            State::FinWait1 => "TCP_FIN_WAIT1",
            State::FinWait2 => "TCP_FIN_WAIT2",
            State::CloseWait => "TCP_CLOSE_WAIT",
            State::Closing => "TCP_CLOSING",
            State::LastAck => "TCP_LAST_ACK",
            State::TimeWait => "TCP_TIME_WAIT",
        }
    }

    /// Whether both sides know each other's sequence numbers.
    #[inline]
    pub(crate) const fn is_synchronized(self) -> bool {
        !matches!(self, State::Closed | State::SynSent | State::SynReceived)
    }

    /// Whether the peer may still send text.
    #[inline]
    pub(crate) const fn may_receive(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Whether there may be text or a FIN of ours to send, or to send again.
    #[inline]
    pub(crate) const fn may_transmit(self) -> bool {
        matches!(self, State::Established | State::CloseWait | State::FinWait1 | State::Closing | State::LastAck)
    }

    /// Whether the user may still write.
    #[inline]
    pub(crate) const fn may_send(self) -> bool {
        matches!(self, State::Established | State::CloseWait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figure 5 as a table; `.` means that nothing changes.
    const GOLDEN: &str = "\
                 Open      Syn       SynAck    AckOfSyn  Close     Fin       AckOfFin  Abort
Closed           SynSent   .         .         .         .         .         .         .
SynSent          .         SynReceived Established .     Closed    .         .         Closed
SynReceived      .         .         .         Established FinWait1 CloseWait .        Closed
Established      .         .         .         .         FinWait1  CloseWait .         Closed
FinWait1         .         .         .         .         .         Closing   FinWait2  Closed
FinWait2         .         .         .         .         .         TimeWait  .         Closed
CloseWait        .         .         .         .         LastAck   .         .         Closed
Closing          .         .         .         .         .         .         TimeWait  Closed
LastAck          .         .         .         .         .         .         Closed    Closed
TimeWait         .         .         .         .         .         .         .         Closed
";

    #[test]
    fn transitions_are_those_of_figure_5() {
        const CAUSES: [Cause; 8] = [
            Cause::Open,
            Cause::Syn,
            Cause::SynAck,
            Cause::AckOfSyn,
            Cause::Close,
            Cause::Fin,
            Cause::AckOfFin,
            Cause::Abort,
        ];
        let cell = |next: Option<State>| next.map_or(".".to_owned(), |state| format!("{state:?}"));
        let mut table = vec![CAUSES.map(|cause| format!("{cause:?}")).to_vec()];
        for state in State::ALL {
            let row = CAUSES.map(|cause| cell(state.after(cause)));
            table.push([vec![format!("{state:?}")], row.to_vec()].concat());
        }
        let golden: Vec<Vec<&str>> = GOLDEN.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(table, golden);
    }
}
