//! The network stack of one shard of a host: what comes in from below, frames and time, and which layer it goes to.
//!
//! The programs' calls are in `calls`.

use crate::event::{DropReason, Event};
use crate::packet::{PacketBuf, PoolCache};
use crate::stack::complain::{Complaint, complain};
use crate::stack::config::StackConfig;
use crate::stack::counters::Mib;
use crate::stack::defrag::on_expired;
use crate::stack::effects::{Effects, Fact};
use crate::stack::error::SocketError;
use crate::stack::forward::{forward, taken_apart, tell_sender};
use crate::stack::icmp;
use crate::stack::icmpv6;
use crate::stack::ip::{IpLayer, Lower, TimedOut};
use crate::stack::ip_input::{Arrived, Problem, Received};
use crate::stack::membership::igmp_query;
use crate::stack::report::{About, Messenger, Report, Said, read_quoted};
use crate::stack::socket::Sockets;
use crate::stack::tcp::layer::TcpLayer;
use crate::stack::udp::UdpLayer;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::icmp::unreachable;
use crate::wire::icmpv6::{problem, unreachable6};
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::protocol;
use std::net::Ipv4Addr;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::rng::Rng;

/// See the [module](crate::stack).
pub(crate) struct Stack {
    pub(super) ip: IpLayer,
    pub(super) sockets: Sockets,
    pub(super) tcp: TcpLayer,
    pub(super) udp: UdpLayer,
    pub(super) rng: Rng,
    pub(super) is_down: bool,
}

impl Stack {
    /// A stack without sockets.
    pub(crate) fn new(config: StackConfig, pool: PoolCache, rng: Rng) -> Stack {
        Stack {
            sockets: Sockets::new(config.limits.sockets_max),
            tcp: TcpLayer::new(&config),
            udp: UdpLayer::new(config.secret),
            ip: IpLayer::new(config, pool),
            rng,
            is_down: false,
        }
    }

    /// `__netif_receive_skb`: an Ethernet frame from the device, or from this host itself.
    pub(crate) fn on_frame(&mut self, now: Instant, frame: PacketBuf, fx: &mut Effects) {
        fx.tracer.emit(|| Event::NetifReceiveSkb { len: frame.whole_len() as u32 });
        if self.is_down {
            return self.ip.drop_packet(frame, DropReason::DevReady, fx);
        }
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        let Some(mut frame) = self.udp.on_early(&mut self.sockets, frame, lower) else { return };
        let Ok(header) = EthernetHeader::parse(frame.data()) else {
            return self.ip.drop_packet(frame, DropReason::PktTooSmall, fx);
        };
        if header.dst != self.ip.config.mac && !header.dst.is_multicast() {
            return self.ip.drop_packet(frame, DropReason::Otherhost, fx);
        }
        frame.pull(EthernetHeader::LEN);
        let from_self = header.src == self.ip.config.mac;
        let arrived = Arrived { from_self, to_group: header.dst.is_multicast(), whole: true };
        match header.ethertype {
            EtherType::Ipv4 => match self.ip.receive_v4(frame, arrived, now, fx) {
                Received::Up(ip, packet) => self.deliver(now, &ip, packet, fx),
                received => self.on_received(now, received, fx),
            },
            EtherType::Ipv6 => self.on_ipv6(frame, arrived, now, fx),
            EtherType::Arp => self.ip.on_arp(frame, arrived, now, fx),
            EtherType::Other(_) => self.ip.drop_packet(frame, DropReason::UnhandledProto, fx),
        }
    }

    /// The rarer family has a way of its own, so that in the other's it is known which it is.
    #[inline(never)]
    fn on_ipv6(&mut self, frame: PacketBuf, arrived: Arrived, now: Instant, fx: &mut Effects) {
        match self.ip.receive_v6(frame, arrived, now, fx) {
            Received::Up(ip, packet) => self.deliver_any(now, &ip, packet, fx),
            received => self.on_received(now, received, fx),
        }
    }

    /// What becomes of a packet that mostly goes up, and does not.
    #[cold]
    fn on_received(&mut self, now: Instant, received: Received, fx: &mut Effects) {
        match received {
            Received::Up(ip, packet) => self.deliver_any(now, &ip, packet, fx),
            Received::Dropped => {}
            Received::Refused(problem) => self.refuse(now, *problem, fx),
            Received::Onward(ip, packet) => {
                for packet in taken_apart(packet) {
                    forward(&mut Lower { now, ip: &mut self.ip, fx }, &ip, packet);
                }
            }
        }
    }

    #[inline(never)]
    fn deliver_any(&mut self, now: Instant, ip: &IpHeader, packet: PacketBuf, fx: &mut Effects) {
        self.deliver(now, ip, packet, fx);
    }

    /// `ip_protocol_deliver_rcu` and `ip6_protocol_deliver_rcu`.
    #[inline(always)]
    fn deliver(&mut self, now: Instant, ip: &IpHeader, packet: PacketBuf, fx: &mut Effects) {
        let v4 = ip.dst.is_ipv4();
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        let delivers = if v4 { Mib::IpInDelivers } else { Mib::Ip6InDelivers };
        match ip.protocol {
            protocol::TCP => {
                lower.ip.counters.count(delivers);
                self.tcp.on_segment(&mut self.sockets, ip, packet, lower);
            }
            protocol::UDP => {
                lower.ip.counters.count(delivers);
                self.udp.on_datagram(&mut self.sockets, ip, packet, lower);
            }
            protocol::ICMP if v4 => {
                lower.ip.counters.count(delivers);
                if let Some(report) = icmp::on_message(ip, packet, lower) {
                    self.hear_report(now, report, fx);
                }
            }
            protocol::ICMPV6 if !v4 => {
                lower.ip.counters.count(delivers);
                if let Some(report) = icmpv6::on_message(ip, packet, lower) {
                    self.hear_report(now, report, fx);
                }
            }
            protocol::IGMP if v4 => {
                lower.ip.counters.count(delivers);
                if let Some(group) = igmp_query(packet.data()) {
                    lower.ip.on_membership_query(group.into(), now, lower.fx);
                }
                lower.ip.pool.free(packet);
            }
            _ => on_unknown_protocol(ip, packet, lower),
        }
    }

