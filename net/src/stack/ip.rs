//! The Internet layer of both families: what it is made of, whose an address is, and where a packet goes.
//!
//! `ip_input` says what is received, `ip_output` sends, `arp` and `ndp` find neighbours. The layer also owns what every
//! layer above counts and takes from: counters, drop reasons, the shard's packet cache. It knows no transport. Fragments
//! are neither made nor put together: a packet larger than the MTU is refused, and a fragment is dropped and counted.

use crate::event::{DropReason, Drops, Event};
use crate::packet::{IpSummed, PacketBuf, PoolCache};
use crate::stack::addresses::Addresses;
use crate::stack::config::StackConfig;
use crate::stack::counters::Counters;
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::neigh::{Due, Neighbours};
use crate::stack::rate_limit::RateLimit;
use crate::wire::ethernet::{EthernetHeader, MacAddr};
use crate::wire::ip::IpHeader;
use crate::wire::ipv6::Ipv6Header;
use std::net::IpAddr;
use wakeline_runtime::clock::Instant;

/// What lies below a transport during one call.
pub(crate) struct Lower<'a> {
    pub(crate) now: Instant,
    pub(crate) ip: &'a mut IpLayer,
    pub(crate) fx: &'a mut Effects,
}

/// One shard's Internet layer.
pub(crate) struct IpLayer {
    pub(crate) config: StackConfig,
    pub(crate) pool: PoolCache,
    pub(crate) counters: Counters,
    pub(crate) drops: Drops,
    pub(crate) icmp_rate: RateLimit,
    pub(crate) addresses: Addresses,
    pub(crate) neighbours: Neighbours,
}

/// Room in front of a transport's header, for the headers of either family.
pub(crate) const HEADROOM: usize = EthernetHeader::LEN + Ipv6Header::LEN;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this host itself.
    Local,
    /// To everybody on the link, or to those who listen there: this is their station address.
    Group(MacAddr),
    /// To a neighbour.
    Via(IpAddr),
}

impl IpLayer {
    /// A layer that knows no neighbour yet.
    pub(crate) fn new(config: StackConfig, pool: PoolCache) -> IpLayer {
        let limits = &config.limits;
        IpLayer {
            neighbours: Neighbours::new(limits.neigh_max, limits.neigh_queue_max, config.secret),
            addresses: Addresses::new(&config.addrs),
            icmp_rate: RateLimit::new(),
            config,
            pool,
            counters: Counters::new(),
            drops: Drops::new(),
        }
    }

    /// Whether `addr` is one of this host's.
    #[inline]
    pub(crate) fn is_own(&self, addr: IpAddr) -> bool {
        self.addresses.is_own(addr)
    }

    /// Whether `addr` means everybody on the link, as only one of IPv4 can.
    #[inline]
    pub(crate) fn is_broadcast(&self, addr: IpAddr) -> bool {
        matches!(addr, IpAddr::V4(addr) if self.addresses.is_broadcast(addr))
    }

    /// Whether a packet went from one host to this one alone; only such a packet may be answered with a segment or an
    /// error (RFC 9293 MUST-57, RFC 1122 3.2.2).
    #[inline]
    pub(crate) fn is_unicast(&self, ip: &IpHeader) -> bool {
        !ip.to_group
            && self.is_own(ip.dst)
            && !(ip.src.is_unspecified() || ip.src.is_multicast() || self.is_broadcast(ip.src))
    }

    /// The address from which a packet to `dst` is sent.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] when there is no route, [`SocketError::AddrNotAvailable`] when the host has no
    /// address of the family.
    pub(crate) fn source_for(&self, dst: IpAddr) -> Result<IpAddr, SocketError> {
        self.route(dst)?;
        self.addresses.source_for(dst).ok_or(SocketError::AddrNotAvailable)
    }

    /// Where a packet to `dst` goes.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] when there is no route.
    #[inline]
    pub(crate) fn route(&self, dst: IpAddr) -> Result<Route, SocketError> {
        if self.is_own(dst) {
            return Ok(Route::Local);
        }
        match dst {
            IpAddr::V4(ip) if self.addresses.is_broadcast(ip) => Ok(Route::Group(MacAddr::BROADCAST)),
            IpAddr::V4(ip) if ip.is_multicast() => Ok(Route::Group(MacAddr::of_group_v4(ip))),
            IpAddr::V6(ip) if ip.is_multicast() => Ok(Route::Group(MacAddr::of_group_v6(ip))),
            _ if self.addresses.is_on_link(dst) => Ok(Route::Via(dst)),
            IpAddr::V4(_) => self.config.gateway.map(|to| Route::Via(to.into())).ok_or(SocketError::NetworkUnreachable),
            IpAddr::V6(_) => Err(SocketError::NetworkUnreachable),
        }
    }

    /// The largest packet on the way to `dst`.
    #[inline]
    pub(crate) fn mtu(&self) -> usize {
        self.config.mtu
    }

    /// Counts a frame that is lost and takes its block back.
    #[cold]
    pub(crate) fn drop_packet(&mut self, packet: PacketBuf, reason: DropReason, fx: &Effects) {
        self.drops.count(reason);
        let len = packet.len() as u32;
        fx.tracer.emit(|| Event::KfreeSkb { reason, len });
        self.pool.free(packet);
    }

    /// Whether the transport's checksum of a received packet has to be verified in software.
    #[inline]
    pub(crate) fn must_verify(&self, packet: &PacketBuf) -> bool {
        packet.rx.ip_summed == IpSummed::None
    }

    /// The host says where a neighbour is.
    pub(crate) fn add_neighbour(
        &mut self,
        (ip, mac): (IpAddr, MacAddr),
        permanent: bool,
        now: Instant,
        fx: &mut Effects,
    ) {
        let waiting = if permanent {
            self.neighbours.add_permanent(ip, mac, now)
        } else {
            self.neighbours.learn(ip, mac, now, true)
        };
        for packet in waiting {
            self.transmit(mac, packet, fx);
        }
    }

    /// When [`on_timer`](Self::on_timer) wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.neighbours.next_deadline()
    }

    /// Asks again for neighbours that have not answered. Packets, from their IP headers on, that waited for one that
    /// never will are handed to the caller before they are dropped.
    pub(crate) fn on_timer(&mut self, now: Instant, fx: &mut Effects) -> Vec<PacketBuf> {
        let mut lost = Vec::new();
        for _ in 0..NEIGHBOURS_PER_CALL {
            match self.neighbours.on_timer(now) {
                Some(Due::Ask(ip)) => self.ask(ip, None, now, fx),
                Some(Due::Probe(ip, mac)) => self.ask(ip, Some(mac), now, fx),
                Some(Due::Failed(packets)) => lost.extend(packets),
                None => break,
            }
        }
        lost
    }

    /// Asks where a neighbour is: everybody, or the one at `at`.
    #[cold]
    pub(crate) fn ask(&mut self, ip: IpAddr, at: Option<MacAddr>, now: Instant, fx: &mut Effects) {
        match ip {
            IpAddr::V4(ip) => self.ask_arp(ip, at, fx),
            IpAddr::V6(ip) => self.ask_ndp(ip, at.is_some(), now, fx),
        }
    }
}

/// A bound on the work of one call.
const NEIGHBOURS_PER_CALL: usize = 256;
