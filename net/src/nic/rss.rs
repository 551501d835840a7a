//! Receive-side scaling: a flow's hash chooses its queue, and so its CPU, for life.
//!
//! The hash is Microsoft's 32-bit Toeplitz function over addresses and ports in network order; the queue is
//! `table[hash & (size - 1)]`, and entry `i` of the default table is `i % queues`. TCP and UDP use the 4-tuple, fragments
//! and everything else the two addresses, other frames queue 0.

use smallvec::SmallVec;
use std::fmt;
use std::io;
use std::net::IpAddr;

/// The hash key, the indirection table, and the hash's tables made from the key.
#[derive(Debug)]
pub(crate) struct Rss {
    key: [u8; 40],
    indirection: Box<[u16]>,
    symmetric: RssSymmetry,
    queues: u16,
    /// The table is its user's, and stays when there are more queues or fewer (`netif_is_rxfh_configured`).
    is_configured: bool,
    /// `tables[i][b]` is what byte `b` at position `i` of the input adds to the hash. Empty where nobody hashes.
    tables: Vec<[u32; 256]>,
}

/// Whether both directions of a flow hash alike (`ethtool -X .. xfrm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RssSymmetry {
    /// They do not.
    #[default]
    None,
    /// `symmetric-xor`: addresses and ports are XORed with each other first, which spreads less.
    Xor,
    /// `symmetric-or-xor`: beside the XOR goes the OR, which spreads more.
    OrXor,
}

/// Receive-side scaling as `ethtool -x` shows it and `ethtool -X` sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rxfh {
    /// The Toeplitz key.
    pub key: Vec<u8>,
    /// For each value of the hash's low bits, the queue.
    pub indirection: Vec<u16>,
    /// Whether both directions of a flow hash alike.
    pub symmetric: RssSymmetry,
    /// How many queues there are.
    pub queues: u16,
}

/// The bytes of an IPv6 4-tuple, the longest input.
const TUPLE_BYTES: usize = 36;

/// The key of Microsoft's published test vectors, which most drivers used as their default.
pub(crate) const DEFAULT_KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

impl Rss {
    /// Spreads flows evenly over `queues` queues (1..=64) by a table of `entries`, a power of two. Without entries there is one
    /// queue; with one queue there is no hash.
    pub(crate) fn new(key: &[u8; 40], queues: u16, entries: usize) -> Rss {
        assert!((1..=64).contains(&queues), "a device has 1 to 64 queue pairs");
        debug_assert!(entries.is_power_of_two() || entries == 0 && queues == 1);
        let (indirection, tables) = (default_table(queues, entries), byte_tables(key, queues));
        Rss { key: *key, indirection, symmetric: RssSymmetry::None, queues, is_configured: false, tables }
    }

    /// Another key, table or symmetry (`ethtool -X`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where nobody hashes; `EINVAL` for a key or a table of another size and for a queue that there is not.
    pub(crate) fn set(&mut self, rxfh: &Rxfh) -> io::Result<()> {
        if self.indirection.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let key = <[u8; 40]>::try_from(&rxfh.key[..]);
        let queues_exist = rxfh.indirection.iter().all(|&queue| queue < self.queues);
        let (Ok(key), true, true) = (key, rxfh.indirection.len() == self.indirection.len(), queues_exist) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        let (queues, tables) = (self.queues, byte_tables(&key, self.queues));
        let is_configured = self.is_configured || rxfh.indirection[..] != self.indirection[..];
        let (indirection, symmetric) = (rxfh.indirection.clone().into(), rxfh.symmetric);
        *self = Rss { key, indirection, symmetric, queues, is_configured, tables };
        Ok(())
    }

    /// The table that the device begins with, from here on (`ethtool -X .. default`).
    pub(crate) fn reset(&mut self) {
        self.is_configured = false;
        self.indirection = default_table(self.queues, self.indirection.len());
    }

    /// Whether flows could be spread over `queues` queues with the table that the user has set (`ethtool_check_max_channel`).
    pub(crate) fn fits(&self, queues: u16) -> bool {
        !self.is_configured || self.indirection.iter().all(|&queue| queue < queues)
    }

    /// There are `queues` queues from here on, over which a table that is not the user's deals flows out anew.
    pub(crate) fn set_queues(&mut self, queues: u16) {
        debug_assert!(self.fits(queues), "this was looked at");
        self.queues = queues;
        if !self.is_configured {
            self.reset();
        }
        if self.tables.is_empty() {
            self.tables = byte_tables(&self.key, queues);
        }
    }

