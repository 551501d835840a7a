//! Frames from packets and packets from frames, by `etherparse`: an opinion about the wire that is not the stack's own.
//!
//! Everything here is in the connection's live numbers; [`flow`](crate::flow) knows the script's.

use crate::model::{Ecn, Flags, Fragment, IpInfo, Segment, TcpOption};
use etherparse::checksum::Sum16BitWords;
use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6Header, NetSlice, SlicedPacket, TcpHeader,
    TcpOptionElement, TcpSlice, UdpHeader, UdpSlice,
};
use std::net::{IpAddr, Ipv6Addr};

/// From whom to whom a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) src_mac: [u8; 6],
    pub(crate) dst_mac: [u8; 6],
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
}

impl Ends {
    /// The way back.
    pub(crate) fn reversed(self) -> Ends {
        Ends { src_mac: self.dst_mac, dst_mac: self.src_mac, src: self.dst, dst: self.src }
    }
}

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

/// What follows an IP header, with the number of its protocol.
pub(crate) struct Message {
    protocol: IpNumber,
    bytes: Vec<u8>,
}

impl Message {
    /// # Errors
    /// When the options cannot stand in a header.
    pub(crate) fn tcp(ends: &Ends, ports: (u16, u16), segment: &Segment, payload: &[u8]) -> Result<Message, String> {
        let flags = segment.flags;
        let mut header = TcpHeader::new(ports.0, ports.1, segment.seq, segment.window.unwrap_or(0));
        header.acknowledgment_number = segment.ack.unwrap_or(0);
        header.urgent_pointer = segment.urgent.unwrap_or(0);
        header.fin = flags.has(Flags::FIN);
        header.syn = flags.has(Flags::SYN);
        header.rst = flags.has(Flags::RST);
        header.psh = flags.has(Flags::PSH);
        header.ack = flags.has(Flags::ACK);
        header.urg = flags.has(Flags::URG);
        header.ece = flags.has(Flags::ECE);
        header.cwr = flags.has(Flags::CWR);
        let options = option_bytes(segment.options.as_deref().unwrap_or_default());
        if !options.len().is_multiple_of(4) || options.len() > 40 {
            return Err(format!("{} bytes of options: it must be a multiple of 4, and at most 40", options.len()));
        }
        header.set_options_raw(&options).map_err(|error| error.to_string())?;
        header.checksum = match (ends.src, ends.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload),
            _ => header.calc_checksum_ipv6_raw(v6(ends.src).octets(), v6(ends.dst).octets(), payload),
        }
        .map_err(|error| error.to_string())?;
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        Ok(Message { protocol: IpNumber::TCP, bytes })
    }

    pub(crate) fn udp(ends: &Ends, ports: (u16, u16), payload: &[u8]) -> Message {
        let header = match (ends.src, ends.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let ip = Ipv4Header::new(0, 64, IpNumber::UDP, src.octets(), dst.octets()).expect("an empty packet");
                UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, payload)
            }
            _ => {
                let ip = v6_header(ends, 64, IpNumber::UDP, 0);
                UdpHeader::with_ipv6_checksum(ports.0, ports.1, &ip, payload)
            }
        };
        let mut bytes = header.expect("a payload of at most 65 kB").to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        Message { protocol: IpNumber::UDP, bytes }
    }

    pub(crate) fn icmp(ends: &Ends, (kind, code): (u8, u8), rest: u32, payload: &[u8]) -> Message {
        let mut bytes = vec![kind, code, 0, 0];
        bytes.extend_from_slice(&rest.to_be_bytes());
        bytes.extend_from_slice(payload);
        let protocol = if ends.src.is_ipv4() { IpNumber::ICMP } else { IpNumber::IPV6_ICMP };
        let sum = icmp_sum(ends.src, ends.dst, &bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        Message { protocol, bytes }
    }

    /// The frame, or the part of it that `info` asks for.
    pub(crate) fn frame(mut self, ends: &Ends, info: &IpInfo) -> Vec<u8> {
        if info.bad_sum {
            let at = match self.protocol {
                IpNumber::TCP => 16,
                IpNumber::UDP => 6,
                _ => 2,
            };
            self.bytes[at] ^= 0xff;
        }
        let part = match info.fragment {
            None => &self.bytes[..],
            Some(fragment) => {
                let from = usize::from(fragment.offset).min(self.bytes.len());
                &self.bytes[from..(from + usize::from(fragment.len)).min(self.bytes.len())]
            }
        };
        let mut frame = Vec::with_capacity(part.len() + 60);
        let v4 = ends.src.is_ipv4();
        let ether_type = if v4 { EtherType::IPV4 } else { EtherType::IPV6 };
        let header = Ethernet2Header { source: ends.src_mac, destination: ends.dst_mac, ether_type };
        frame.extend_from_slice(&header.to_bytes());
        let ip = if v4 { self.v4_bytes(ends, info, part.len()) } else { self.v6_bytes(ends, info, part.len()) };
        frame.extend_from_slice(&ip);
        frame.extend_from_slice(part);
        frame
    }

    fn v4_bytes(&self, ends: &Ends, info: &IpInfo, len: usize) -> Vec<u8> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (ends.src, ends.dst) else { unreachable!("the caller has looked") };
        let ttl = info.ttl.unwrap_or(64);
        let len = u16::try_from(len).expect("a packet of at most 65 kB");
        let mut header = Ipv4Header::new(len, ttl, self.protocol, src.octets(), dst.octets()).expect("it fits");
        let tos = tos_of(info);
        header.dscp = (tos >> 2).try_into().expect("six bits");
        header.ecn = (tos & 3).try_into().expect("two bits");
        header.dont_fragment = info.dont_fragment.unwrap_or(false);
        if let Some(fragment) = info.fragment {
            header.identification = fragment.id as u16;
            header.more_fragments = fragment.more;
            header.fragment_offset = IpFragOffset::try_new(fragment.offset / 8).expect("13 bits");
        }
        header.options = info.options.as_slice().try_into().expect("a multiple of four, and at most 40");
        header.set_payload_len(len.into()).expect("it fits");
        header.header_checksum = header.calc_header_checksum();
        header.to_bytes().to_vec()
    }

    fn v6_bytes(&self, ends: &Ends, info: &IpInfo, len: usize) -> Vec<u8> {
        let Some(fragment) = info.fragment else {
            let mut header = v6_header(ends, info.ttl.unwrap_or(64), self.protocol, len);
            header.traffic_class = tos_of(info);
            return header.to_bytes().to_vec();
        };
        let mut header = v6_header(ends, info.ttl.unwrap_or(64), IpNumber::IPV6_FRAGMENTATION_HEADER, len + 8);
        header.traffic_class = tos_of(info);
        let mut bytes = header.to_bytes().to_vec();
        let place = (fragment.offset & !7) | u16::from(fragment.more);
        bytes.extend_from_slice(&[self.protocol.0, 0]);
        bytes.extend_from_slice(&place.to_be_bytes());
        bytes.extend_from_slice(&fragment.id.to_be_bytes());
        bytes
    }

    /// The packet from its IP header on, for ICMP to quote.
    pub(crate) fn quoted(self, ends: &Ends, full_len: usize) -> Vec<u8> {
        let mut quoted = if ends.src.is_ipv4() {
            self.v4_bytes(ends, &IpInfo { dont_fragment: Some(true), ..IpInfo::default() }, full_len)
        } else {
            self.v6_bytes(ends, &IpInfo::default(), full_len)
        };
        quoted.extend_from_slice(&self.bytes);
        quoted
    }
}

