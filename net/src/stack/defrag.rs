//! `ip_defrag` and `ipv6_frag_rcv`: fragments that arrive, the packets that they make, and those that never become whole.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::complain::{Complaint, complain};
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::fragment::seal_v4;
use crate::stack::ip::{HEADROOM, IpLayer, Lower};
use crate::stack::ip_input::{Arrived, header_v4, header_v6};
use crate::stack::reassembly::{Expired, Fault, Key, Outcome, Piece, Whole, join};
use crate::wire::checksum::Sum;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::FragmentHeader;
use wakeline_runtime::clock::Instant;

impl IpLayer {
    /// A fragment, from its IPv4 header on. Returns the packet that it has made whole.
    #[cold]
    pub(crate) fn defragment_v4(
        &mut self,
        mut packet: PacketBuf,
        header: &Ipv4Header,
        now: Instant,
        fx: &mut Effects,
    ) -> Option<PacketBuf> {
        self.counters.count(Mib::IpReasmReqds);
        let header_len = usize::from(header.header_len);
        packet.pull(header_len);
        if header.more_fragments {
            // `ip_frag_queue`: what does not fill a unit of eight bytes is cut off.
            packet.truncate(packet.len() & !7);
        }
        let (src, dst) = (header.src.into(), header.dst.into());
        let key = Key { src, dst, ident: header.ident.into(), protocol: header.protocol };
        let offset = usize::from(header.fragment_offset) * 8;
        let piece = Piece { packet, offset, more: header.more_fragments, header_len, ecn: header.tos & 3 };
        let whole = self.add_piece(key, piece, now, fx)?;
        let congested = whole.congested;
        let mut packet = self.join(whole, true)?;
        let total_len = u16::try_from(packet.len()).ok();
        let bytes = packet.data_mut();
        let header_len = usize::from(bytes[0] & 0x0f) * 4;
        let Some(total_len) = total_len else {
            self.counters.count(Mib::IpReasmFails);
            self.drop_packet(packet, DropReason::PktTooBig, fx);
            return None;
        };
        bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
        bytes[6..8].fill(0);
        bytes[1] |= if congested { 3 } else { 0 };
        seal_v4(&mut bytes[..header_len]);
        sum_headers(&mut packet, header_len);
        self.counters.count(Mib::IpReasmOKs);
        Some(packet)
    }

    /// The same for IPv6. The fragment header `fragment` stands at `at`; its number, which the whole packet must not have
    /// any more, at `previous`.
    ///
    /// Simplification: a first piece need not have all of the packet's headers (RFC 7112); they are looked at when the
    /// packet is whole.
    #[cold]
    pub(crate) fn defragment_v6(
        &mut self,
        mut packet: PacketBuf,
        header: &Ipv6Header,
        (fragment, at, previous): (FragmentHeader, usize, usize),
        now: Instant,
        fx: &mut Effects,
    ) -> Option<PacketBuf> {
        self.counters.count(Mib::Ip6ReasmReqds);
        if fragment.offset == 0 && !fragment.more {
            // RFC 6946: a fragment that is the whole packet has nothing to do with others.
            self.counters.count(Mib::Ip6ReasmOKs);
            without_fragment_header(&mut packet, at, previous, false);
            return Some(packet);
        }
        let header_len = at + FragmentHeader::LEN;
        packet.pull(header_len);
        let key = Key { src: header.src.into(), dst: header.dst.into(), ident: fragment.ident, protocol: 0 };
        let offset = usize::from(fragment.offset) * 8;
        let piece = Piece { packet, offset, more: fragment.more, header_len, ecn: header.traffic_class & 3 };
        let whole = self.add_piece(key, piece, now, fx)?;
        let (congested, first) = (whole.congested, whole.pieces.first().map_or(0, |first| first.header_len));
        let mut packet = self.join(whole, false)?;
        let at = first.saturating_sub(FragmentHeader::LEN);
        if packet.len() - FragmentHeader::LEN - Ipv6Header::LEN > usize::from(u16::MAX) || previous >= at {
            // The first piece's headers are not those of this one, or the whole is too long.
            self.counters.count(Mib::Ip6ReasmFails);
            self.drop_packet(packet, DropReason::PktTooBig, fx);
            return None;
        }
        without_fragment_header(&mut packet, at, previous, congested);
        sum_headers(&mut packet, at);
        self.counters.count(Mib::Ip6ReasmOKs);
        Some(packet)
    }

