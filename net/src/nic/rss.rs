//! Receive-side scaling: a flow's hash chooses its queue, and so its CPU, for life.
//!
//! The hash is Microsoft's 32-bit Toeplitz function over addresses and ports in network order; the queue is
//! `table[hash & (size - 1)]`, and entry `i` of the default table is `i % queues`. TCP and UDP use the 4-tuple, fragments
//! and everything else the two addresses, other frames queue 0.

use smallvec::SmallVec;
use std::net::IpAddr;

/// The hash key, the indirection table, and the hash's tables made from the key.
#[derive(Debug)]
pub(crate) struct Rss {
    indirection: [u16; INDIRECTION_SIZE],
    queues: u16,
    /// `tables[i][b]` is what byte `b` at position `i` of the input adds to the hash. Empty with one queue.
    tables: Vec<[u32; 256]>,
}

/// The indirection table of an 82599.
const INDIRECTION_SIZE: usize = 128;

/// The bytes of an IPv6 4-tuple, the longest input.
const TUPLE_BYTES: usize = 36;

/// The key of Microsoft's published test vectors, which most drivers used as their default.
pub(crate) const DEFAULT_KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

impl Rss {
    /// Spreads flows evenly over `queues` queues (1..=64).
    pub(crate) fn new(key: &[u8; 40], queues: u16) -> Rss {
        assert!((1..=64).contains(&queues), "a device has 1 to 64 queue pairs");
        let mut indirection = [0; INDIRECTION_SIZE];
        for (entry, queue) in indirection.iter_mut().zip((0..queues).cycle()) {
            *entry = queue;
        }
        let positions = if queues > 1 { TUPLE_BYTES } else { 0 };
        let tables = (0..positions).map(|position| byte_table(key, position)).collect();
        Rss { indirection, queues, tables }
    }

    /// The queue and the hash of a frame.
    pub(crate) fn steer(&self, frame: &[u8]) -> (u16, u32) {
        if self.queues == 1 {
            return (0, 0);
        }
        let Some(input) = flow_of(frame) else { return (0, 0) };
        let hash = self.hash(input.bytes());
        (self.queue_of(hash), hash)
    }

    /// The queue in which frames of this flow will arrive.
    /// Both addresses are of one family.
    pub(crate) fn queue_of_flow(&self, src: (IpAddr, u16), dst: (IpAddr, u16)) -> u16 {
        if self.queues == 1 {
            return 0;
        }
        let mut input = Input::default();
        for ip in [src.0, dst.0] {
            match ip {
                IpAddr::V4(ip) => input.put(&ip.octets()),
                IpAddr::V6(ip) => input.put(&ip.octets()),
            }
        }
        input.put(&src.1.to_be_bytes());
        input.put(&dst.1.to_be_bytes());
        self.queue_of(self.hash(input.bytes()))
    }

    fn queue_of(&self, hash: u32) -> u16 {
        self.indirection[hash as usize % INDIRECTION_SIZE]
    }

    fn hash(&self, input: &[u8]) -> u32 {
        input.iter().zip(&self.tables).fold(0, |hash, (&byte, table)| hash ^ table[usize::from(byte)])
    }
}

/// For every value of the byte at `position`: the key windows of its set bits, XORed.
fn byte_table(key: &[u8; 40], position: usize) -> [u32; 256] {
    let window = |bit: usize| {
        let mut bytes = [0; 8];
        bytes[..5].copy_from_slice(&key[position..position + 5]);
        (u64::from_be_bytes(bytes) << bit >> 32) as u32
    };
    std::array::from_fn(|byte| (0..8).filter(|bit| byte & (0x80 >> bit) != 0).fold(0, |hash, bit| hash ^ window(bit)))
}

/// The fields to hash, in network order.
#[derive(Default)]
struct Input {
    bytes: SmallVec<[u8; TUPLE_BYTES]>,
}

