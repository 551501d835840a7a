//! The Internet layer: what `ip_rcv` checks, where a packet is sent, and the neighbour it goes to.
//!
//! It also owns what every layer above counts and takes from: counters, drop reasons, the shard's packet cache. It knows
//! no transport. Fragments are neither made nor put together: a packet larger than the MTU is refused, and a fragment
//! is dropped and counted.

use crate::event::{DropReason, Drops, Event};
use crate::packet::{IpSummed, PacketBuf, PoolCache};
use crate::stack::config::StackConfig;
use crate::stack::counters::{Counters, Mib};
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::neigh::{Due, Neighbours, Resolution};
use crate::stack::rate_limit::RateLimit;
use crate::wire::arp::{ArpPacket, Operation};
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::malformed::Malformed;
use std::net::Ipv4Addr;
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
    neighbours: Neighbours,
    /// The network's first address and its mask, as numbers.
    network: (u32, u32),
}

/// Room in front of a transport's header.
pub(crate) const HEADROOM: usize = EthernetHeader::LEN + Ipv4Header::LEN;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// To this host itself.
    Local,
    /// To everybody on the link.
    Broadcast,
    /// To a neighbour.
    Via(Ipv4Addr),
}

impl IpLayer {
    /// A layer that knows no neighbour yet.
    pub(crate) fn new(config: StackConfig, pool: PoolCache) -> IpLayer {
        let mask = u32::MAX.checked_shl(32 - u32::from(config.prefix_len.min(32))).unwrap_or(0);
        let limits = &config.limits;
        IpLayer {
            neighbours: Neighbours::new(limits.neigh_max, limits.neigh_queue_max, config.secret),
            network: (config.addr.to_bits() & mask, mask),
            icmp_rate: RateLimit::new(),
            config,
            pool,
            counters: Counters::new(),
            drops: Drops::new(),
        }
    }

    /// Whether `addr` is one of this host's.
    #[inline]
    pub(crate) fn is_own(&self, addr: Ipv4Addr) -> bool {
        addr == self.config.addr || addr.is_loopback()
    }

    /// Whether `addr` means everybody on the link.
    #[inline]
    pub(crate) fn is_broadcast(&self, addr: Ipv4Addr) -> bool {
        let (network, mask) = self.network;
        addr.is_broadcast() || (mask.count_ones() < 31 && addr.to_bits() == network | !mask)
    }

    /// The address from which a packet to `dst` is sent.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] when there is no route.
    pub(crate) fn source_for(&self, dst: Ipv4Addr) -> Result<Ipv4Addr, SocketError> {
        self.route(dst).map(|_| if dst.is_loopback() { Ipv4Addr::LOCALHOST } else { self.config.addr })
    }

    #[inline]
    fn route(&self, dst: Ipv4Addr) -> Result<Route, SocketError> {
        let (network, mask) = self.network;
        if self.is_own(dst) {
            Ok(Route::Local)
        } else if self.is_broadcast(dst) || dst.is_multicast() {
            Ok(Route::Broadcast)
        } else if dst.to_bits() & mask == network {
            Ok(Route::Via(dst))
        } else {
            self.config.gateway.map(Route::Via).ok_or(SocketError::NetworkUnreachable)
        }
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

    /// `ip_rcv` up to the choice of the protocol: leaves the transport's part of the packet, or nothing if it was
    /// dropped. `packet` has been pulled to its IP header.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        mut packet: PacketBuf,
        from_self: bool,
        fx: &mut Effects,
    ) -> Option<(Ipv4Header, PacketBuf)> {
        self.counters.count(Mib::IpInReceives);
        let header = match Ipv4Header::parse(packet.data()) {
            Ok(header) => header,
            Err(malformed) => {
                self.on_malformed(packet, malformed, fx);
                return None;
            }
        };
        if !self.accepts(&header, from_self) {
            self.counters.count(Mib::IpInAddrErrors);
            self.drop_packet(packet, DropReason::Otherhost, fx);
            return None;
        }
        if header.is_fragment() {
            self.counters.count(Mib::IpReasmReqds);
            self.counters.count(Mib::IpReasmFails);
            self.drop_packet(packet, DropReason::FragUnsupported, fx);
            return None;
        }
        packet.truncate(header.total_len.into());
        packet.pull(header.header_len.into());
        Some((header, packet))
    }

