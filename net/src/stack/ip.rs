//! The Internet layer of both families: what it is made of, whose an address is, and where a packet goes.
//!
//! `ip_input` says what is received, `ip_output` sends, `defrag` and `fragment` put together and cut, `forward` passes on,
//! `arp` and `ndp` find neighbours. The layer also owns what every layer above counts and takes from: counters, drop
//! reasons, the shard's packet cache. It knows no transport.

use crate::event::{DropReason, Drops, Event};
use crate::packet::{IpSummed, PacketBuf, PoolCache};
use crate::stack::addresses::{Addresses, Cidr};
use crate::stack::autoconf::{Autoconf, Ipv6Sysctls};
use crate::stack::config::StackConfig;
use crate::stack::counters::Counters;
use crate::stack::dst::Dst;
use crate::stack::effects::{Effects, Fact};
use crate::stack::error::SocketError;
use crate::stack::fragment::Idents;
use crate::stack::membership::Memberships;
use crate::stack::neigh::{Due, Neighbours};
use crate::stack::neighbour::Word;
use crate::stack::path_mtu::PathMtus;
use crate::stack::rate_limit::{PeerLimits, RateLimit};
use crate::stack::reassembly::{Expired, Reassembly};
use crate::stack::route::{METRIC_LINK, Route, RouteTo, Routes};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EthernetHeader, MacAddr};
use crate::wire::ip::{Envelope, IpHeader};
use crate::wire::ipv4::protocol;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::udp::UdpHeader;
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
    pub(crate) icmp_peers: PeerLimits,
    pub(crate) paths: PathMtus,
    pub(crate) routes: Routes,
    pub(crate) reassembly: Reassembly,
    pub(crate) idents: Idents,
    pub(crate) memberships: Memberships,
    /// The last destination that was looked up, its hop, and until when that holds.
    last_route: Option<(IpAddr, Hop, Instant)>,
    /// In what the last packet went that had to look for its way, and that way once a second one goes in the same.
    pub(super) last_dst: Option<(Envelope, Option<Dst>)>,
    /// How often addresses or routes have changed.
    changes: u64,
    pub(crate) addresses: Addresses,
    pub(crate) autoconf: Autoconf,
    pub(crate) neighbours: Neighbours,
}

