//! Cutting packets into fragments (RFC 791 3.2, RFC 8200 4.5), and the numbers that hold them together.

use crate::packet::{PacketBuf, PoolCache};
use crate::stack::keyed_hash::keyed_hash;
use crate::wire::checksum::checksum;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::{FragmentHeader, ext};
use std::net::IpAddr;

/// Where identifications come from: unpredictable across destinations, not repeated soon towards one.
#[derive(Debug)]
pub(crate) struct Idents {
    key: [u64; 2],
    buckets: Box<[u16; BUCKETS]>,
    count: u64,
}

/// `ip_idents`, which has more of them.
const BUCKETS: usize = 256;

impl Idents {
    /// Numbers that nobody knows who does not know the secret.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Idents {
        let key = [a ^ c, b ^ d];
        let buckets = Box::new(std::array::from_fn(|n| keyed_hash(key, &[n as u64]) as u16));
        Idents { key, buckets, count: 0 }
    }

    /// `ip_select_ident`: counts up towards one destination.
    pub(crate) fn next_v4(&mut self, dst: IpAddr, protocol: u8) -> u16 {
        let IpAddr::V4(dst) = dst else { return 0 };
        let hash = keyed_hash(self.key, &[u64::from(dst.to_bits()) << 8 | u64::from(protocol)]);
        let bucket = &mut self.buckets[hash as usize % BUCKETS];
        *bucket = bucket.wrapping_add(1);
        *bucket
    }

    /// RFC 7739 5.3: random.
    pub(crate) fn next_v6(&mut self) -> u32 {
        self.count += 1;
        keyed_hash(self.key, &[u64::MAX, self.count]) as u32
    }
}

/// Cuts a packet, from its IPv4 header on, into pieces of at most `limit` bytes, which are handed to `put` in order. A
/// piece of a packet can be cut again. Options are repeated in every piece, whether they ask for it or not. `None` when
/// the pool is dry.
pub(crate) fn cut_v4(
    packet: &[u8],
    limit: usize,
    pool: &mut PoolCache,
    put: &mut impl FnMut(PacketBuf),
) -> Option<usize> {
    let header = Ipv4Header::parse_quoted(packet).ok()?;
    let header_len = usize::from(header.header_len);
    let (head, data) = packet.split_at_checked(header_len)?;
    let step = limit.saturating_sub(header_len) & !7;
    if step == 0 {
        return None;
    }
    for (n, chunk) in data.chunks(step).enumerate() {
        let last = (n + 1) * step >= data.len();
        let more = header.more_fragments || !last;
        let offset = header.fragment_offset + (n * step / 8) as u16;
        let mut piece = pool.alloc(EthernetHeader::LEN, header_len + chunk.len())?;
        let bytes = piece.put(header_len + chunk.len());
        bytes[..header_len].copy_from_slice(head);
        bytes[header_len..].copy_from_slice(chunk);
        let total_len = (header_len + chunk.len()) as u16;
        bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
        let flags = if more { 0x2000 } else { 0 } | offset & 0x1fff;
        bytes[6..8].copy_from_slice(&flags.to_be_bytes());
        seal_v4(&mut bytes[..header_len]);
        put(piece);
    }
    Some(data.len().div_ceil(step))
}

/// Writes an IPv4 header's checksum anew.
pub(crate) fn seal_v4(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum);
}

