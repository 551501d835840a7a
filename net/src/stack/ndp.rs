//! Neighbour discovery (RFC 4861) as a host does it: asking for neighbours of IPv6, answering, and learning from both.

use crate::event::DropReason;
use crate::stack::autoconf::{hear_of_duplicate, hear_router};
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::ip::{HEADROOM, IpLayer, Lower};
use crate::stack::neighbour::{Word, WordKind};
use crate::wire::ethernet::MacAddr;
use crate::wire::ip::{Envelope, IpHeader};
use crate::wire::ipv4::protocol;
use crate::wire::ndp::{ALL_NODES, NaFlags, NdpMessage, solicited_node};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv6Addr};
use wakeline_runtime::clock::Instant;

/// RFC 4861 6.1 and 7.1: nothing that a router has passed on is believed.
pub(crate) const HOP_LIMIT: u8 = 255;

/// A message that came with hop limit 255. It arrives at one shard, which answers and tells the others.
pub(crate) fn on_message(ip: &IpHeader, message: &NdpMessage, lower: &mut Lower<'_>) {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else { return };
    match *message {
        NdpMessage::NeighbourSolicit { target, source_mac } => on_solicit((src, dst), target, source_mac, lower),
        NdpMessage::NeighbourAdvert { target, flags, target_mac } => on_advert(dst, target, flags, target_mac, lower),
        NdpMessage::RouterAdvert(ref advert) => hear_router(src, advert, lower),
        // A host has no use for the rest; redirects are not listened to (`accept_redirects` 0).
        NdpMessage::RouterSolicit { .. } | NdpMessage::Redirect => {}
    }
}

/// RFC 4861 7.2.3 and 7.2.4, `ndisc_recv_ns`.
fn on_solicit((src, dst): (Ipv6Addr, Ipv6Addr), target: Ipv6Addr, source_mac: Option<MacAddr>, lower: &mut Lower<'_>) {
    // 7.1.1: who has no address yet names no station, and asks the group.
    let probe = src.is_unspecified();
    if probe && (source_mac.is_some() || dst != solicited_node(target)) {
        return;
    }
    let is_tentative = lower.ip.autoconf.is_tentative(target);
    if is_tentative && probe {
        // RFC 4862 5.4.3: two want it, and neither gets it.
        return hear_of_duplicate(target, lower);
    }
    if !lower.ip.addresses.is_own_v6(target) {
        return;
    }
    if let Some(mac) = source_mac {
        hear(src, Word { mac, kind: WordKind::Unsolicited, may_override: true, create: true }, lower);
    }
    let (to, mut flags) = match probe {
        true => (ALL_NODES, NaFlags::OVERRIDE),
        false => (src, NaFlags::SOLICITED | NaFlags::OVERRIDE),
    };
    // RFC 4429 3.3: it may be somebody else's still.
    flags.set(NaFlags::OVERRIDE, !is_tentative);
    flags.set(NaFlags::ROUTER, lower.ip.config.forwards);
    let answer = NdpMessage::NeighbourAdvert { target, flags, target_mac: Some(lower.ip.config.mac) };
    let Lower { now, ip, fx } = lower;
    ip.send_ndp((target, to), &answer, *now, fx);
}

/// RFC 4861 7.2.5, `ndisc_recv_na`.
fn on_advert(dst: Ipv6Addr, target: Ipv6Addr, flags: NaFlags, target_mac: Option<MacAddr>, lower: &mut Lower<'_>) {
    let solicited = flags.contains(NaFlags::SOLICITED);
    // 7.1.2: an answer goes to who has asked, and to nobody else.
    if solicited && dst.is_multicast() {
        return;
    }
    if lower.ip.autoconf.is_tentative(target) {
        // RFC 4862 5.4.4
        return hear_of_duplicate(target, lower);
    }
    // Without a station it could only confirm what is known. Linux ignores it, too.
    let Some(mac) = target_mac else { return };
    let kind = if solicited { WordKind::Solicited } else { WordKind::Unsolicited };
    let word = Word { mac, kind, may_override: flags.contains(NaFlags::OVERRIDE), create: false };
    hear(target, word, lower);
}

fn hear(addr: Ipv6Addr, word: Word, lower: &mut Lower<'_>) {
    if word.mac.is_multicast() || addr.is_unspecified() || addr.is_multicast() || lower.ip.is_own(addr.into()) {
        return;
    }
    lower.ip.hear_of_neighbour(addr.into(), word, lower.now, lower.fx);
}

impl IpLayer {
    /// Asks where a neighbour is: its group, or with `known` the station at which it was.
    pub(crate) fn ask_ndp(&mut self, target: Ipv6Addr, known: bool, now: Instant, fx: &mut Effects) {
        let Some(IpAddr::V6(src)) = self.addresses.source_for(target.into()) else { return };
        let message = NdpMessage::NeighbourSolicit { target, source_mac: Some(self.config.mac) };
        let dst = if known { target } else { solicited_node(target) };
        self.send_ndp((src, dst), &message, now, fx);
    }

    pub(crate) fn send_ndp(
        &mut self,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        message: &NdpMessage,
        now: Instant,
        fx: &mut Effects,
    ) {
        let mut bytes = SmallVec::new();
        message.emit((src, dst), &mut bytes);
        let Some(mut packet) = self.pool.alloc(HEADROOM, bytes.len()) else {
            // The question is asked again, and so is the one that this would have answered.
            return self.drops.count(DropReason::Nomem);
        };
        packet.put(bytes.len()).copy_from_slice(&bytes);
        let envelope = Envelope { hop_limit: HOP_LIMIT, ..Envelope::new(src.into(), dst.into(), protocol::ICMPV6) };
        self.counters.count(Mib::Icmp6OutMsgs);
        // The link is where neighbours are: there is a route.
        let _ = self.send(packet, &envelope, now, fx);
    }
}