/// Room in front of a transport's header, for the headers of either family.
pub(crate) const HEADROOM: usize = EthernetHeader::LEN + Ipv6Header::LEN;

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
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
        let (addrs, routes) = (config.addrs.clone(), config.routes.clone());
        // A router does not listen to others.
        let ipv6 = Ipv6Sysctls { accept_ra: config.ipv6.accept_ra && !config.forwards, ..config.ipv6 };
        let mut layer = IpLayer {
            neighbours: Neighbours::new(limits.neigh, limits.neigh_queue_max_bytes, config.secret),
            addresses: Addresses::default(),
            autoconf: Autoconf::new(ipv6),
            icmp_rate: RateLimit::new(),
            icmp_peers: PeerLimits::new(config.secret),
            paths: PathMtus::new(config.secret),
            routes: Routes::new(config.secret),
            reassembly: Reassembly::new(config.secret),
            idents: Idents::new(config.secret),
            memberships: Memberships::default(),
            last_route: None,
            last_dst: None,
            changes: 0,
            config,
            pool,
            counters: Counters::new(),
            drops: Drops::new(),
        };
        addrs.into_iter().for_each(|addr| layer.add_addr(addr));
        for route in routes {
            // The builder of the host has seen that they make sense.
            let _ = layer.add_route(route, Instant::from_virtual_ns(0));
        }
        layer
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
    pub(crate) fn source_for(&mut self, dst: IpAddr, now: Instant) -> Result<IpAddr, SocketError> {
        let near = match self.route(dst, now)? {
            Hop::Via(next_hop) if next_hop.is_ipv4() => next_hop,
            _ => dst,
        };
        self.addresses.source_for(near).ok_or(SocketError::AddrNotAvailable)
    }

    /// Where a packet to `dst` goes.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] when there is no route, and those of a route that leads nowhere.
    #[inline]
    pub(crate) fn route(&mut self, dst: IpAddr, now: Instant) -> Result<Hop, SocketError> {
        match self.last_route {
            Some((last, hop, until)) if last == dst && now < until => Ok(hop),
            _ => self.route_slowly(dst, now),
        }
    }

    /// Where a packet to `dst` goes, and until when that holds.
    ///
    /// # Errors
    /// Those of [`route`](Self::route).
    pub(crate) fn route_until(&mut self, dst: IpAddr, now: Instant) -> Result<(Hop, Instant), SocketError> {
        let hop = self.route(dst, now)?;
        Ok((hop, self.last_route.map_or(now, |(.., until)| until)))
    }

    fn route_slowly(&mut self, dst: IpAddr, now: Instant) -> Result<Hop, SocketError> {
        let mut until = Instant::FAR_FUTURE;
        let hop = match dst {
            _ if self.is_own(dst) => Hop::Local,
            IpAddr::V4(ip) if self.addresses.is_broadcast(ip) => Hop::Group(MacAddr::BROADCAST),
            IpAddr::V4(ip) if ip.is_multicast() => Hop::Group(MacAddr::of_group_v4(ip)),
            IpAddr::V6(ip) if ip.is_multicast() => Hop::Group(MacAddr::of_group_v6(ip)),
            _ => {
                let route = self.routes.lookup(dst, now).ok_or(SocketError::NetworkUnreachable)?;
                until = route.expires_at.unwrap_or(until);
                match route.to {
                    RouteTo::Link => Hop::Via(dst),
                    RouteTo::Via(router) => Hop::Via(router),
                    RouteTo::Local => Hop::Local,
                    RouteTo::Unreachable => return Err(SocketError::HostUnreachable),
                    RouteTo::Prohibit => return Err(SocketError::PermissionDenied),
                    RouteTo::Blackhole => return Err(SocketError::InvalidInput),
                }
            }
        };
        self.last_route = Some((dst, hop, until));
        Ok(hop)
    }

    /// Gives the interface another address, and a route to its network.
    pub(crate) fn add_addr(&mut self, addr: Cidr) {
        self.forget_last_route();
        self.addresses.add(addr);
        let route = Route { prefix: addr, to: RouteTo::Link, metric: METRIC_LINK, expires_at: None };
        // The first routes of a host find room.
        let _ = self.routes.add(route);
    }

    /// Takes an address from the interface, and the route to its network if no other address is there.
    pub(crate) fn remove_addr(&mut self, addr: IpAddr) {
        self.forget_last_route();
        let Some(removed) = self.addresses.remove(addr) else { return };
        if !self.addresses.iter().any(|own| own.prefix_len == removed.prefix_len && own.contains(addr)) {
            self.routes.remove(removed, |route| route.metric == METRIC_LINK);
        }
    }

    /// What was looked up last may have another answer now.
    pub(crate) fn forget_last_route(&mut self) {
        self.last_route = None;
        self.changes += 1;
    }

    /// Another number after every change, but for the passing of time, to whose an address is, where packets go, and how large
    /// they may be.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        // None of them ever shrinks, so that the sum stays only while they all do.
        self.changes + self.neighbours.version() + self.paths.version()
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] when its router is not on the link, [`SocketError::InvalidInput`] when the
    /// router is of the other family, [`SocketError::NoBuffers`] when there are too many.
    pub(crate) fn add_route(&mut self, route: Route, now: Instant) -> Result<(), SocketError> {
        self.forget_last_route();
        match route.to {
            RouteTo::Via(router) if router.is_ipv4() != route.prefix.addr.is_ipv4() => {
                return Err(SocketError::InvalidInput);
            }
            RouteTo::Via(router) => {
                let way = self.routes.lookup(router, now).map(|route| route.to);
                if way != Some(RouteTo::Link) || self.is_own(router) {
                    return Err(SocketError::NetworkUnreachable);
                }
            }
            RouteTo::Local => self.addresses.add_local(route.prefix),
            _ => {}
        }
        self.routes.add(route)
    }

    /// Removes every route that the user has added to a network; says whether there was one.
    pub(crate) fn remove_route(&mut self, prefix: Cidr) -> bool {
        self.forget_last_route();
        self.addresses.remove_local(prefix);
        self.routes.remove(prefix, |route| route.metric != METRIC_LINK) > 0
    }

    /// The largest packet that the interface takes.
    #[inline]
    pub(crate) fn mtu(&self) -> usize {
        self.config.mtu
    }

    /// The largest packet on the way to `dst`, as far as is known.
    #[inline]
    pub(crate) fn path_mtu(&self, dst: IpAddr, now: Instant) -> usize {
        self.paths.get(dst, now).map_or(self.config.mtu, |mtu| mtu.min(self.config.mtu))
    }

    /// A router says, about a packet that is known to be ours, how large one may be. Returns what is news.
    #[cold]
    pub(crate) fn hear_of_path(&mut self, dst: IpAddr, mtu: u32, now: Instant, fx: &mut Effects) -> Option<usize> {
        let news = self.paths.learn(dst, mtu, self.config.mtu, now)?;
        if self.config.shard.count > 1 {
            fx.facts.push(Fact::PathMtu(dst, mtu));
        }
        Some(news)
    }

    /// Counts a frame that is lost and takes its block back.
    #[cold]
    pub(crate) fn drop_packet(&mut self, packet: PacketBuf, reason: DropReason, fx: &Effects) {
        self.drops.count(reason);
        let len = packet.len() as u32;
        fx.tracer.emit(|| Event::KfreeSkb { reason, len });
        self.pool.free(packet);
    }

    /// Whether the transport's checksum of a received packet has to be verified in software (`__skb_checksum_validate`). `packet` has been
    /// pulled to the transport's header.
    #[inline]
    pub(crate) fn must_verify(&self, ip: &IpHeader, packet: &PacketBuf) -> bool {
        match packet.rx.ip_summed {
            IpSummed::None => true,
            IpSummed::Unnecessary | IpSummed::Partial => false,
            IpSummed::Complete => !sums_up(ip, packet),
        }
    }

    /// The host says where a neighbour is, for good.
    pub(crate) fn add_neighbour(&mut self, ip: IpAddr, mac: MacAddr, now: Instant, fx: &mut Effects) {
        for packet in self.neighbours.add_permanent(ip, mac, now) {
            self.transmit(mac, packet, fx);
        }
    }

    /// The protocol says where a neighbour is. The host's other shards hear of it, too.
    pub(crate) fn hear_of_neighbour(&mut self, ip: IpAddr, word: Word, now: Instant, fx: &mut Effects) {
        if self.config.shard.count > 1 {
            fx.facts.push(Fact::Neighbour(ip, word));
        }
        self.learn_neighbour(ip, word, now, fx);
    }

    /// The same, said by the shard that has heard it.
    pub(crate) fn learn_neighbour(&mut self, ip: IpAddr, word: Word, now: Instant, fx: &mut Effects) {
        for packet in self.neighbours.learn(ip, word, now) {
            self.transmit(word.mac, packet, fx);
        }
        for packet in self.neighbours.take_evicted() {
            self.drop_packet(packet, DropReason::NeighQueuefull, fx);
        }
    }

    /// `dst_confirm`: a transport knows that its packets arrive at `remote`.
    #[inline]
    pub(crate) fn confirm(&mut self, remote: IpAddr, now: Instant) {
        if self.neighbours.is_in_doubt()
            && let Ok(Hop::Via(next_hop)) = self.route(remote, now)
        {
            self.neighbours.confirm(next_hop, now);
        }
    }

    /// When [`on_timer`](Self::on_timer) wants to be called.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        self.autoconf.next_deadline().min(self.neighbours.next_deadline()).min(self.reassembly.next_deadline())
    }

    /// Asks again for neighbours that have not answered. Packets, from their IP headers on, that waited for one that
    /// never will are handed to the caller before they are dropped; so are packets of which not all pieces have come.
    pub(crate) fn on_timer(&mut self, now: Instant, fx: &mut Effects) -> TimedOut {
        self.on_autoconf_timer(now, fx);
        let mut timed_out = TimedOut::default();
        for _ in 0..TIMERS_PER_CALL {
            match self.neighbours.on_timer(now) {
                Some(Due::Ask(ip)) => self.ask(ip, None, now, fx),
                Some(Due::Probe(ip, mac)) => self.ask(ip, Some(mac), now, fx),
                Some(Due::Failed(packets)) => timed_out.undelivered.extend(packets),
                None => break,
            }
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some(expired) = self.reassembly.pop_expired(now) else { break };
            timed_out.incomplete.push(expired);
        }
        timed_out
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

/// What has waited in vain.
#[derive(Debug, Default)]
pub(crate) struct TimedOut {
    /// Packets whose neighbour has not answered.
    pub(crate) undelivered: Vec<PacketBuf>,
    /// Packets of which not all pieces have come.
    pub(crate) incomplete: Vec<Expired>,
}

/// A bound on the work of one call.
const TIMERS_PER_CALL: usize = 256;

/// Whether what the device has summed is right, with the pseudo-header and without the headers before. Where bytes were cut off behind, it
/// does not seem so; then all is summed again, as Linux does before it complains (`netdev_rx_csum_fault`).
#[cold]
fn sums_up(ip: &IpHeader, packet: &PacketBuf) -> bool {
    let Some(device) = packet.device_sum() else { return false };
    let at = usize::from(UdpHeader::CHECKSUM_OFFSET);
    if ip.protocol == protocol::UDP && packet.data().get(at..at + 2) == Some(&[0, 0]) {
        // There is none.
        return false;
    }
    let mut sum = Sum::pseudo_header(ip.src, ip.dst, ip.protocol, packet.len());
    sum.add(&device);
    sum.subtract(packet.pulled(ip.header_len.into()));
    sum.is_valid()
}
