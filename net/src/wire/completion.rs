//! Completing a transport checksum that its sender left to the device.

use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::ipv4::protocol;

/// Where a TCP segment or UDP datagram stands in its frame, and what its checksum covers beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Where its header begins, and where its payload ends (what follows is padding).
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where the checksum stands in the header.
    pub(crate) checksum_at: usize,
    pub(crate) protocol: u8,
    /// Where the two addresses stand in the frame.
    addresses: (usize, usize),
}

impl Transport {
    /// Finds it in an Ethernet frame; `None` when the frame carries none, only a part of one, or is malformed. IPv6
    /// extension headers are not looked behind: who leaves a checksum to the device sends none.
    pub(crate) fn find(frame: &[u8]) -> Option<Transport> {
        Transport::find_start(frame, frame.len())
    }

    /// The same in a frame of `len` bytes, of which `frame` are the first.
    pub(crate) fn find_start(frame: &[u8], len: usize) -> Option<Transport> {
        let ethernet = EthernetHeader::parse(frame).ok()?;
        let packet = frame.get(EthernetHeader::LEN..)?;
        let at = |n: usize| packet.get(n).copied().map(usize::from);
        let short = |n: usize| Some(at(n)? << 8 | at(n + 1)?);
        let (header_len, total_len, protocol, addresses) = match ethernet.ethertype {
            EtherType::Ipv4 => {
                const FRAGMENT: usize = 0x3fff;
                if at(0)? >> 4 != 4 || short(6)? & FRAGMENT != 0 {
                    return None;
                }
                ((at(0)? & 15) * 4, short(2)?, at(9)?, (12, 20))
            }
            EtherType::Ipv6 => (40, 40 + short(4)?, at(6)?, (8, 40)),
            _ => return None,
        };
        let protocol = u8::try_from(protocol).ok()?;
        let (in_header, header_min) = match protocol {
            protocol::TCP => (16, 20),
            protocol::UDP => (6, 8),
            _ => return None,
        };
        if header_len < addresses.1 || total_len < header_len + header_min || total_len > len - EthernetHeader::LEN {
            return None;
        }
        let here = EthernetHeader::LEN;
        let (start, end) = (here + header_len, here + total_len);
        let addresses = (here + addresses.0, here + addresses.1);
        Some(Transport { start, end, checksum_at: start + in_header, protocol, addresses })
    }

    /// The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1).
    pub(crate) fn pseudo_header(&self, frame: &[u8]) -> Sum {
        let mut sum = Sum::default();
        sum.add(&frame[self.addresses.0..self.addresses.1]);
        let len = u32::try_from(self.end - self.start).expect("an IP packet's length has 16 bits");
        sum.add(&len.to_be_bytes());
        sum.add(&[0, 0, 0, self.protocol]);
        sum
    }
}

/// Writes the checksum of the frame's TCP segment or UDP datagram, whatever stood there. Leaves other frames alone.
pub(crate) fn complete(frame: &mut [u8]) {
    let Some(transport) = Transport::find(frame) else { return };
    let field = transport.checksum_at..transport.checksum_at + 2;
    frame[field.clone()].fill(0);
    let mut sum = transport.pseudo_header(frame);
    sum.add(&frame[transport.start..transport.end]);
    let checksum = match sum.checksum() {
        // RFC 768: a checksum of zero would say that there is none.
        [0, 0] if transport.protocol == protocol::UDP => [0xff, 0xff],
        checksum => checksum,
    };
    frame[field].copy_from_slice(&checksum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 10.0.0.1.40000 > 10.0.0.2.7: UDP, "hi".
    const UDP: &str = "020000000002 020000000001 0800
        4500 001e 0001 4000 4011 26cc 0a000001 0a000002
        9c40 0007 000a e726 6869";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
    }

    #[test]
    fn a_datagram_gets_its_checksum() {
        let whole = bytes(UDP);
        let mut frame = whole.clone();
        frame[40..42].fill(0);
        frame.extend([9; 16]); // padding is not covered
        complete(&mut frame);
        assert_eq!(frame[..whole.len()], whole);
    }

    #[test]
    fn fragments_are_left_alone() {
        let mut frame = bytes(UDP);
        frame[20] |= 0x20; // more fragments
        let before = frame.clone();
        complete(&mut frame);
        assert_eq!(frame, before);
    }

    proptest! {
        #[test]
        fn an_ipv6_segment_sums_up(payload in proptest::collection::vec(any::<u8>(), 20..200)) {
            let mut frame = vec![2; 12];
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([protocol::TCP, 64]);
            frame.extend(1..=32);
            frame.extend(&payload);
            complete(&mut frame);
            let transport = Transport::find(&frame).unwrap();
            let mut sum = transport.pseudo_header(&frame);
            sum.add(&frame[transport.start..transport.end]);
            prop_assert!(sum.is_valid());
        }

        #[test]
        fn no_frame_panics(mut frame in proptest::collection::vec(any::<u8>(), 0..120), six in any::<bool>()) {
            if frame.len() > 15 {
                frame[12..15].copy_from_slice(if six { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
            }
            complete(&mut frame);
        }
    }
}