/// The same for a packet of IPv6 without extension headers. Only its sender cuts it.
pub(crate) fn cut_v6(
    packet: &[u8],
    limit: usize,
    ident: u32,
    pool: &mut PoolCache,
    put: &mut impl FnMut(PacketBuf),
) -> Option<usize> {
    const HEADERS: usize = Ipv6Header::LEN + FragmentHeader::LEN;
    let header = Ipv6Header::parse_quoted(packet).ok()?;
    let data = packet.get(Ipv6Header::LEN..)?;
    let step = limit.saturating_sub(HEADERS) & !7;
    if step == 0 {
        return None;
    }
    for (n, chunk) in data.chunks(step).enumerate() {
        let more = (n + 1) * step < data.len();
        let offset = (n * step / 8) as u16;
        let mut piece = pool.alloc(EthernetHeader::LEN, HEADERS + chunk.len())?;
        let bytes = piece.put(HEADERS + chunk.len());
        let payload_len = (FragmentHeader::LEN + chunk.len()) as u16;
        let outer = Ipv6Header { payload_len, next_header: ext::FRAGMENT, ..header };
        outer.emit(bytes.first_chunk_mut().expect("as many bytes as were put"));
        let fragment = FragmentHeader { next_header: header.next_header, offset, more, ident };
        fragment.emit(bytes[Ipv6Header::LEN..].first_chunk_mut().expect("as many bytes as were put"));
        bytes[HEADERS..].copy_from_slice(chunk);
        put(piece);
    }
    Some(data.len().div_ceil(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;
    use crate::wire::ipv6_ext::{Walked, walk};
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn packet_v4(len: usize) -> Vec<u8> {
        let mut header = [0; Ipv4Header::LEN];
        let plain = Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 17, len);
        Ipv4Header { dont_fragment: false, ident: 7, ..plain }.emit(&mut header);
        [&header[..], &(0..len).map(|at| at as u8).collect::<Vec<_>>()].concat()
    }

    fn cut(packet: &[u8], limit: usize) -> Vec<Vec<u8>> {
        let (pool, mut pieces) = (Pool::new(1 << 20), Vec::new());
        let put = &mut |piece: PacketBuf| pieces.push(piece.data().to_vec());
        cut_v4(packet, limit, &mut pool.cache(), put).unwrap();
        pieces
    }

    #[test]
    fn pieces_print_as_tcpdump_prints_them() {
        let pieces = cut(&packet_v4(3000), 1500);
        let printed: Vec<_> = pieces.iter().map(|piece| Ipv4Header::parse(piece).unwrap().to_string()).collect();
        let line = |offset: u16, flags: &str, len: u16| {
            format!(
                "IP (tos 0x0, ttl 64, id 7, offset {offset}, flags [{flags}], proto UDP (17), length {len}) 10.0.0.1 > 10.0.0.2"
            )
        };
        assert_eq!(printed, [line(0, "+", 1500), line(1480, "+", 1500), line(2960, "none", 60)]);
        let again = cut(&pieces[1], 800);
        let printed: Vec<_> = again.iter().map(|piece| Ipv4Header::parse(piece).unwrap().to_string()).collect();
        assert_eq!(printed, [line(1480, "+", 796), line(2256, "+", 724)], "a piece from the middle stays one");
    }

    #[test]
    fn identifications_count_towards_one_and_differ_between_secrets() {
        let mut idents = Idents::new([1, 2, 3, 4]);
        let dst = IpAddr::from([10, 0, 0, 2]);
        let first = idents.next_v4(dst, 17);
        assert_eq!(idents.next_v4(dst, 17), first.wrapping_add(1));
        assert_ne!(Idents::new([1, 2, 3, 5]).next_v4(dst, 17), first);
        assert_ne!(idents.next_v6(), idents.next_v6());
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(len in 1usize..4000, limit in 1280usize..1600) {
            let mut header = [0; Ipv6Header::LEN];
            let plain = Ipv6Header {
                traffic_class: 0, flow_label: 0, payload_len: len as u16, next_header: 17, hop_limit: 64,
                src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::LOCALHOST,
            };
            plain.emit(&mut header);
            let data: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let pool = Pool::new(1 << 20);
            let (mut back, mut n) = (Vec::new(), 0);
            let put = &mut |piece: PacketBuf| {
                let outer = Ipv6Header::parse(piece.data()).unwrap();
                let Ok(Walked::Fragment { header, offset, .. }) = walk(piece.data(), outer.next_header) else { panic!() };
                assert!(piece.len() <= limit && usize::from(header.offset) * 8 == back.len() && header.ident == 9);
                back.extend_from_slice(&piece.data()[offset + 8..]);
                assert_eq!(header.more, back.len() < len);
                n += 1;
            };
            let count = cut_v6(&[&header[..], &data].concat(), limit, 9, &mut pool.cache(), put);
            prop_assert_eq!((count, back), (Some(n), data));
            let mut back = Vec::new();
            for piece in cut(&packet_v4(len), limit) {
                let header = Ipv4Header::parse(&piece).unwrap();
                prop_assert!(piece.len() <= limit && usize::from(header.fragment_offset) * 8 == back.len());
                back.extend_from_slice(&piece[20..]);
                prop_assert_eq!(header.more_fragments, back.len() < len);
            }
            prop_assert_eq!(&back[..], &packet_v4(len)[20..]);
        }
    }
}
