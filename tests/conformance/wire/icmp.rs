//! ICMP: packetdrill's names for its messages, and its checksum.

use etherparse::IpNumber;
use etherparse::checksum::Sum16BitWords;
use std::net::IpAddr;

/// Zero over a message that holds its right checksum.
pub(crate) fn icmp_sum(src: IpAddr, dst: IpAddr, bytes: &[u8]) -> u16 {
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
