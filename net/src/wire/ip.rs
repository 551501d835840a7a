//! What the headers of both families have in common, as a transport sees it.

use std::net::IpAddr;

/// A received packet's IP header, of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpHeader {
    /// Of the same family as `dst`.
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// What the packet carries.
    pub(crate) protocol: u8,
    /// DSCP in the upper six bits, ECN in the lower two: type of service, or traffic class.
    pub(crate) tos: u8,
    /// Time to live, or hop limit.
    pub(crate) hop_limit: u8,
    /// With options, or extension headers, in bytes.
    pub(crate) header_len: u16,
    /// Where the number of the protocol stands in it.
    pub(crate) protocol_at: u16,
    /// Whether the frame was for more than this station.
    pub(crate) to_group: bool,
    /// Whether the frame's headers stand before the packet: it was not put together from pieces.
    pub(crate) whole: bool,
}

/// What a packet that is to be sent says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Of the same family as `dst`.
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    /// DSCP in the upper six bits, ECN in the lower two.
    pub(crate) tos: u8,
    pub(crate) hop_limit: u8,
    pub(crate) fragments: Fragments,
    /// Whether a packet for a group comes to this host as well, if it is in the group.
    pub(crate) loops: bool,
}

/// Whether a packet may be cut into pieces, by this host or, of IPv4, by a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragments {
    /// Never: one that is too large for its path is refused (IP_PMTUDISC_DO).
    Never,
    /// Likewise, but too large is only what the interface does not take (IP_PMTUDISC_PROBE).
    NeverProbing,
    /// By this host if it is too large for its path; otherwise routers are to say so (IP_PMTUDISC_WANT).
    IfLarge,
    /// By anybody (IP_PMTUDISC_DONT).
    Freely,
}

/// The lower two bits of type of service, or traffic class (RFC 3168 section 5).
pub(crate) const ECN_MASK: u8 = 0b11;
/// `net.ipv4.ip_default_ttl` and `net.ipv6.conf.all.hop_limit`.
pub(crate) const HOP_LIMIT: u8 = 64;

impl Envelope {
    /// An ordinary packet, not to be fragmented.
    #[inline]
    pub(crate) const fn new(src: IpAddr, dst: IpAddr, protocol: u8) -> Envelope {
        Envelope { src, dst, protocol, tos: 0, hop_limit: HOP_LIMIT, fragments: Fragments::Never, loops: false }
    }
}
