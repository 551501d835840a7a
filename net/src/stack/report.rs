//! What the network says about a packet of this host's: which flow it was of, and what that means for its socket.

use crate::stack::demux::FourTuple;
use crate::stack::endpoint::Endpoint;
use crate::stack::error::SocketError;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::upper;
use crate::wire::tcp::{SeqNumber, TcpHeader};
use crate::wire::udp::UdpHeader;
use std::net::IpAddr;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) flow: FourTuple,
    pub(crate) said: Said,
    pub(crate) about: About,
    pub(crate) from: Messenger,
}

/// Who has said it: whose ICMP message, of which type and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Messenger {
    pub(crate) addr: IpAddr,
    pub(crate) kind: u8,
    pub(crate) code: u8,
}

impl Messenger {
    /// Who has sent `message`, from its ICMP or ICMPv6 header on.
    pub(crate) fn new(addr: IpAddr, message: &[u8]) -> Messenger {
        let byte = |at: usize| message.get(at).copied().unwrap_or_default();
        Messenger { addr, kind: byte(0), code: byte(1) }
    }
}

/// What was said about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) error: SocketError,
    /// Whether trying again is in vain (`icmp_err_convert[].fatal`).
    pub(crate) is_hard: bool,
    /// The largest packet that would have passed.
    pub(crate) mtu: Option<u32>,
}

impl Said {
    /// Trying again may help.
    pub(crate) const fn soft(error: SocketError) -> Said {
        Said { error, is_hard: false, mtu: None }
    }

    /// Trying again will not help.
    pub(crate) const fn hard(error: SocketError) -> Said {
        Said { error, is_hard: true, mtu: None }
    }

    /// The packet was too large.
    pub(crate) const fn too_big(mtu: u32) -> Said {
        Said { error: SocketError::MessageTooLong, is_hard: true, mtu: Some(mtu) }
    }
}

/// Which packet it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Tcp(SeqNumber),
    Udp,
}

/// Which of this host's flows a quoted packet, from its IP header on, belongs to.
pub(crate) fn read_quoted(packet: &[u8], said: Said, from: Messenger) -> Option<Report> {
    let quoted = match packet.first()? >> 4 {
        4 => quoted_v4(packet)?,
        _ => quoted_v6(packet)?,
    };
    let Quoted { src, dst, protocol, transport } = quoted;
    let (src_port, dst_port, about) = match protocol {
        protocol::TCP => {
            let (src_port, dst_port, seq) = TcpHeader::parse_quoted(transport).ok()?;
            (src_port, dst_port, About::Tcp(seq))
        }
        protocol::UDP => {
            let header = UdpHeader::parse_quoted(transport).ok()?;
            (header.src_port, header.dst_port, About::Udp)
        }
        _ => return None,
    };
    let (local, remote) = (Endpoint::new(src, src_port), Endpoint::new(dst, dst_port));
    Some(Report { flow: FourTuple { local, remote }, said, about, from })
}

/// A packet, or what is there of it.
struct Quoted<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    transport: &'a [u8],
}

fn quoted_v4(packet: &[u8]) -> Option<Quoted<'_>> {
    let ip = Ipv4Header::parse_quoted(packet).ok()?;
    if ip.fragment_offset != 0 {
        return None;
    }
    let transport = packet.get(usize::from(ip.header_len)..)?;
    Some(Quoted { src: ip.src.into(), dst: ip.dst.into(), protocol: ip.protocol, transport })
}

fn quoted_v6(packet: &[u8]) -> Option<Quoted<'_>> {
    let ip = Ipv6Header::parse_quoted(packet).ok()?;
    let (protocol, offset) = upper(packet, ip.next_header)?;
    let transport = packet.get(offset..)?;
    Some(Quoted { src: ip.src.into(), dst: ip.dst.into(), protocol, transport })
}