    /// A packet with an extension header that was not to be skipped.
    #[cold]
    fn refuse(&mut self, now: Instant, problem: Problem, fx: &mut Effects) {
        let Problem { ip, mut packet, code, pointer } = problem;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        packet.pull(ip.header_len.into());
        complain(lower, &ip, &mut packet, Complaint::Parameter { code, pointer });
        lower.ip.drop_packet(packet, DropReason::IpInhdr, lower.fx);
    }

    /// A router's word, or the other host's, about a packet of ours: it comes to whichever shard its own ends lead to.
    #[cold]
    fn hear_report(&mut self, now: Instant, report: Report, fx: &mut Effects) {
        if self.ip.config.shard.count > 1 {
            fx.facts.push(Fact::Report(report));
        }
        self.on_report(now, report, true, fx);
    }

    /// `first`: no other shard has heard of it before.
    pub(super) fn on_report(&mut self, now: Instant, report: Report, first: bool, fx: &mut Effects) {
        let Report { flow, said, about, .. } = report;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match about {
            About::Tcp(seq) => self.tcp.on_error(&mut self.sockets, &flow, seq, said, lower),
            About::Udp => self.udp.on_error(&mut self.sockets, &report, first, lower),
        }
    }

    /// The end of a batch of frames, that is, of a NAPI poll: at most one acknowledgement goes out per connection, and
    /// what its acknowledgements have allowed.
    pub(crate) fn on_batch_end(&mut self, now: Instant, fx: &mut Effects) {
        if self.tcp.has_deferred() {
            let lower = &mut Lower { now, ip: &mut self.ip, fx };
            self.tcp.flush(&mut self.sockets, lower);
        }
    }

    /// The device has taken all frames that it was given. Says whether a connection waits for
    /// [`on_tx_completion`](Self::on_tx_completion).
    #[inline]
    pub(crate) fn note_tx_completion(&mut self) -> bool {
        self.tcp.note_tx_completion()
    }

    /// Who has waited for the device gives it more.
    pub(crate) fn on_tx_completion(&mut self, now: Instant, fx: &mut Effects) {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.on_tx_completion(&mut self.sockets, lower);
    }

    /// Does what time has made due, up to a bound; when more is due, [`next_deadline`](Self::next_deadline) says so.
    pub(crate) fn on_timer(&mut self, now: Instant, fx: &mut Effects) {
        let TimedOut { undelivered, incomplete } = self.ip.on_timer(now, fx);
        for mut packet in undelivered {
            let _ = packet.linearize(&mut self.ip.pool);
            // `arp_error_report`: as if a router had said that the host cannot be reached.
            let report = undelivered_report(packet.data());
            match report {
                Some(report) if self.ip.is_own(report.flow.local.ip()) => self.on_report(now, report, true, fx),
                _ => tell_sender(&packet, &mut Lower { now, ip: &mut self.ip, fx }),
            }
            self.ip.drop_packet(packet, DropReason::NeighFailed, fx);
        }
        for expired in incomplete {
            on_expired(expired, &mut Lower { now, ip: &mut self.ip, fx });
        }
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.on_timer(&mut self.sockets, lower);
    }

    /// When [`on_timer`](Self::on_timer) is to be called. It may turn out that nothing is due yet.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        Some(self.next_due()).filter(|&next| next != Instant::FAR_FUTURE)
    }

    /// The same, [`Instant::FAR_FUTURE`] for never.
    #[inline(always)]
    pub(crate) fn next_due(&self) -> Instant {
        self.tcp.next_deadline().min(self.ip.next_deadline())
    }
}

/// What a router would have said about a packet, from its IP header on, whose neighbour does not answer
/// (`ipv4_link_failure`, `ip6_link_failure`): this host says it to itself.
fn undelivered_report(packet: &[u8]) -> Option<Report> {
    let nobody = Messenger { addr: Ipv4Addr::UNSPECIFIED.into(), kind: 0, code: 0 };
    let report = read_quoted(packet, Said::soft(SocketError::HostUnreachable), nobody)?;
    let addr = report.flow.local.ip();
    let (kind, code) = if addr.is_ipv4() { (3, unreachable::HOST) } else { (1, unreachable6::ADDRESS) };
    Some(Report { from: Messenger { addr, kind, code }, ..report })
}

/// RFC 1122 3.2.2.1 and RFC 8200 4: nobody here knows the protocol, or the next header.
#[cold]
fn on_unknown_protocol(ip: &IpHeader, mut packet: PacketBuf, lower: &mut Lower<'_>) {
    let complaint = if ip.dst.is_ipv4() {
        lower.ip.counters.count(Mib::IpInUnknownProtos);
        Complaint::Protocol
    } else {
        lower.ip.counters.count(Mib::Ip6InUnknownProtos);
        Complaint::Parameter { code: problem::NEXT_HEADER, pointer: ip.protocol_at.into() }
    };
    complain(lower, ip, &mut packet, complaint);
    lower.ip.drop_packet(packet, DropReason::UnhandledProto, lower.fx);
}
