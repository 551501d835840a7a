//! Frames as a program with a port of its own puts them on the wire.

use std::net::{IpAddr, Ipv4Addr};
use wakeline::net::emulated::{Host, RawPort};

pub(crate) fn v4(host: &Host) -> Ipv4Addr {
    match host.addr() {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(addr) => panic!("{addr} is not IPv4"),
    }
}

/// The station address that the LAN gives to its n-th station.
pub(crate) fn mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}

/// A UDP datagram of 18 bytes without a UDP checksum, as a frame of the smallest size.
pub(crate) fn datagram(port: &RawPort, to_mac: [u8; 6], from_port: u16, (to, to_port): (Ipv4Addr, u16)) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0];
    ip.extend(port.addr().octets());
    ip.extend(to.octets());
    let sum: u32 = ip.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    let mut frame = Vec::new();
    frame.extend(to_mac);
    frame.extend(port.mac());
    frame.extend([0x08, 0x00]);
    frame.extend(ip);
    frame.extend(from_port.to_be_bytes());
    frame.extend(to_port.to_be_bytes());
    frame.extend(26_u16.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend([0xaa; 18]);
    frame
}