    /// What [`set`](Rss::set) sets.
    pub(crate) fn get(&self) -> Rxfh {
        let (key, indirection) = (self.key.to_vec(), self.indirection.to_vec());
        Rxfh { key, indirection, symmetric: self.symmetric, queues: self.queues }
    }

    /// Over how many queues flows are spread.
    pub(crate) fn queues(&self) -> u16 {
        self.queues
    }

    /// The queue and the hash of a frame that comes behind others, which are mostly of the same flow.
    #[inline]
    pub(crate) fn steer_behind(&self, last: &mut LastFlow, frame: &[u8]) -> (u16, u32) {
        let Some(flow) = plain_flow(frame) else { return self.steer(frame) };
        if last.flow != Some(flow) {
            *last = LastFlow { flow: Some(flow), to: self.steer(frame) };
        }
        last.to
    }

    /// The queue and the hash of a frame.
    pub(crate) fn steer(&self, frame: &[u8]) -> (u16, u32) {
        if self.tables.is_empty() {
            return (0, 0);
        }
        if self.symmetric == RssSymmetry::None
            && let Some(flow) = plain_flow(frame)
        {
            let hash = self.hash(&flow);
            return (self.queue_of(hash), hash);
        }
        let Some(input) = flow_of(frame) else { return (0, 0) };
        let hash = self.hash(self.symmetric.apply(input).bytes());
        (self.queue_of(hash), hash)
    }

    /// The queue in which frames of this flow will arrive.
    /// Both addresses are of one family.
    pub(crate) fn queue_of_flow(&self, src: (IpAddr, u16), dst: (IpAddr, u16)) -> u16 {
        if self.tables.is_empty() { 0 } else { self.queue_of(self.hash_of_flow(src, dst)) }
    }

    /// The hash of this flow's frames.
    pub(crate) fn hash_of_flow(&self, src: (IpAddr, u16), dst: (IpAddr, u16)) -> u32 {
        let mut input = Input::default();
        for ip in [src.0, dst.0] {
            match ip {
                IpAddr::V4(ip) => input.put(&ip.octets()),
                IpAddr::V6(ip) => input.put(&ip.octets()),
            }
        }
        input.put(&src.1.to_be_bytes());
        input.put(&dst.1.to_be_bytes());
        self.hash(self.symmetric.apply(input).bytes())
    }

    #[inline]
    fn queue_of(&self, hash: u32) -> u16 {
        self.indirection[hash as usize & (self.indirection.len() - 1)]
    }

    fn hash(&self, input: &[u8]) -> u32 {
        input.iter().zip(&self.tables).fold(0, |hash, (&byte, table)| hash ^ table[usize::from(byte)])
    }
}

impl RssSymmetry {
    /// What is hashed instead of addresses and ports.
    fn apply(self, input: Input) -> Input {
        if self == RssSymmetry::None {
            return input;
        }
        let bytes = input.bytes();
        // Two addresses, or those and two ports.
        let (addresses, ports) = bytes.split_at(if bytes.len() % 8 == 4 { bytes.len() - 4 } else { bytes.len() });
        let mut symmetric = Input::default();
        for pair in [addresses, ports] {
            let (src, dst) = pair.split_at(pair.len() / 2);
            let xor = src.iter().zip(dst).map(|(a, b)| a ^ b);
            match self {
                RssSymmetry::OrXor => symmetric.bytes.extend(src.iter().zip(dst).map(|(a, b)| a | b)),
                RssSymmetry::Xor | RssSymmetry::None => symmetric.bytes.extend(xor.clone()),
            }
            symmetric.bytes.extend(xor);
        }
        symmetric
    }
}

/// As `ethtool -x` prints it.
impl fmt::Display for Rxfh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RX flow hash indirection table for eth0 with {} RX ring(s):", self.queues)?;
        for (row, entries) in self.indirection.chunks(8).enumerate() {
            write!(f, "{:5}: ", row * 8)?;
            entries.iter().try_for_each(|queue| write!(f, " {queue:5}"))?;
            writeln!(f)?;
        }
        writeln!(f, "RSS hash key:")?;
        let key: Vec<String> = self.key.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(f, "{}", key.join(":"))?;
        writeln!(f, "RSS hash function:\n    toeplitz: on\n    xor: off\n    crc32: off")?;
        let on = |symmetry| if self.symmetric == symmetry { "on" } else { "off" };
        writeln!(f, "RSS input transformation:\n    symmetric-xor: {}", on(RssSymmetry::Xor))?;
        writeln!(f, "    symmetric-or-xor: {}", on(RssSymmetry::OrXor))
    }
}