impl Input {
    fn put(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The fields to hash of a frame; `None` for what is not IP.
///
/// The device looks at fixed offsets only, and trusts nothing: a short or malformed frame hashes to less. Behind an
/// extension header of IPv6 it does not look for ports.
fn flow_of(frame: &[u8]) -> Option<Input> {
    const ETHERNET: usize = 14;
    let packet = frame.get(ETHERNET..)?;
    let (addresses, header_len, has_ports) = match frame[12..14] {
        [0x08, 0x00] => {
            let addresses = packet.get(12..20)?;
            let header_len = usize::from(packet[0] & 0x0f) * 4;
            let is_fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
            (addresses, header_len, header_len >= 20 && !is_fragment && matches!(packet[9], 6 | 17))
        }
        [0x86, 0xdd] => (packet.get(8..40)?, 40, matches!(packet[6], 6 | 17)),
        _ => return None,
    };
    let mut input = Input::default();
    input.put(addresses);
    if let Some(ports) = packet.get(header_len..header_len + 4).filter(|_| has_ports) {
        input.put(ports);
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RXPATH row 5: the published vectors.
    #[test]
    fn the_published_vectors_hold() {
        let rss = Rss::new(&DEFAULT_KEY, 2);
        let vectors: [(&str, u16, &str, u16, u32, u32); 8] = [
            ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e_8fc2, 0x51cc_c178),
            ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718_262a, 0xc626_b0ea),
            ("24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0_a5de, 0x5c2b_394a),
            ("38.27.205.30", 48228, "209.142.163.6", 2217, 0x8298_9176, 0xafc7_327f),
            ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d18_09c5, 0x10e8_28a2),
            ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc1_8cd5, 0x4020_7d3d),
            ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c_461c, 0xdde5_1bbf),
            ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4b61_e985, 0x02d1_feef),
        ];
        for (src, sport, dst, dport, two, four) in vectors {
            let (src, dst): (IpAddr, IpAddr) = (src.parse().unwrap(), dst.parse().unwrap());
            let mut input = Input::default();
            for ip in [src, dst] {
                match ip {
                    IpAddr::V4(ip) => input.put(&ip.octets()),
                    IpAddr::V6(ip) => input.put(&ip.octets()),
                }
            }
            assert_eq!(rss.hash(input.bytes()), two, "{src} > {dst}");
            input.put(&sport.to_be_bytes());
            input.put(&dport.to_be_bytes());
            assert_eq!(rss.hash(input.bytes()), four, "{src}.{sport} > {dst}.{dport}");
        }
    }

    /// RXPATH row 6: three queues share a table of 128 as 43, 43 and 42.
    #[test]
    fn the_default_table_is_dealt_out_in_turn() {
        let rss = Rss::new(&DEFAULT_KEY, 3);
        let share = |queue| rss.indirection.iter().filter(|&&q| q == queue).count();
        assert_eq!([share(0), share(1), share(2)], [43, 43, 42]);
    }

    #[test]
    fn a_frame_and_its_flow_agree_and_fragments_use_addresses_only() {
        let rss = Rss::new(&DEFAULT_KEY, 8);
        let mut frame = vec![0; 60];
        frame[12] = 0x08;
        frame[14] = 0x45;
        frame[23] = 6;
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[34..38].copy_from_slice(&[0x9c, 0x40, 0x1b, 0x58]);
        let flow = rss.queue_of_flow(([10, 0, 0, 1].into(), 40000), ([10, 0, 0, 2].into(), 7000));
        assert_eq!(rss.steer(&frame).0, flow);
        let whole = rss.steer(&frame).1;
        frame[20] = 0x20;
        assert_ne!(rss.steer(&frame).1, whole);
        for len in 0..frame.len() {
            rss.steer(&frame[..len]);
        }
    }

    #[test]
    fn a_frame_of_ipv6_and_its_flow_agree() {
        let rss = Rss::new(&DEFAULT_KEY, 8);
        let (src, dst): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
            ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let mut frame = vec![0; 74];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[20] = 17;
        frame[22..38].copy_from_slice(&src.octets());
        frame[38..54].copy_from_slice(&dst.octets());
        frame[54..58].copy_from_slice(&[0x9c, 0x40, 0x1b, 0x58]);
        let whole = rss.steer(&frame);
        assert_eq!(whole.0, rss.queue_of_flow((src.into(), 40000), (dst.into(), 7000)));
        frame[20] = 44;
        assert_ne!(rss.steer(&frame).1, whole.1, "a fragment has no ports");
        for len in 0..frame.len() {
            rss.steer(&frame[..len]);
        }
    }
}
