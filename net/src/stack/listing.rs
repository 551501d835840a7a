//! What `ss` lists: one entry for each socket, half-open connection and entry in TIME-WAIT.
//!
//! A stack is listed in pages, so that nobody holds it for long: [`Cursor`] remembers where the last page ended. What
//! changes between two pages may be missed or seen as it was.

use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::tcp_info::{TcpInfo, TcpState};
use std::net::SocketAddr;
use std::time::Duration;

/// A socket, as `ss` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketEntry {
    /// The transport.
    pub proto: SocketProto,
    /// The state. A UDP socket with a peer is established, one without is closed, which `ss` calls UNCONN.
    pub state: TcpState,
    /// Bytes that were not read; on a listener, connections that were not accepted. A UDP socket's are those that its
    /// buffer is charged with.
    pub recv_q: u32,
    /// Bytes that the peer has not acknowledged; on a listener, its backlog.
    pub send_q: u32,
    /// The address of this end.
    pub local: SocketAddr,
    /// The address of the other end, if there is one.
    pub peer: Option<SocketAddr>,
    /// What will happen when nothing does.
    pub timer: Option<SocketTimer>,
    /// The figures of an established connection.
    pub info: Option<Box<TcpInfo>>,
    /// The congestion control of an established connection.
    pub congestion: Option<CongestionChoice>,
}

/// The transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum SocketProto {
    Tcp,
    Udp,
}

/// A timer, as `ss -o` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketTimer {
    /// What for.
    pub kind: SocketTimerKind,
    /// How long until then.
    pub expires_in: Duration,
    /// How often it went off without an answer.
    pub retries: u8,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketTimerKind {
    /// Retransmission (`on`).
    Retransmit,
    /// Asking whether the peer is there (`keepalive`).
    KeepAlive,
    /// The end of TIME-WAIT (`timewait`).
    TimeWait,
    /// Asking whether the peer's window is still closed (`persist`).
    Persist,
}

impl SocketTimerKind {
    /// The name that `ss` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SocketTimerKind::Retransmit => "on",
            SocketTimerKind::KeepAlive => "keepalive",
            SocketTimerKind::TimeWait => "timewait",
            SocketTimerKind::Persist => "persist",
        }
    }
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) table: Table,
    pub(crate) index: u32,
}

/// The tables, in the order in which they are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Table {
    #[default]
    Sockets,
    Requests,
    TimeWait,
    Done,
}

impl Cursor {
    /// The places of the table that are looked at next, `most` at most, of a table with so many; and moves behind them.
    pub(crate) fn advance(&mut self, places: usize, most: u32) -> std::ops::Range<u32> {
        let places = places as u32;
        let from = self.index.min(places);
        let to = from.saturating_add(most).min(places);
        self.index = to;
        if to == places {
            self.index = 0;
            self.table = match self.table {
                Table::Sockets => Table::Requests,
                Table::Requests => Table::TimeWait,
                Table::TimeWait | Table::Done => Table::Done,
            };
        }
        from..to
    }
}

impl SocketEntry {
    /// An entry without figures.
    pub(crate) fn new(proto: SocketProto, state: TcpState, local: SocketAddr, peer: Option<SocketAddr>) -> SocketEntry {
        let (recv_q, send_q) = (0, 0);
        SocketEntry { proto, state, recv_q, send_q, local, peer, timer: None, info: None, congestion: None }
    }
}
