//! Frames from packets ([`build`]) and packets from frames ([`read`]), by `etherparse`: an opinion about the wire that is
//! not the stack's own.
//!
//! Everything here is in the connection's live numbers; [`flow`](crate::flow) knows the script's.

pub(crate) mod build;
pub(crate) mod icmp;
pub(crate) mod read;

use crate::model::IpInfo;
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
    /// With the addresses that a packet names.
    pub(crate) fn unless_named(self, info: &IpInfo) -> Ends {
        Ends { src: info.src.unwrap_or(self.src), dst: info.dst.unwrap_or(self.dst), ..self }
    }

    /// The way back.
    pub(crate) fn reversed(self) -> Ends {
        Ends { src_mac: self.dst_mac, dst_mac: self.src_mac, src: self.dst, dst: self.src }
    }
}

/// An IPv6 address of either family's.
pub(crate) fn v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V6(addr) => addr,
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
    }
}
