//! ARP (RFC 826): asking for neighbours of IPv4, answering, and learning from both.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::effects::Effects;
use crate::stack::ip::IpLayer;
use crate::stack::ip_input::Arrived;
use crate::stack::neigh::LOCKTIME;
use crate::stack::neighbour::{Word, WordKind};
use crate::wire::arp::{ArpPacket, Operation};
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::malformed::Malformed;
use std::net::Ipv4Addr;
use wakeline_runtime::clock::Instant;

impl IpLayer {
    /// An ARP packet. Every shard learns from it; only the first one answers, so that a host gives one answer.
    pub(crate) fn on_arp(&mut self, packet: PacketBuf, arrived: Arrived, now: Instant, fx: &mut Effects) {
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
        let nobody = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || mac.is_multicast();
        if nobody || self.addresses.is_own_v4(ip) {
            return;
        }
        let for_us = self.addresses.is_own_v4(arp.target_ip);
        // RFC 826: merge what is known; add only when it was meant for us.
        let asked = arp.operation == Operation::Request && for_us;
        let answered = arp.operation == Operation::Reply && !arrived.to_group;
        // `arp_process`: a question for us, or an announcement, overrides at once; anything else not within a second,
        // lest two proxies for one address take turns.
        let recent = self.neighbours.updated_at(ip.into()).is_some_and(|at| now < at.saturating_add(LOCKTIME));
        let word = Word {
            mac,
            kind: if answered { WordKind::Solicited } else { WordKind::Unsolicited },
            may_override: asked || arp.sender_ip == arp.target_ip || !recent,
            create: asked,
        };
        self.hear_of_neighbour(ip.into(), word, now, fx);
        if asked && self.config.shard.index == 0 {
            self.send_arp(Operation::Reply, arp.target_ip, (ip, mac), mac, fx);
        }
    }

    /// Asks where a neighbour is.
    pub(crate) fn ask_arp(&mut self, ip: Ipv4Addr, at: Option<MacAddr>, fx: &mut Effects) {
        let unknown = MacAddr([0; 6]);
        let sender = self.addresses.source_for(ip.into());
        let Some(std::net::IpAddr::V4(sender)) = sender else { return };
        self.send_arp(Operation::Request, sender, (ip, unknown), at.unwrap_or(MacAddr::BROADCAST), fx);
    }

    fn send_arp(
        &mut self,
        operation: Operation,
        sender_ip: Ipv4Addr,
        (target_ip, target_mac): (Ipv4Addr, MacAddr),
        to: MacAddr,
        fx: &mut Effects,
    ) {
        let Some(mut packet) = self.pool.alloc(EthernetHeader::LEN, ArpPacket::LEN) else {
            // The question is asked again, and so is the one that this would have answered.
            return self.drops.count(DropReason::Nomem);
        };
        let arp = ArpPacket { operation, sender_mac: self.config.mac, sender_ip, target_mac, target_ip };
        arp.emit(packet.put(ArpPacket::LEN).first_chunk_mut().expect("as many bytes as were put"));
        self.push_ethernet(to, EtherType::Arp, &mut packet);
        fx.tx.push(packet);
    }
}
