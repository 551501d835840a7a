//! Frames that the script sends, right or wrong as it says.

use crate::model::{Ecn, Flags, IpInfo, Segment, TcpOption};
use crate::wire::icmp::icmp_sum;
use crate::wire::{Ends, v6};
use etherparse::{EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use std::net::IpAddr;

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