fn tos_of(info: &IpInfo) -> u8 {
    let ecn = match info.ecn {
        None | Some(Ecn::NotEct) => 0,
        Some(Ecn::Ect1) => 1,
        Some(Ecn::Ect0 | Ecn::Ect01) => 2,
        Some(Ecn::Ce) => 3,
    };
    info.tos.unwrap_or(0) | ecn
}

fn v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V6(addr) => addr,
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
    }
}

fn v6_header(ends: &Ends, hop_limit: u8, next_header: IpNumber, len: usize) -> Ipv6Header {
    let payload_length = u16::try_from(len).expect("a packet of at most 65 kB");
    let (source, destination) = (v6(ends.src).octets(), v6(ends.dst).octets());
    Ipv6Header { hop_limit, next_header, payload_length, source, destination, ..Ipv6Header::default() }
}

fn option_bytes(options: &[TcpOption]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for option in options {
        match option {
            TcpOption::Mss(mss) => bytes.extend([[2, 4], mss.to_be_bytes()].concat()),
            TcpOption::WindowScale(shift) => bytes.extend([3, 3, *shift]),
            TcpOption::SackPermitted => bytes.extend([4, 2]),
            TcpOption::Sack(blocks) => {
                bytes.extend([5, 2 + 8 * blocks.len() as u8]);
                blocks.iter().for_each(|(l, r)| bytes.extend([l.to_be_bytes(), r.to_be_bytes()].concat()));
            }
            TcpOption::Timestamps { val, ecr } => {
                bytes.extend([8, 10]);
                bytes.extend([val.to_be_bytes(), ecr.to_be_bytes()].concat());
            }
            TcpOption::Nop => bytes.push(1),
            TcpOption::End => bytes.push(0),
            TcpOption::Raw(raw) => bytes.extend(raw),
        }
    }
    bytes
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

/// Zero over a message that holds its right checksum.
fn icmp_sum(src: IpAddr, dst: IpAddr, bytes: &[u8]) -> u16 {
    let mut sum = Sum16BitWords::new();
    if let (IpAddr::V6(src), IpAddr::V6(dst)) = (src, dst) {
        sum = sum.add_16bytes(src.octets()).add_16bytes(dst.octets());
        sum = sum.add_4bytes((bytes.len() as u32).to_be_bytes()).add_2bytes([0, IpNumber::IPV6_ICMP.0]);
    }
    // etherparse sums words as they lie in memory.
    sum.add_slice(bytes).ones_complement().to_be()
}

/// The numbers of an ICMP message that is called by packetdrill's names.
pub(crate) fn icmp_numbers(v4: bool, kind: &str, code: Option<&str>) -> Option<(u8, u8)> {
    const V4: &[(&str, u8, &[&str])] = &[
        ("echo_reply", 0, &[]),
        (
            "unreachable",
            3,
            &[
                "net_unreachable",
                "host_unreachable",
                "protocol_unreachable",
                "port_unreachable",
                "frag_needed",
                "source_route_failed",
                "net_unknown",
                "host_unknown",
                "source_host_isolated",
                "net_prohibited",
                "host_prohibited",
                "net_unreachable_tos",
                "host_unreachable_tos",
                "packet_filtered",
                "precedence_violation",
                "precedence_cutoff",
            ],
        ),
        ("source_quench", 4, &[]),
        ("redirect", 5, &["net", "host"]),
        ("echo_request", 8, &[]),
        ("time_exceeded", 11, &["ttl_exceeded", "fragment_reassembly"]),
        ("parameter_problem", 12, &[]),
    ];
    const V6: &[(&str, u8, &[&str])] = &[
        (
            "unreachable",
            1,
            &["no_route", "admin_prohibited", "beyond_scope", "address_unreachable", "port_unreachable"],
        ),
        ("packet_too_big", 2, &[]),
        ("time_exceeded", 3, &["hop_limit_exceeded", "fragment_reassembly"]),
        ("parameter_problem", 4, &["header_field", "unknown_next_header", "unknown_option"]),
        ("echo_request", 128, &[]),
        ("echo_reply", 129, &[]),
    ];
    let (_, number, codes) = (if v4 { V4 } else { V6 }).iter().find(|(name, ..)| *name == kind)?;
    let code = match code {
        None => 0,
        Some(code) => codes.iter().position(|name| *name == code)?,
    };
    Some((*number, code as u8))
}
