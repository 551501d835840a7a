//! Checksums of TCP and UDP as a device's work: making those that the sender has left to it, verifying those that arrive.

use crate::packet::{Frag, IpSummed, PacketBuf};
use crate::wire::checksum::Sum;
use crate::wire::completion::Transport;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::ipv4::protocol;
use std::iter;

/// `skb_checksum_help`: stores the sum that the sender has left to the device.
pub(crate) fn complete_checksum(frame: &mut PacketBuf) {
    if let Some((start, at)) = frame.left_checksum() {
        let mut sum = Sum::default();
        sum.add_pieces(from(frame, start));
        let sum = match sum.checksum() {
            // UDP's way to say that there is one; to TCP both zeros are the same.
            [0, 0] => [0xff, 0xff],
            sum => sum,
        };
        frame.data_mut()[at..at + 2].copy_from_slice(&sum);
    }
    frame.rx.ip_summed = IpSummed::None;
}

/// What the device has seen of a frame's transport checksum.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Good,
    /// It does not.
    Bad,
    /// There is none that the device knows of: the stack looks itself.
    Unknown,
}

/// Verifies the checksum of a whole TCP segment or UDP datagram over IPv4 or IPv6.
pub(crate) fn verify(frame: &PacketBuf) -> Verdict {
    let data = frame.data();
    let Some(transport) = Transport::find_start(data, frame.len()) else { return Verdict::Unknown };
    let field = transport.checksum_at;
    if transport.start > data.len() || field + 2 > data.len() {
        return Verdict::Unknown;
    }
    if transport.protocol == protocol::UDP && data[field..field + 2] == [0, 0] {
        return Verdict::Unknown;
    }
    let mut sum = transport.pseudo_header(data);
    if frame.frags().is_empty() {
        sum.add(&data[transport.start..transport.end]);
    } else {
        // Nobody pads what he refers to.
        sum.add_pieces(from(frame, transport.start));
    }
    if sum.is_valid() { Verdict::Good } else { Verdict::Bad }
}

/// `CHECKSUM_COMPLETE`: gives the sum of all from the IP header on. Says whether it does: not of other protocols, nor of frames so
/// short that they may be padded (`mlx5e_handle_csum`).
pub(crate) fn sum_up(frame: &mut PacketBuf) -> bool {
    const ETH_ZLEN: usize = 60;
    let is_ip = EthernetHeader::parse(frame.data())
        .is_ok_and(|ethernet| matches!(ethernet.ethertype, EtherType::Ipv4 | EtherType::Ipv6));
    if !is_ip || frame.len() <= ETH_ZLEN {
        return false;
    }
    let mut sum = Sum::default();
    sum.add_pieces(from(frame, EthernetHeader::LEN));
    frame.set_device_sum(sum.folded());
    true
}

/// A frame's bytes from `start` on, which lies in its headers.
fn from(frame: &PacketBuf, start: usize) -> impl Iterator<Item = &[u8]> {
    iter::once(&frame.data()[start..]).chain(frame.frags().iter().map(Frag::bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;
    use crate::wire::checksum::Sum;
    use crate::wire::ipv4::Ipv4Header;
    use std::net::Ipv4Addr;

    /// A UDP datagram over IPv4, its checksum left to the device.
    fn datagram(payload: &[u8]) -> PacketBuf {
        let mut frame = Pool::new(1 << 20).cache().alloc(0, 200).expect("the pool is large enough");
        let len = 8 + payload.len();
        frame.put(EthernetHeader::LEN).copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let header = Ipv4Header::new(src, dst, protocol::UDP, len);
        header.emit(frame.put(Ipv4Header::LEN).first_chunk_mut().expect("as many bytes as were put"));
        frame.put(6).copy_from_slice(&[0, 1, 0, 2, 0, len as u8]);
        frame.put(2).copy_from_slice(&Sum::pseudo_header(src.into(), dst.into(), protocol::UDP, len).folded());
        frame.put(payload.len()).copy_from_slice(payload);
        frame.leave_checksum_at(34, 6);
        frame
    }

    #[test]
    fn what_was_completed_is_good_until_a_bit_flips() {
        for payload in [&b"a"[..], b"hello", &[0xff; 60]] {
            let mut frame = datagram(payload);
            complete_checksum(&mut frame);
            assert_eq!((verify(&frame), frame.rx.ip_summed), (Verdict::Good, IpSummed::None));
            let last = frame.len() - 1;
            frame.data_mut()[last] ^= 4;
            assert_eq!(verify(&frame), Verdict::Bad);
        }
    }

    #[test]
    fn a_sum_of_all_begins_with_the_ip_header() {
        let mut frame = datagram(&[7; 33]);
        complete_checksum(&mut frame);
        assert!(sum_up(&mut frame));
        let mut sum = Sum::default();
        sum.add(&frame.data()[14..]);
        assert_eq!((frame.device_sum(), frame.rx.ip_summed), (Some(sum.folded()), IpSummed::Complete));
        let mut short = datagram(&[7; 18]);
        complete_checksum(&mut short);
        assert!(!sum_up(&mut short) && short.device_sum().is_none(), "it might be padded");
        frame.data_mut()[13] = 6;
        assert!(!sum_up(&mut frame), "ARP");
    }

    #[test]
    fn what_cannot_be_judged_is_left_to_the_stack() {
        let mut frame = datagram(b"x");
        complete_checksum(&mut frame);
        for len in 0..frame.len() {
            let mut short = crate::packet::copy(&frame, &Pool::new(1 << 20)).expect("the pool is large enough");
            short.truncate(len);
            assert_eq!(verify(&short), Verdict::Unknown, "{len}");
        }
        frame.data_mut()[40..42].fill(0);
        assert_eq!(verify(&frame), Verdict::Unknown, "UDP without a checksum");
    }
}
