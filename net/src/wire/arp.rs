//! The Address Resolution Protocol for IPv4 over Ethernet (RFC 826).

use crate::wire::ethernet::MacAddr;
use crate::wire::malformed::Malformed;
use std::fmt;
use std::net::Ipv4Addr;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Whether a packet asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Request,
    Reply,
}

/// The packet over its bytes, named as in the RFC.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ArpBytes {
    hardware_space: U16,
    protocol_space: U16,
    hardware_len: u8,
    protocol_len: u8,
    opcode: U16,
    sender_mac: [u8; 6],
    sender_ip: [u8; 4],
    target_mac: [u8; 6],
    target_ip: [u8; 4],
}

/// The packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArpPacket {
    pub(crate) operation: Operation,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender_ip: Ipv4Addr,
    pub(crate) target_mac: MacAddr,
    pub(crate) target_ip: Ipv4Addr,
}

const ETHERNET: u16 = 1;
const IPV4: u16 = 0x0800;

impl ArpPacket {
    /// The packet's length in bytes.
    pub(crate) const LEN: usize = size_of::<ArpBytes>();

    /// Reads a packet; anything but a request or a reply for IPv4 over Ethernet is malformed.
    pub(crate) fn parse(packet: &[u8]) -> Result<ArpPacket, Malformed> {
        let (bytes, _) = ArpBytes::ref_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let spaces = (bytes.hardware_space.get(), bytes.protocol_space.get());
        if spaces != (ETHERNET, IPV4) || (bytes.hardware_len, bytes.protocol_len) != (6, 4) {
            return Err(Malformed::Header);
        }
        let operation = match bytes.opcode.get() {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Malformed::Header),
        };
        Ok(ArpPacket {
            operation,
            sender_mac: MacAddr(bytes.sender_mac),
            sender_ip: bytes.sender_ip.into(),
            target_mac: MacAddr(bytes.target_mac),
            target_ip: bytes.target_ip.into(),
        })
    }

    /// Writes the packet.
    pub(crate) fn emit(&self, out: &mut [u8; ArpPacket::LEN]) {
        let opcode: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        let bytes = ArpBytes {
            hardware_space: ETHERNET.into(),
            protocol_space: IPV4.into(),
            hardware_len: 6,
            protocol_len: 4,
            opcode: opcode.into(),
            sender_mac: self.sender_mac.0,
            sender_ip: self.sender_ip.octets(),
            target_mac: self.target_mac.0,
            target_ip: self.target_ip.octets(),
        };
        out.copy_from_slice(bytes.as_bytes());
    }
}

impl fmt::Display for ArpPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ArpPacket { sender_mac, sender_ip, target_ip, .. } = self;
        match self.operation {
            Operation::Request => write!(f, "ARP, Request who-has {target_ip} tell {sender_ip}"),
            Operation::Reply => write!(f, "ARP, Reply {sender_ip} is-at {sender_mac}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(operation: Operation) -> ArpPacket {
        ArpPacket {
            operation,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_ip: Ipv4Addr::new(10, 0, 0, 1),
            target_mac: MacAddr([0; 6]),
            target_ip: Ipv4Addr::new(10, 0, 0, 2),
        }
    }

    #[test]
    fn prints_as_tcpdump() {
        assert_eq!(packet(Operation::Request).to_string(), "ARP, Request who-has 10.0.0.2 tell 10.0.0.1");
        assert_eq!(packet(Operation::Reply).to_string(), "ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:01");
    }

    #[test]
    fn emit_then_parse_is_identity() {
        for operation in [Operation::Request, Operation::Reply] {
            let mut bytes = [0; ArpPacket::LEN];
            packet(operation).emit(&mut bytes);
            assert_eq!(ArpPacket::parse(&bytes), Ok(packet(operation)));
            assert_eq!(ArpPacket::parse(&bytes[1..]), Err(Malformed::Truncated));
            for foreign in [1, 2, 4, 5, 7] {
                let mut bytes = bytes;
                bytes[foreign] ^= 0x40;
                assert_eq!(ArpPacket::parse(&bytes), Err(Malformed::Header), "byte {foreign}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = ArpPacket::parse(&bytes);
        }
    }
}