/// Entry `i` is `i % queues`.
fn default_table(queues: u16, entries: usize) -> Box<[u16]> {
    (0..queues).cycle().take(entries).collect()
}

/// With one queue nobody hashes.
fn byte_tables(key: &[u8; 40], queues: u16) -> Vec<[u32; 256]> {
    let positions = if queues > 1 { TUPLE_BYTES } else { 0 };
    (0..positions).map(|position| byte_table(key, position)).collect()
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

/// Where the last frame of a batch went, if it was one of a [`PlainFlow`].
#[derive(Debug, Default)]
pub(crate) struct LastFlow {
    flow: Option<PlainFlow>,
    to: (u16, u32),
}

/// Addresses and ports of what nearly all frames are, in which they lie side by side: a whole packet of TCP or UDP over
/// IPv4 without options.
type PlainFlow = [u8; 12];

#[inline]
fn plain_flow(frame: &[u8]) -> Option<PlainFlow> {
    let head = frame.first_chunk::<38>()?;
    let is_plain = head[12..15] == [0x08, 0x00, 0x45] && head[20] & 0x3f | head[21] == 0 && matches!(head[23], 6 | 17);
    head.last_chunk().copied().filter(|_| is_plain)
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

/// A hash of a frame's flow where no device has made one (`skb_get_hash`); 0 for what is not IP.
pub(crate) fn software_hash(frame: &[u8]) -> u32 {
    // FNV-1a: nothing depends on its strength, and it is the same everywhere.
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    flow_of(frame).map_or(0, |input| input.bytes().iter().fold(0x811c_9dc5, fold))
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

    /// Row 5: the published vectors.
    #[test]
    fn the_published_vectors_hold() {
        let rss = Rss::new(&DEFAULT_KEY, 2, 128);
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

    /// Row 6: three queues share a table of 128 as 43, 43 and 42.
    #[test]
    fn the_default_table_is_dealt_out_in_turn() {
        let rss = Rss::new(&DEFAULT_KEY, 3, 128);
        let share = |queue| rss.indirection.iter().filter(|&&q| q == queue).count();
        assert_eq!([share(0), share(1), share(2)], [43, 43, 42]);
    }

    #[test]
    fn a_frame_and_its_flow_agree_and_fragments_use_addresses_only() {
        let rss = Rss::new(&DEFAULT_KEY, 8, 128);
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

    /// Frames of few flows one behind the other, some with options, some fragments, some of IPv6: each goes where it would go
    /// alone.
    #[test]
    fn what_went_before_makes_no_difference() {
        for symmetric in [RssSymmetry::None, RssSymmetry::OrXor] {
            let mut rss = Rss::new(&DEFAULT_KEY, 8, 128);
            rss.set(&Rxfh { symmetric, ..rss.get() }).unwrap();
            let (mut rng, mut last) = (fastrand::Rng::with_seed(1), LastFlow::default());
            let mut remembered = 0;
            for _ in 0..5000 {
                let mut frame = vec![0; 60];
                frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
                (frame[23], frame[29], frame[35]) = (6 + 11 * rng.u8(0..2), rng.u8(0..2), rng.u8(0..2));
                match rng.u8(0..10) {
                    0 => frame[14] = 0x46,
                    1 => frame[20] = 0x20,
                    2 => frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]),
                    3 => frame[23] = 1,
                    4 => frame.truncate(rng.usize(0..60)),
                    _ => {}
                }
                remembered += u32::from(last.flow.is_some() && last.flow == plain_flow(&frame));
                let input = flow_of(&frame).map(|input| rss.hash(rss.symmetric.apply(input).bytes()));
                let alone = input.map_or((0, 0), |hash| (rss.queue_of(hash), hash));
                assert_eq!((rss.steer_behind(&mut last, &frame), rss.steer(&frame)), (alone, alone));
            }
            assert!(remembered > 100, "{remembered} of 5000");
        }
    }

    #[test]
    fn a_frame_of_ipv6_and_its_flow_agree() {
        let rss = Rss::new(&DEFAULT_KEY, 8, 128);
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

    #[test]
    fn a_symmetric_hash_is_the_same_for_both_directions() {
        let ends = |host: u8, port: u16| (IpAddr::from([10, 0, 3, host]), port);
        for (symmetric, is_symmetric) in
            [(RssSymmetry::None, false), (RssSymmetry::Xor, true), (RssSymmetry::OrXor, true)]
        {
            let mut rss = Rss::new(&DEFAULT_KEY, 8, 128);
            rss.set(&Rxfh { symmetric, ..rss.get() }).unwrap();
            let same = |n: u8| {
                let (a, b) = (ends(n, 40_000 + u16::from(n)), ends(200, 7000));
                rss.queue_of_flow(a, b) == rss.queue_of_flow(b, a)
            };
            assert_eq!((0..100).all(same), is_symmetric, "{symmetric:?}");
            let queues: std::collections::BTreeSet<u16> =
                (0..100).map(|n| rss.queue_of_flow(ends(n, 40_000), ends(200, 7000))).collect();
            // The XOR alone goes in twice, and much of it cancels out.
            assert!(
                queues.len() == 8 || symmetric == RssSymmetry::Xor && queues.len() > 1,
                "{symmetric:?}: {queues:?}"
            );
        }
        let v6 = |n: u16| (IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]), n);
        let mut rss = Rss::new(&DEFAULT_KEY, 8, 128);
        rss.set(&Rxfh { symmetric: RssSymmetry::OrXor, ..rss.get() }).unwrap();
        assert!((0..100).all(|n| rss.queue_of_flow(v6(n), v6(500)) == rss.queue_of_flow(v6(500), v6(n))));
    }

    #[test]
    fn tables_and_keys_are_checked_as_ethtool_does() {
        let mut rss = Rss::new(&DEFAULT_KEY, 4, 128);
        let good = rss.get();
        let errno = |rss: &mut Rss, rxfh: &Rxfh| rss.set(rxfh).err().and_then(|error| error.raw_os_error());
        for wrong in [
            Rxfh { key: vec![1; 39], ..good.clone() },
            Rxfh { indirection: vec![0; 64], ..good.clone() },
            Rxfh { indirection: vec![4; 128], ..good.clone() },
        ] {
            assert_eq!(errno(&mut rss, &wrong), Some(libc::EINVAL));
        }
        assert_eq!(rss.get(), good, "nothing has changed");
        let all_to_three = Rxfh { indirection: vec![3; 128], key: vec![7; 40], ..good };
        assert_eq!(errno(&mut rss, &all_to_three), None);
        assert_eq!((rss.get(), rss.queue_of(12345)), (all_to_three.clone(), 3));
        assert_eq!(errno(&mut Rss::new(&DEFAULT_KEY, 1, 0), &all_to_three), Some(libc::EOPNOTSUPP));
    }

    /// `ethtool -L`: a table that nobody has set is dealt out anew; one that somebody has stays, and forbids what it can not bear.
    #[test]
    fn a_table_follows_the_queues_unless_it_is_its_users() {
        let mut rss = Rss::new(&DEFAULT_KEY, 1, 8);
        assert_eq!(rss.steer(&[0; 60]), (0, 0), "nobody hashes");
        rss.set_queues(3);
        assert_eq!((rss.get().indirection, rss.get().queues), (vec![0, 1, 2, 0, 1, 2, 0, 1], 3));
        rss.set(&Rxfh { key: vec![9; 40], ..rss.get() }).unwrap();
        assert!(rss.fits(2), "another key is no other table");
        let users = vec![2, 2, 2, 2, 0, 0, 0, 0];
        rss.set(&Rxfh { indirection: users.clone(), ..rss.get() }).unwrap();
        assert_eq!((rss.fits(1), rss.fits(2), rss.fits(3)), (false, false, true));
        rss.set_queues(4);
        assert_eq!(rss.get().indirection, users);
        rss.reset();
        assert!(rss.fits(1));
        rss.set_queues(2);
        assert_eq!(rss.get().indirection, [0, 1, 0, 1, 0, 1, 0, 1]);
    }

    /// As `ethtool` 6.x prints it.
    #[test]
    fn it_is_shown_as_ethtool_shows_it() {
        let text = Rss::new(&DEFAULT_KEY, 3, 16).get().to_string();
        let expected = "RX flow hash indirection table for eth0 with 3 RX ring(s):\n    0:      0     1     2     0     1     2     \
                        0     1\n    8:      2     0     1     2     0     1     2     0\nRSS hash key:\n6d:5a:56:da:";
        assert!(text.starts_with(expected), "{text}");
    }
}