    /// Whether a packet is for this host. Loopback addresses only mean something within it.
    fn accepts(&self, header: &Ipv4Header, from_self: bool) -> bool {
        let ours = header.dst == self.config.addr || (header.dst.is_loopback() && from_self);
        let everybodys = self.is_broadcast(header.dst) || header.dst.is_multicast();
        let source = !(header.src.is_multicast() || header.src.is_broadcast());
        (ours || everybodys) && source && (from_self || !header.src.is_loopback())
    }

    #[cold]
    fn on_malformed(&mut self, packet: PacketBuf, malformed: Malformed, fx: &Effects) {
        let (mib, reason) = match malformed {
            Malformed::Truncated => (Mib::IpExtInTruncatedPkts, DropReason::PktTooSmall),
            Malformed::Header => (Mib::IpInHdrErrors, DropReason::IpInhdr),
            Malformed::Checksum => (Mib::IpExtInCsumErrors, DropReason::IpCsum),
        };
        self.counters.count(mib);
        self.drop_packet(packet, reason, fx);
    }

    /// Sends `packet`, a transport's header and payload with [`HEADROOM`] in front.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] and [`SocketError::MessageTooLong`]; the packet is counted as lost.
    #[inline]
    pub(crate) fn send(
        &mut self,
        mut packet: PacketBuf,
        (src, dst): (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        now: Instant,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        self.counters.count(Mib::IpOutRequests);
        let route = match self.route(dst) {
            Ok(_) if packet.len() + Ipv4Header::LEN > self.config.mtu && packet.rx.gso_size == 0 => {
                Err(SocketError::MessageTooLong)
            }
            route => route,
        };
        let route = match route {
            Ok(route) => route,
            Err(error) => {
                let too_long = error == SocketError::MessageTooLong;
                self.counters.count(if too_long { Mib::IpOutDiscards } else { Mib::IpOutNoRoutes });
                self.drop_packet(packet, if too_long { DropReason::PktTooBig } else { DropReason::NeighFailed }, fx);
                return Err(error);
            }
        };
        let header = Ipv4Header::new(src, dst, protocol, packet.len());
        let out = packet.push(Ipv4Header::LEN).first_chunk_mut().expect("as many bytes as were pushed");
        header.emit(out);
        match route {
            Route::Via(next_hop) => self.send_via(next_hop, packet, now, fx),
            Route::Broadcast => self.transmit(MacAddr::BROADCAST, packet, fx),
            Route::Local => {
                packet.rx.ip_summed = IpSummed::Partial;
                self.push_ethernet(self.config.mac, EtherType::Ipv4, &mut packet);
                fx.loopback.push(packet);
            }
        }
        Ok(())
    }

    #[inline]
    fn send_via(&mut self, next_hop: Ipv4Addr, packet: PacketBuf, now: Instant, fx: &mut Effects) {
        match self.neighbours.resolve(next_hop, packet, now) {
            Resolution::Known(mac, packet) => self.transmit(mac, packet, fx),
            Resolution::Queued { ask, displaced } => {
                if let Some(packet) = displaced {
                    self.drop_packet(packet, DropReason::NeighQueuefull, fx);
                }
                if ask {
                    self.ask(next_hop, MacAddr::BROADCAST, fx);
                }
            }
            Resolution::Full(packet) => self.drop_packet(packet, DropReason::NeighQueuefull, fx),
        }
    }

    #[inline]
    fn transmit(&mut self, dst: MacAddr, mut packet: PacketBuf, fx: &mut Effects) {
        self.push_ethernet(dst, EtherType::Ipv4, &mut packet);
        let len = packet.len() as u32;
        fx.tracer.emit(|| Event::NetDevQueue { dev: self.config.dev.clone(), len });
        fx.tx.push(packet);
    }

    #[inline]
    fn push_ethernet(&self, dst: MacAddr, ethertype: EtherType, packet: &mut PacketBuf) {
        let header = EthernetHeader { dst, src: self.config.mac, ethertype };
        let out = packet.push(EthernetHeader::LEN).first_chunk_mut().expect("as many bytes as were pushed");
        header.emit(out);
    }

    // Neighbours.

    /// An ARP packet. Every shard learns from it; only the first one answers, so that a host gives one answer.
    pub(crate) fn on_arp(&mut self, packet: PacketBuf, now: Instant, fx: &mut Effects) {
        let arp = match ArpPacket::parse(packet.data()) {
            Ok(arp) => arp,
            Err(malformed) => {
                let short = malformed == Malformed::Truncated;
                let reason = if short { DropReason::PktTooSmall } else { DropReason::UnhandledProto };
                return self.drop_packet(packet, reason, fx);
            }
        };
        self.pool.free(packet);
        let (ip, mac) = (arp.sender_ip, arp.sender_mac);
        if ip == self.config.addr || ip.is_unspecified() || ip.is_loopback() || mac.is_multicast() {
            return;
        }
        let for_us = arp.target_ip == self.config.addr;
        // RFC 826: merge what is known; add only when it was meant for us.
        let asked = arp.operation == Operation::Request && for_us;
        let waiting = self.neighbours.learn(ip, mac, now, asked);
        if self.config.shard.count > 1 && for_us {
            fx.learned.push((ip, mac));
        }
        for packet in waiting {
            self.transmit(mac, packet, fx);
        }
        if asked && self.config.shard.index == 0 {
            self.send_arp(Operation::Reply, (ip, mac), mac, fx);
        }
    }

    /// The host says where a neighbour is.
    pub(crate) fn add_neighbour(
        &mut self,
        (ip, mac): (Ipv4Addr, MacAddr),
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
    /// never will are handed to `lost` before they are dropped.
    pub(crate) fn on_timer(&mut self, now: Instant, fx: &mut Effects) -> Vec<PacketBuf> {
        let mut lost = Vec::new();
        for _ in 0..NEIGHBOURS_PER_CALL {
            match self.neighbours.on_timer(now) {
                Some(Due::Ask(ip)) => self.ask(ip, MacAddr::BROADCAST, fx),
                Some(Due::Probe(ip, mac)) => self.ask(ip, mac, fx),
                Some(Due::Failed(packets)) => lost.extend(packets),
                None => break,
            }
        }
        lost
    }

    fn ask(&mut self, ip: Ipv4Addr, to: MacAddr, fx: &mut Effects) {
        let unknown = MacAddr([0; 6]);
        self.send_arp(Operation::Request, (ip, unknown), to, fx);
    }

    fn send_arp(&mut self, operation: Operation, target: (Ipv4Addr, MacAddr), to: MacAddr, fx: &mut Effects) {
        let Some(mut packet) = self.pool.alloc(EthernetHeader::LEN, ArpPacket::LEN) else {
            // The question is asked again, and so is the one that this would have answered.
            return self.drops.count(DropReason::Nomem);
        };
        let (target_ip, target_mac) = target;
        let (sender_mac, sender_ip) = (self.config.mac, self.config.addr);
        let arp = ArpPacket { operation, sender_mac, sender_ip, target_mac, target_ip };
        arp.emit(packet.put(ArpPacket::LEN).first_chunk_mut().expect("as many bytes as were put"));
        self.push_ethernet(to, EtherType::Arp, &mut packet);
        fx.tx.push(packet);
    }
}

/// A bound on the work of one call.
const NEIGHBOURS_PER_CALL: usize = 256;
