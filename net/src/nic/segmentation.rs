//! What the sender's device does to a frame before it is on the wire: cuts super-segments, completes checksums.
//!
//! # Simplification
//! Between two devices on a perfect link that both offload it, the work is not done at all: the receiver's `rx-gro-hw` would
//! put together what the sender's segmentation has cut, and its `rx-checksumming` would verify what the sender's device has
//! summed. The super-segment then takes one descriptor in each ring, and counts as one frame, where a real receiver's
//! device has seen many. On a link that loses or delays, and towards a raw port, a TAP device or a receiver without the
//! feature, every frame is real, and a device with `rx-gro-hw` really puts them together (`rx_ring.rs`).

use crate::nic::checksumming::complete_checksum;
use crate::nic::offloads::Offloads;
use crate::packet::{PacketBuf, PoolCache};
use crate::wire::checksum::{Sum, checksum};
use crate::wire::ethernet::EthernetHeader;
use crate::wire::tcp::TcpFlags;

/// Makes of `frames`, in order, what whoever has `taker`'s offloads can take. Says how many segments found no memory.
pub(crate) fn finish(frames: &mut Vec<PacketBuf>, taker: Offloads, pool: &mut PoolCache) -> usize {
    let (cut, sum) = (!taker.contains(Offloads::RX_GRO_HW), !taker.contains(Offloads::RX_CHECKSUMMING));
    let mut lost = 0;
    if cut && frames.iter().any(|frame| frame.rx.gso_size > 0) {
        for frame in std::mem::take(frames) {
            if frame.rx.gso_size > 0 {
                lost += segment(&frame, pool, frames);
                pool.free(frame);
            } else {
                frames.push(frame);
            }
        }
    }
    if sum {
        frames.iter_mut().for_each(complete_checksum);
    }
    lost
}

/// `tcp_gso_segment`: cuts `frame` behind `out`. Says how many segments found no memory.
fn segment(frame: &PacketBuf, pool: &mut PoolCache, out: &mut Vec<PacketBuf>) -> usize {
    let Some(layout) = Layout::of(frame) else { return usize::from(frame.rx.gso_segs) };
    let (headers, linear) = frame.data().split_at(layout.headers);
    let (mss, len) = (usize::from(frame.rx.gso_size), frame.len() - layout.headers);
    let mut frags = frame.frags().iter().map(|frag| frag.part(0, frag.len()));
    let mut frag = frags.next();
    let (mut at, mut lost) = (0, 0);
    for number in 0..len.div_ceil(mss) {
        let end = (at + mss).min(len);
        let copied = &linear[at.min(linear.len())..end.min(linear.len())];
        let mut packet = pool.alloc(0, headers.len() + copied.len());
        if let Some(packet) = &mut packet {
            packet.put(headers.len()).copy_from_slice(headers);
            packet.put(copied.len()).copy_from_slice(copied);
        }
        let mut left = end - at - copied.len();
        while let Some(first) = frag.as_mut().filter(|_| left > 0) {
            let n = left.min(first.len());
            if let Some(packet) = &mut packet {
                packet.add_frag(first.part(0, n));
            }
            first.pull(n);
            left -= n;
            if first.len() == 0 {
                frag = frags.next();
            }
        }
        at = end;
        let Some(mut packet) = packet else {
            lost += 1;
            continue;
        };
        layout.rewrite(&mut packet, number, mss, end == len);
        packet.rx.hash = frame.rx.hash;
        packet.leave_checksum_at(layout.tcp, CHECKSUM);
        out.push(packet);
    }
    lost
}

/// Where the headers of a super-segment lie.
struct Layout {
    is_v6: bool,
    /// The TCP header.
    tcp: usize,
    /// The text.
    headers: usize,
}

// Offsets in a TCP header.
const SEQ: usize = 4;
const DATA_OFFSET: usize = 12;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;

const IP: usize = EthernetHeader::LEN;
const IPV4_MIN: usize = 20;
const IPV6_LEN: usize = 40;

impl Layout {
    fn of(frame: &PacketBuf) -> Option<Layout> {
        let (tcp, _) = frame.left_checksum()?;
        let data = frame.data();
        let headers = tcp + usize::from(data.get(tcp + DATA_OFFSET)? >> 4) * 4;
        let is_v6 = data.get(IP)? >> 4 == 6;
        let network = if is_v6 { IPV6_LEN } else { IPV4_MIN };
        (tcp >= IP + network && headers > tcp + CHECKSUM && headers <= data.len()).then_some(Layout {
            is_v6,
            tcp,
            headers,
        })
    }

    /// Makes the copied headers those of segment `number`.
    fn rewrite(&self, packet: &mut PacketBuf, number: usize, mss: usize, is_last: bool) {
        let segment_len = packet.len() - self.tcp;
        let (network, segment) = packet.data_mut().split_at_mut(self.tcp);
        let seq = u32_at(segment, SEQ).wrapping_add((number * mss) as u32);
        segment[SEQ..SEQ + 4].copy_from_slice(&seq.to_be_bytes());
        let mut flags = TcpFlags::from_bits_retain(segment[FLAGS]);
        if !is_last {
            flags.remove(TcpFlags::FIN | TcpFlags::PSH);
        }
        if number > 0 {
            flags.remove(TcpFlags::CWR);
        }
        segment[FLAGS] = flags.bits();
        let ip = &mut network[IP..];
        let pseudo = if self.is_v6 { rewrite_v6(ip, segment_len) } else { rewrite_v4(ip, segment_len, number) };
        segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&pseudo.folded());
    }
}

