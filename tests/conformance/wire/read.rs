//! Frames that the host under test has sent: every length and checksum is verified.

use crate::model::{Flags, Fragment, Segment, TcpOption};
use crate::wire::icmp::icmp_sum;
use crate::wire::v6;
use etherparse::{IpNumber, Ipv6Header, NetSlice, SlicedPacket, TcpOptionElement, TcpSlice, UdpSlice};
use std::net::IpAddr;

/// An IP packet that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) fragment: Option<Fragment>,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Tcp {
        ports: (u16, u16),
        segment: Segment,
        payload: Vec<u8>,
    },
    Udp {
        ports: (u16, u16),
        payload: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
        rest: u32,
        /// The beginning of what follows the header, and how long that is.
        head: Vec<u8>,
        len: usize,
    },
    /// A fragment, or a protocol that scripts do not speak.
    Raw {
        protocol: u8,
        payload: Vec<u8>,
    },
}

/// Reads a frame; `None` when it is no IP packet.
///
/// # Errors
/// When a length or a checksum is wrong, or an option cannot be read: nothing of that may leave a stack.
pub(crate) fn read(frame: &[u8]) -> Result<Option<Seen>, String> {
    let sliced = SlicedPacket::from_ethernet(frame).map_err(|error| format!("a malformed frame: {error}"))?;
    let mut seen = match sliced.net {
        Some(NetSlice::Ipv4(slice)) => {
            let header = slice.header().to_header();
            if header.calc_header_checksum() != header.header_checksum {
                return Err("a wrong checksum in the IPv4 header".into());
            }
            let fragment = (header.more_fragments || header.fragment_offset.value() != 0).then(|| Fragment {
                offset: header.fragment_offset.value() * 8,
                len: slice.payload().payload.len() as u16,
                more: header.more_fragments,
                id: header.identification.into(),
            });
            let payload = slice.payload().payload.to_vec();
            Seen {
                src: slice.header().source_addr().into(),
                dst: slice.header().destination_addr().into(),
                tos: header.dscp.value() << 2 | header.ecn.value(),
                ttl: header.time_to_live,
                dont_fragment: header.dont_fragment,
                fragment,
                content: Content::Raw { protocol: header.protocol.0, payload },
            }
        }
        Some(NetSlice::Ipv6(slice)) => {
            let header = slice.header().to_header();
            let at = 14 + Ipv6Header::LEN;
            let fragment = (header.next_header == IpNumber::IPV6_FRAGMENTATION_HEADER)
                .then(|| {
                    let place = u16::from_be_bytes(frame.get(at + 2..at + 4)?.try_into().ok()?);
                    let id = u32::from_be_bytes(frame.get(at + 4..at + 8)?.try_into().ok()?);
                    let len = slice.payload().payload.len() as u16;
                    Some(Fragment { offset: place & !7, len, more: place & 1 == 1, id })
                })
                .flatten();
            let payload = slice.payload();
            Seen {
                src: slice.header().source_addr().into(),
                dst: slice.header().destination_addr().into(),
                tos: header.traffic_class,
                ttl: header.hop_limit,
                dont_fragment: true,
                fragment,
                content: Content::Raw { protocol: payload.ip_number.0, payload: payload.payload.to_vec() },
            }
        }
        _ => return Ok(None),
    };
    if seen.fragment.is_none()
        && let Content::Raw { protocol, payload } = &seen.content
    {
        let content = read_content(*protocol, payload, seen.src, seen.dst)?;
        seen.content = content;
    }
    Ok(Some(seen))
}

fn read_content(protocol: u8, bytes: &[u8], src: IpAddr, dst: IpAddr) -> Result<Content, String> {
    match IpNumber(protocol) {
        IpNumber::TCP => read_tcp(bytes, src, dst),
        IpNumber::UDP => read_udp(bytes, src, dst),
        IpNumber::ICMP | IpNumber::IPV6_ICMP => {
            let (header, payload) = bytes.split_first_chunk::<8>().ok_or("an ICMP message shorter than its header")?;
            if icmp_sum(src, dst, bytes) != 0 {
                return Err("a wrong ICMP checksum".into());
            }
            let rest = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            Ok(Content::Icmp {
                kind: header[0],
                code: header[1],
                rest,
                head: payload[..payload.len().min(32)].to_vec(),
                len: payload.len(),
            })
        }
        _ => Ok(Content::Raw { protocol, payload: bytes.to_vec() }),
    }
}

fn read_tcp(bytes: &[u8], src: IpAddr, dst: IpAddr) -> Result<Content, String> {
    let slice = TcpSlice::from_slice(bytes).map_err(|error| format!("a malformed TCP header: {error}"))?;
    let sum = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => slice.calc_checksum_ipv4(src.octets(), dst.octets()),
        _ => slice.calc_checksum_ipv6(v6(src).octets(), v6(dst).octets()),
    };
    if sum != Ok(slice.checksum()) {
        return Err("a wrong TCP checksum".into());
    }
    let options = slice
        .options_iterator()
        .map(|element| element.map(read_option).map_err(|error| format!("a TCP option that cannot be read: {error}")));
    let ack = slice.acknowledgment_number();
    if !slice.ack() && ack != 0 {
        return Err(format!("the acknowledgement number {ack} without the ACK flag"));
    }
    let segment = Segment {
        flags: Flags(slice.header_slice()[13]),
        seq: slice.sequence_number(),
        len: slice.payload().len() as u32,
        ack: slice.ack().then_some(ack),
        window: Some(slice.window_size()),
        urgent: slice.urg().then(|| slice.urgent_pointer()),
        options: Some(options.collect::<Result<_, String>>()?),
    };
    let ports = (slice.source_port(), slice.destination_port());
    Ok(Content::Tcp { ports, segment, payload: slice.payload().to_vec() })
}

fn read_option(element: TcpOptionElement) -> TcpOption {
    match element {
        TcpOptionElement::Noop => TcpOption::Nop,
        TcpOptionElement::MaximumSegmentSize(mss) => TcpOption::Mss(mss),
        TcpOptionElement::WindowScale(shift) => TcpOption::WindowScale(shift),
        TcpOptionElement::SelectiveAcknowledgementPermitted => TcpOption::SackPermitted,
        TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
            TcpOption::Sack(std::iter::once(first).chain(rest.into_iter().flatten()).collect())
        }
        TcpOptionElement::Timestamp(val, ecr) => TcpOption::Timestamps { val, ecr },
    }
}

fn read_udp(bytes: &[u8], src: IpAddr, dst: IpAddr) -> Result<Content, String> {
    let slice = UdpSlice::from_slice(bytes).map_err(|error| format!("a malformed UDP header: {error}"))?;
    let header = slice.to_header();
    let expected = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), slice.payload())
        }
        _ => header.calc_checksum_ipv6_raw(v6(src).octets(), v6(dst).octets(), slice.payload()),
    };
    if expected != Ok(header.checksum) {
        return Err("a wrong UDP checksum".into());
    }
    Ok(Content::Udp { ports: (header.source_port, header.destination_port), payload: slice.payload().to_vec() })
}
