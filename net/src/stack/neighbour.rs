//! One neighbour: what is known of its link address, what waits for it, and what others say about it.

use crate::packet::PacketBuf;
use crate::wire::ethernet::MacAddr;
use std::collections::VecDeque;
use std::net::IpAddr;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) addr: IpAddr,
    pub(super) state: State,
    pub(super) timer_at: Instant,
    /// When its link address was last told (`neigh->updated`).
    pub(super) updated_at: Instant,
    /// Packets that wait for the link address, and the sum of their `truesize`.
    pub(super) queue: VecDeque<PacketBuf>,
    queue_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Asked, `asked` times, no answer yet.
    Incomplete {
        asked: u8,
    },
    Reachable {
        mac: MacAddr,
        until: Instant,
    },
    /// Known, but not confirmed for some time, or only said by the neighbour itself.
    Stale {
        mac: MacAddr,
    },
    /// In use, and to be asked about when the timer fires.
    Delay {
        mac: MacAddr,
    },
    /// Asked about, `asked` times.
    Probe {
        mac: MacAddr,
        asked: u8,
    },
    /// Told by the host itself; never doubted.
    Permanent {
        mac: MacAddr,
    },
}

impl Neighbour {
    pub(super) fn new(addr: IpAddr, state: State, timer_at: Instant, updated_at: Instant) -> Neighbour {
        Neighbour { addr, state, timer_at, updated_at, queue: VecDeque::new(), queue_bytes: 0 }
    }

    /// `__neigh_event_send`: keeps a packet until the link address is known; the oldest make room, and are returned.
    pub(super) fn hold(&mut self, packet: PacketBuf, max_bytes: usize) -> Vec<PacketBuf> {
        let mut displaced = Vec::new();
        while self.queue_bytes + packet.truesize() > max_bytes
            && let Some(oldest) = self.queue.pop_front()
        {
            self.queue_bytes -= oldest.truesize();
            displaced.push(oldest);
        }
        self.queue_bytes += packet.truesize();
        self.queue.push_back(packet);
        displaced
    }

    pub(super) fn take_held(&mut self) -> VecDeque<PacketBuf> {
        self.queue_bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

impl State {
    /// Whether nobody has confirmed or used it for some time.
    pub(super) fn is_stale(self, now: Instant) -> bool {
        match self {
            State::Stale { .. } => true,
            State::Reachable { until, .. } => now >= until,
            _ => false,
        }
    }

    pub(super) fn mac(self) -> Option<MacAddr> {
        match self {
            State::Incomplete { .. } => None,
            State::Reachable { mac, .. }
            | State::Stale { mac }
            | State::Delay { mac }
            | State::Probe { mac, .. }
            | State::Permanent { mac } => Some(mac),
        }
    }
}

/// What somebody says about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) mac: MacAddr,
    pub(crate) kind: WordKind,
    /// Whether it may replace a link address that is known (NEIGH_UPDATE_F_OVERRIDE).
    pub(crate) may_override: bool,
    /// Whether it makes an entry where there is none.
    pub(crate) create: bool,
}

/// Why it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordKind {
    /// In answer to a question of this host's: the neighbour is there, and hears us.
    Solicited,
    /// In a question, or to everybody.
    Unsolicited,
}