fn rewrite_v4(ip: &mut [u8], segment_len: usize, number: usize) -> Sum {
    let total_len = (ip.len() + segment_len) as u16;
    ip[2..4].copy_from_slice(&total_len.to_be_bytes());
    let ident = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(number as u16);
    ip[4..6].copy_from_slice(&ident.to_be_bytes());
    ip[10..12].fill(0);
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum);
    pseudo_header(&ip[12..20], segment_len)
}

fn rewrite_v6(ip: &mut [u8], segment_len: usize) -> Sum {
    let payload_len = (ip.len() - IPV6_LEN + segment_len) as u16;
    ip[4..6].copy_from_slice(&payload_len.to_be_bytes());
    pseudo_header(&ip[8..40], segment_len)
}

fn pseudo_header(addresses: &[u8], segment_len: usize) -> Sum {
    let mut sum = Sum::default();
    sum.add(addresses);
    sum.add(&[0, TCP]);
    sum.add(&(segment_len as u16).to_be_bytes());
    sum
}

const TCP: u8 = 6;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{IpSummed, Pool};
    use crate::wire::ipv4::{Ipv4Header, protocol};
    use crate::wire::tcp::{SeqNumber, TcpHeader};
    use crate::wire::tcp_options::TcpOptions;
    use std::net::Ipv4Addr;

    const SRC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const DST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    /// A frame with `len` bytes of text, its checksum left to the device.
    fn super_segment(pool: &mut PoolCache, len: usize, mss: u16) -> PacketBuf {
        let flags = TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN | TcpFlags::CWR;
        let options = TcpOptions { timestamps: Some((7, 8)), ..TcpOptions::default() };
        let (seq, ack) = (SeqNumber(u32::MAX - 50), SeqNumber(9));
        let header = TcpHeader { src_port: 1, dst_port: 2, seq, ack, flags, window: 100, urgent: 0, options };
        let mut packet = pool.alloc(100, len).unwrap();
        packet.put(len).iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
        let tcp = header.header_len();
        header.emit(packet.push(tcp), None);
        let seed = Sum::pseudo_header(SRC.into(), DST.into(), protocol::TCP, tcp + len).folded();
        packet.data_mut()[CHECKSUM..CHECKSUM + 2].copy_from_slice(&seed);
        packet.leave_checksum(CHECKSUM as u16);
        let ip = Ipv4Header::new(SRC, DST, protocol::TCP, tcp + len);
        ip.emit(packet.push(Ipv4Header::LEN).first_chunk_mut().unwrap());
        packet.push(EthernetHeader::LEN).copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        (packet.rx.gso_size, packet.rx.gso_segs) = (mss, len.div_ceil(mss.into()) as u16);
        packet
    }

    /// The segments as tcpdump would print them, after their checksums have been verified.
    fn shown(frames: &[PacketBuf]) -> Vec<String> {
        let show = |frame: &PacketBuf| {
            let ip = Ipv4Header::parse(&frame.data()[IP..]).unwrap();
            let segment = &frame.data()[IP + usize::from(ip.header_len)..];
            assert!(TcpHeader::verify(ip.src.into(), ip.dst.into(), segment.len(), [segment].into_iter()), "{frame:?}");
            let (header, at) = TcpHeader::parse(segment).unwrap();
            format!("[{}] {}:{}", header.flags, header.seq, segment.len() - at)
        };
        frames.iter().map(show).collect()
    }

    #[test]
    fn a_super_segment_is_cut_and_summed() {
        let mut pool = Pool::new(1 << 20).cache();
        let mut frames = vec![super_segment(&mut pool, 250, 100), super_segment(&mut pool, 100, 100)];
        assert_eq!(finish(&mut frames, Offloads::empty(), &mut pool), 0);
        let first = u32::MAX - 50;
        assert_eq!(
            shown(&frames),
            [
                format!("[.W] {first}:100"),
                "[.] 49:100".to_owned(),
                "[FP.] 149:50".to_owned(),
                format!("[FP.W] {first}:100"),
            ]
        );
        let text: Vec<u8> = frames[..3].iter().flat_map(|frame| frame.data()[66..].to_vec()).collect();
        assert_eq!(text, (0..250).map(|at| at as u8).collect::<Vec<_>>());
    }

    #[test]
    fn a_receiver_that_offloads_gets_it_as_it_is() {
        let mut pool = Pool::new(1 << 20).cache();
        let mut frames = vec![super_segment(&mut pool, 250, 100)];
        assert_eq!(finish(&mut frames, Offloads::all(), &mut pool), 0);
        assert_eq!((frames.len(), frames[0].rx.ip_summed), (1, IpSummed::Partial));
        assert_eq!(finish(&mut frames, Offloads::RX_CHECKSUMMING, &mut pool), 0);
        assert!(frames.len() == 3 && frames.iter().all(|frame| frame.rx.ip_summed == IpSummed::Partial));
    }

    #[test]
    fn what_finds_no_memory_is_counted() {
        let mut pool = Pool::new(2048).cache();
        let mut frames = vec![super_segment(&mut pool, 1500, 500)];
        assert_eq!(finish(&mut frames, Offloads::empty(), &mut pool), 3);
        assert!(frames.is_empty());
    }
}
