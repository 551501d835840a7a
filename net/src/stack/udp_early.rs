//! Where a datagram goes whose headers are those of the last one (`udp_v4_early_demux` serves the same end): datagrams come in
//! runs.
//!
//! What the layers below and the demultiplexer say of a frame depends on its headers, on the host's addresses and on its
//! sockets. So a frame whose headers are, byte for byte and but for lengths, identification and sums, those of one that has
//! found its socket goes there as well, if nothing has changed. Whatever is not as it should be takes the long way, where it is
//! judged and counted.

use crate::packet::PacketBuf;
use crate::stack::endpoint::Endpoint;
use crate::wire::checksum::{Sum, is_valid};
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::udp::UdpHeader;

/// The headers of the last datagram, and what they have led to.
#[derive(Debug)]
pub(crate) struct Early {
    headers: Headers,
    /// Who sent it.
    pub(crate) from: Endpoint,
    /// How it was to be treated.
    pub(crate) tos: u8,
    /// The place of the socket that it was for.
    pub(crate) socket: u32,
    /// The sum of the pseudo-header without the length.
    pseudo: Sum,
    /// What was true then: those of the table of sockets and of IP.
    versions: [u64; 2],
}

/// All headers, without what differs from datagram to datagram.
#[derive(Clone, Copy, Debug)]
enum Headers {
    V4([u128; 3]),
    V6([u128; 4]),
}

/// How long they are, before UDP's and with it.
const BEFORE_V4: usize = EthernetHeader::LEN + Ipv4Header::LEN;
const BEFORE_V6: usize = EthernetHeader::LEN + Ipv6Header::LEN;
const LEN_V4: usize = BEFORE_V4 + UdpHeader::LEN;
const LEN_V6: usize = BEFORE_V6 + UdpHeader::LEN;

/// Which bits are the same in all datagrams of a flow.
const MASK_V4: [u128; 3] = {
    let mut mask = [0xff; LEN_V4];
    let ip = EthernetHeader::LEN;
    clear(&mut mask, ip + Ipv4Header::TOTAL_LEN_AT, 2);
    clear(&mut mask, ip + Ipv4Header::IDENT_AT, 2);
    clear(&mut mask, ip + Ipv4Header::CHECKSUM_AT, 2);
    clear(&mut mask, BEFORE_V4 + UdpHeader::LEN_AT, 4);
    words_v4(&mask)
};
const MASK_V6: [u128; 4] = {
    let mut mask = [0xff; LEN_V6];
    clear(&mut mask, EthernetHeader::LEN + Ipv6Header::PAYLOAD_LEN_AT, 2);
    clear(&mut mask, BEFORE_V6 + UdpHeader::LEN_AT, 4);
    words_v6(&mask)
};

impl Early {
    /// After a datagram from `from` that was for `socket`; it has been pulled to its payload, and its frame's headers stand
    /// before it. There is nothing to remember of headers with options or extensions.
    #[inline]
    pub(crate) fn new(
        packet: &PacketBuf,
        ip: &IpHeader,
        from: Endpoint,
        socket: u32,
        versions: [u64; 2],
    ) -> Option<Early> {
        let plain = if ip.dst.is_ipv4() { Ipv4Header::LEN } else { Ipv6Header::LEN };
        if !ip.whole || ip.to_group || usize::from(ip.header_len) != plain {
            return None;
        }
        let headers = match ip.dst.is_ipv4() {
            true => Headers::V4(masked(words_v4(packet.pulled(LEN_V4).first_chunk()?), MASK_V4)),
            false => Headers::V6(masked(words_v6(packet.pulled(LEN_V6).first_chunk()?), MASK_V6)),
        };
        let pseudo = Sum::pseudo_header(ip.src, ip.dst, protocol::UDP, 0);
        Some(Early { headers, from, tos: ip.tos, socket, pseudo, versions })
    }

    /// Takes the headers off a frame that is a datagram of the flow and as it should be, down to exactly its payload, and says
    /// whether it is one of IPv4; leaves any other alone.
    #[inline]
    pub(crate) fn strip(&self, frame: &mut PacketBuf, versions: [u64; 2]) -> Option<bool> {
        if self.versions != versions || !frame.rest().is_empty() || frame.rx.gso_size > 0 {
            return None;
        }
        let data = frame.data();
        let (v4, at, end) = match self.headers {
            Headers::V4(headers) => {
                let bytes = data.first_chunk()?;
                let ip = bytes[EthernetHeader::LEN..].first_chunk::<{ Ipv4Header::LEN }>()?;
                if differ(masked(words_v4(bytes), MASK_V4), headers) || !is_valid(ip) {
                    return None;
                }
                (true, BEFORE_V4, EthernetHeader::LEN + field(bytes, EthernetHeader::LEN + Ipv4Header::TOTAL_LEN_AT))
            }
            Headers::V6(headers) => {
                let bytes = data.first_chunk()?;
                if differ(masked(words_v6(bytes), MASK_V6), headers) {
                    return None;
                }
                (false, BEFORE_V6, BEFORE_V6 + field(bytes, EthernetHeader::LEN + Ipv6Header::PAYLOAD_LEN_AT))
            }
        };
        let header: &[u8; UdpHeader::LEN] = data[at..].first_chunk()?;
        let len = field(header, UdpHeader::LEN_AT);
        if len < UdpHeader::LEN || at + len > end || end > data.len() {
            return None;
        }
        if frame.rx.ip_summed.is_open() {
            let mut sum = self.pseudo;
            sum.add_field(len as u16);
            match frame.device_sum() {
                Some(device) if at + len == data.len() => {
                    sum.add(&device);
                    sum.subtract(&data[EthernetHeader::LEN..at]);
                }
                _ => sum.add(&data[at..at + len]),
            }
            // Over IPv4 there need not be one.
            if field(header, UdpHeader::CHECKSUM_OFFSET.into()) == 0 || !sum.is_valid() {
                return None;
            }
        }
        frame.pull(at + UdpHeader::LEN);
        frame.truncate(len - UdpHeader::LEN);
        Some(v4)
    }
}

/// A field of 16 bits.
#[inline(always)]
fn field<const N: usize>(bytes: &[u8; N], at: usize) -> usize {
    u16::from_be_bytes([bytes[at], bytes[at + 1]]).into()
}

#[inline(always)]
fn masked<const N: usize>(words: [u128; N], mask: [u128; N]) -> [u128; N] {
    std::array::from_fn(|i| words[i] & mask[i])
}

/// Without a branch for each word.
#[inline(always)]
fn differ<const N: usize>(a: [u128; N], b: [u128; N]) -> bool {
    (0..N).fold(0, |difference, i| difference | (a[i] ^ b[i])) != 0
}

/// All bytes as words, of which the last ones overlap.
#[inline(always)]
const fn words_v4(bytes: &[u8; LEN_V4]) -> [u128; 3] {
    [word(bytes, 0), word(bytes, 16), word(bytes, LEN_V4 - 16)]
}

#[inline(always)]
const fn words_v6(bytes: &[u8; LEN_V6]) -> [u128; 4] {
    [word(bytes, 0), word(bytes, 16), word(bytes, 32), word(bytes, LEN_V6 - 16)]
}

#[inline(always)]
const fn word(bytes: &[u8], at: usize) -> u128 {
    let (_, from) = bytes.split_at(at);
    u128::from_ne_bytes(*from.first_chunk().expect("the headers are longer"))
}

const fn clear(mask: &mut [u8], at: usize, n: usize) {
    let mut i = 0;
    while i < n {
        mask[at + i] = 0;
        i += 1;
    }
}