    fn add_piece(&mut self, key: Key, piece: Piece, now: Instant, fx: &Effects) -> Option<Whole> {
        let v4 = key.src.is_ipv4();
        let mut evicted = Vec::new();
        let outcome = self.reassembly.add(key, piece, now, &mut evicted);
        for Expired { first, rest, .. } in evicted {
            self.count_fragments(v4, Mib::IpReasmFails, Mib::Ip6ReasmFails);
            let first = first.map(|first| first.packet);
            first.into_iter().chain(rest).for_each(|packet| self.drop_packet(packet, DropReason::FragTooFar, fx));
        }
        match outcome {
            Outcome::Waits => None,
            Outcome::Whole(whole) => Some(whole),
            Outcome::Duplicate(packet) => {
                self.drop_packet(packet, DropReason::DupFrag, fx);
                None
            }
            Outcome::Ended(packets, fault) => {
                if fault == Fault::Overlap {
                    self.count_fragments(v4, Mib::IpExtReasmOverlaps, Mib::Ip6ReasmOverlaps);
                }
                self.count_fragments(v4, Mib::IpReasmFails, Mib::Ip6ReasmFails);
                packets.into_iter().for_each(|packet| self.drop_packet(packet, DropReason::FragOverlap, fx));
                None
            }
        }
    }

    fn join(&mut self, whole: Whole, v4: bool) -> Option<PacketBuf> {
        let joined = join(whole, HEADROOM, &mut self.pool);
        if joined.is_none() {
            self.count_fragments(v4, Mib::IpReasmFails, Mib::Ip6ReasmFails);
            self.drops.count(DropReason::Nomem);
        }
        joined
    }

    pub(crate) fn count_fragments(&mut self, v4: bool, mib: Mib, mib6: Mib) {
        self.counters.count(if v4 { mib } else { mib6 });
    }
}

/// What the device has summed of the data of all pieces is what it would have summed of the packet with its headers.
fn sum_headers(packet: &mut PacketBuf, header_len: usize) {
    if let Some(device) = packet.device_sum() {
        let mut sum = Sum::default();
        sum.add(&device);
        sum.add(&packet.data()[..header_len]);
        packet.set_device_sum(sum.folded());
    }
}

/// Takes the fragment header at `at` out of a packet of IPv6 and writes what that changes.
fn without_fragment_header(packet: &mut PacketBuf, at: usize, previous: usize, congested: bool) {
    let bytes = packet.data_mut();
    bytes[previous] = bytes[at];
    bytes.copy_within(..at, FragmentHeader::LEN);
    packet.pull(FragmentHeader::LEN);
    let payload_len = (packet.len() - Ipv6Header::LEN) as u16;
    let bytes = packet.data_mut();
    bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
    bytes[1] |= if congested { 0x30 } else { 0 };
}

/// `ip_expire` and `ip6frag_expire_frag_queue`: a packet that has not become whole in time. Its sender is told if its first
/// piece is there.
#[cold]
pub(crate) fn on_expired(expired: Expired, lower: &mut Lower<'_>) {
    let v4 = expired.key.src.is_ipv4();
    lower.ip.count_fragments(v4, Mib::IpReasmTimeout, Mib::Ip6ReasmTimeout);
    lower.ip.count_fragments(v4, Mib::IpReasmFails, Mib::Ip6ReasmFails);
    if let Some(Piece { mut packet, header_len, .. }) = expired.first {
        if let Some(ip) = header_of(&packet, header_len) {
            complain(lower, &ip, &mut packet, Complaint::ReassemblyTime);
        }
        lower.ip.drop_packet(packet, DropReason::FragReasmTimeout, lower.fx);
    }
    for packet in expired.rest {
        lower.ip.drop_packet(packet, DropReason::FragReasmTimeout, lower.fx);
    }
}

/// The header that was pulled off a piece.
fn header_of(packet: &PacketBuf, header_len: usize) -> Option<IpHeader> {
    let bytes = packet.pulled(header_len);
    let arrived = Arrived { from_self: false, to_group: false, whole: false };
    let ip = match bytes.first()? >> 4 {
        4 => header_v4(&Ipv4Header::parse_quoted(bytes).ok()?, arrived),
        _ => header_v6(&Ipv6Header::parse_quoted(bytes).ok()?, arrived),
    };
    Some(IpHeader { header_len: header_len as u16, ..ip })
}
