//! TCP's part of what `ss` lists.

use crate::stack::endpoint::Endpoint;
use crate::stack::endpoint::Family;
use crate::stack::listing::{Cursor, SocketEntry, SocketProto, SocketTimer, SocketTimerKind, Table};
use crate::stack::socket::{Socket, Sockets};
use crate::stack::tcp::connection::{Connection, Owner};
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::Timer;
use crate::stack::tcp::layer::TcpLayer;
use crate::stack::tcp::listen::Listener;
use crate::stack::tcp::timewait::Substate;
use crate::tcp_info::TcpState;
use std::net::SocketAddr;
use wakeline_runtime::clock::Instant;

impl TcpLayer {
    /// Adds the next page to `out`, of `most` places at most.
    pub(crate) fn list(
        &self,
        sockets: &Sockets,
        now: Instant,
        cursor: &mut Cursor,
        most: u32,
        out: &mut Vec<SocketEntry>,
    ) {
        match cursor.table {
            Table::Sockets => {
                let places = cursor.advance(sockets.places(), most);
                out.extend(places.filter_map(|index| list_socket(sockets.at(index)?, now)));
            }
            Table::Requests => {
                let places = cursor.advance(self.requests.capacity(), most);
                out.extend(places.filter_map(|index| {
                    let request = self.requests.get(index as usize)?;
                    let (local, peer) = (shown(request.flow.local), shown(request.flow.remote));
                    let timer = timer(SocketTimerKind::Retransmit, request.expires_at, request.timeouts, now);
                    let entry = SocketEntry::new(SocketProto::Tcp, TcpState::SynReceived, local, Some(peer));
                    Some(SocketEntry { timer, ..entry })
                }));
            }
            Table::TimeWait => {
                let places = cursor.advance(self.time_wait.places(), most);
                out.extend(places.filter_map(|index| {
                    let entry = self.time_wait.get(index)?;
                    let (local, peer) = (shown(entry.flow.local), shown(entry.flow.remote));
                    let state = match entry.remains.substate {
                        Substate::FinWait2 => TcpState::FinWait2,
                        Substate::TimeWait => TcpState::TimeWait,
                    };
                    let expires_in = entry.expires_in(now);
                    let timer = Some(SocketTimer { kind: SocketTimerKind::TimeWait, expires_in, retries: 0 });
                    let entry = SocketEntry::new(SocketProto::Tcp, state, local, Some(peer));
                    Some(SocketEntry { timer, ..entry })
                }));
            }
            Table::Done => {}
        }
    }
}

/// A compact entry does not know the family of its socket; it is shown in that of its addresses.
fn shown(end: Endpoint) -> SocketAddr {
    let family = if end.ip().is_ipv4() { Family::V4 } else { Family::V6 { only: true } };
    family.show(end)
}

fn list_socket(socket: &Socket, now: Instant) -> Option<SocketEntry> {
    match socket {
        // What waits to be accepted is in its listener's queue, and established all the same.
        Socket::Connection(connection) => list_connection(connection, now),
        Socket::Listener(listener) => Some(list_listener(listener)),
        Socket::Udp(socket) => Some(socket.list()),
    }
}

fn list_connection(connection: &Connection, now: Instant) -> Option<SocketEntry> {
    let block = &connection.block;
    let state = block.state().as_linux();
    if state == TcpState::Closed && connection.owner == Owner::Nobody {
        return None;
    }
    let local = connection.family.show(connection.flow.local);
    let peer = connection.family.show(connection.flow.remote);
    Some(SocketEntry {
        recv_q: block.readable(),
        send_q: block.queued(),
        timer: block.listed_timer(now),
        info: Some(Box::new(block.info(now))),
        congestion: Some(block.congestion_choice()),
        ..SocketEntry::new(SocketProto::Tcp, state, local, Some(peer))
    })
}

fn list_listener(listener: &Listener) -> SocketEntry {
    let info = listener.info();
    let local = listener.binding.family.show(listener.local);
    let entry = SocketEntry::new(SocketProto::Tcp, info.state, local, None);
    SocketEntry { recv_q: info.unacked, send_q: info.sacked, ..entry }
}

fn timer(kind: SocketTimerKind, at: Instant, retries: u8, now: Instant) -> Option<SocketTimer> {
    let expires_in = at.saturating_duration_since(now);
    (at != Instant::FAR_FUTURE).then_some(SocketTimer { kind, expires_in, retries })
}

impl ControlBlock {
    /// What will happen when nothing does (`inet_csk_diag_fill`).
    fn listed_timer(&self, now: Instant) -> Option<SocketTimer> {
        match self.timer {
            Timer::Off => None,
            Timer::Persist => timer(SocketTimerKind::Persist, self.timer_at, self.retries, now),
            _ => timer(SocketTimerKind::Retransmit, self.timer_at, self.retries, now),
        }
    }
}
