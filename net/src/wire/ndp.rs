//! Neighbour discovery messages (RFC 4861): solicitations and advertisements of routers and neighbours.
//!
//! They are ICMPv6 messages with a body and options. What a message must be like to be believed (hop limit 255, addresses)
//! is for its receiver to say; here it is only taken apart.

use crate::wire::ethernet::MacAddr;
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::malformed::Malformed;
use smallvec::SmallVec;
use std::fmt;
use std::net::Ipv6Addr;

/// The types.
pub(crate) mod kind {
    pub(crate) const ROUTER_SOLICIT: u8 = 133;
    pub(crate) const ROUTER_ADVERT: u8 = 134;
    pub(crate) const NEIGHBOUR_SOLICIT: u8 = 135;
    pub(crate) const NEIGHBOUR_ADVERT: u8 = 136;
    pub(crate) const REDIRECT: u8 = 137;
}

/// The messages of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NdpMessage {
    RouterSolicit {
        source_mac: Option<MacAddr>,
    },
    RouterAdvert(RouterAdvert),
    /// Who has `target`?
    NeighbourSolicit {
        target: Ipv6Addr,
        source_mac: Option<MacAddr>,
    },
    NeighbourAdvert {
        target: Ipv6Addr,
        flags: NaFlags,
        target_mac: Option<MacAddr>,
    },
    /// Redirects are not listened to, so nothing of them is read.
    Redirect,
}

bitflags::bitflags! {
    /// What a neighbour advertisement says about itself.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct NaFlags: u8 {
        const ROUTER = 0x80;
        const SOLICITED = 0x40;
        const OVERRIDE = 0x20;
    }
}

/// What a router says of itself and of the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouterAdvert {
    /// 0 when it does not say.
    pub(crate) hop_limit: u8,
    /// For how long it is a default router; 0 is not at all.
    pub(crate) lifetime_s: u16,
    /// 0 when it does not say.
    pub(crate) reachable_ms: u32,
    /// 0 when it does not say.
    pub(crate) retrans_ms: u32,
    pub(crate) source_mac: Option<MacAddr>,
    pub(crate) mtu: Option<u32>,
    /// The first few; what follows is left out.
    pub(crate) prefixes: SmallVec<[PrefixInfo; 2]>,
}

/// A prefix of the link (RFC 4861 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrefixInfo {
    pub(crate) prefix: Ipv6Addr,
    pub(crate) len: u8,
    pub(crate) on_link: bool,
    pub(crate) autonomous: bool,
    pub(crate) valid_s: u32,
    pub(crate) preferred_s: u32,
}

/// How many prefixes of one advertisement are read.
const PREFIXES_MAX: usize = 8;

/// The options that are understood.
mod option {
    pub(super) const SOURCE_MAC: u8 = 1;
    pub(super) const TARGET_MAC: u8 = 2;
    pub(super) const PREFIX: u8 = 3;
    pub(super) const MTU: u8 = 5;
}

/// Where the fields of a message begin: behind type, code and checksum.
const BODY: usize = 4;

impl NdpMessage {
    /// Reads a whole ICMPv6 message; `None` when its type is none of these.
    ///
    /// # Errors
    /// When it is too short, its code is not 0, or an option has no length (RFC 4861 6.1 and 7.1).
    pub(crate) fn parse(message: &[u8]) -> Result<Option<NdpMessage>, Malformed> {
        let &[kind, code, ..] = message else { return Err(Malformed::Truncated) };
        if !(kind::ROUTER_SOLICIT..=kind::REDIRECT).contains(&kind) {
            return Ok(None);
        }
        if code != 0 {
            return Err(Malformed::Header);
        }
        Ok(Some(match kind {
            kind::ROUTER_SOLICIT => {
                let mut source_mac = None;
                for_each_option(message, 8, |kind, value| read_mac(kind, option::SOURCE_MAC, value, &mut source_mac))?;
                NdpMessage::RouterSolicit { source_mac }
            }
            kind::ROUTER_ADVERT => NdpMessage::RouterAdvert(RouterAdvert::parse(message)?),
            kind::NEIGHBOUR_SOLICIT => {
                let (target, mut source_mac) = (read_target(message)?, None);
                for_each_option(message, 24, |kind, value| read_mac(kind, option::SOURCE_MAC, value, &mut source_mac))?;
                NdpMessage::NeighbourSolicit { target, source_mac }
            }
            kind::NEIGHBOUR_ADVERT => {
                let (target, mut target_mac) = (read_target(message)?, None);
                for_each_option(message, 24, |kind, value| read_mac(kind, option::TARGET_MAC, value, &mut target_mac))?;
                let flags = NaFlags::from_bits_truncate(message[BODY]);
                NdpMessage::NeighbourAdvert { target, flags, target_mac }
            }
            _ => NdpMessage::Redirect,
        }))
    }

    /// Writes the message, summed for these addresses.
    pub(crate) fn emit(&self, ends: (Ipv6Addr, Ipv6Addr), out: &mut SmallVec<[u8; 128]>) {
        out.clear();
        let (kind, rest) = match self {
            NdpMessage::RouterSolicit { .. } => (kind::ROUTER_SOLICIT, 0),
            NdpMessage::RouterAdvert(advert) => {
                (kind::ROUTER_ADVERT, u32::from(advert.hop_limit) << 24 | u32::from(advert.lifetime_s))
            }
            NdpMessage::NeighbourSolicit { .. } => (kind::NEIGHBOUR_SOLICIT, 0),
            NdpMessage::NeighbourAdvert { flags, .. } => (kind::NEIGHBOUR_ADVERT, u32::from(flags.bits()) << 24),
            NdpMessage::Redirect => (kind::REDIRECT, 0),
        };
        out.extend_from_slice(&[0; Icmpv6Header::LEN]);
        match self {
            NdpMessage::RouterSolicit { source_mac } => put_mac(out, option::SOURCE_MAC, *source_mac),
            NdpMessage::RouterAdvert(advert) => advert.emit(out),
            NdpMessage::NeighbourSolicit { target, source_mac } => {
                out.extend_from_slice(&target.octets());
                put_mac(out, option::SOURCE_MAC, *source_mac);
            }
            NdpMessage::NeighbourAdvert { target, target_mac, .. } => {
                out.extend_from_slice(&target.octets());
                put_mac(out, option::TARGET_MAC, *target_mac);
            }
            NdpMessage::Redirect => {}
        }
        Icmpv6Header::Other { kind, code: 0, rest }.emit(ends, out);
    }
}

impl RouterAdvert {
    fn parse(message: &[u8]) -> Result<RouterAdvert, Malformed> {
        let head: &[u8; 16] = message.first_chunk().ok_or(Malformed::Truncated)?;
        let word =
            |bytes: &[u8], at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut advert = RouterAdvert {
            hop_limit: head[4],
            lifetime_s: u16::from_be_bytes([head[6], head[7]]),
            reachable_ms: word(head, 8),
            retrans_ms: word(head, 12),
            ..RouterAdvert::default()
        };
        for_each_option(message, 16, |kind, value| match (kind, value.len()) {
            (option::MTU, 6..) => advert.mtu = Some(word(value, 2)),
            (option::PREFIX, 30..) if advert.prefixes.len() < PREFIXES_MAX => {
                let prefix: [u8; 16] = value[14..30].try_into().expect("sixteen bytes of thirty");
                advert.prefixes.push(PrefixInfo {
                    prefix: prefix.into(),
                    len: value[0],
                    on_link: value[1] & 0x80 != 0,
                    autonomous: value[1] & 0x40 != 0,
                    valid_s: word(value, 2),
                    preferred_s: word(value, 6),
                });
            }
            _ => read_mac(kind, option::SOURCE_MAC, value, &mut advert.source_mac),
        })?;
        Ok(advert)
    }

    fn emit(&self, out: &mut SmallVec<[u8; 128]>) {
        out.extend_from_slice(&self.reachable_ms.to_be_bytes());
        out.extend_from_slice(&self.retrans_ms.to_be_bytes());
        put_mac(out, option::SOURCE_MAC, self.source_mac);
        if let Some(mtu) = self.mtu {
            out.extend_from_slice(&[option::MTU, 1, 0, 0]);
            out.extend_from_slice(&mtu.to_be_bytes());
        }
        for prefix in &self.prefixes {
            let flags = if prefix.on_link { 0x80 } else { 0 } | if prefix.autonomous { 0x40 } else { 0 };
            out.extend_from_slice(&[option::PREFIX, 4, prefix.len, flags]);
            out.extend_from_slice(&prefix.valid_s.to_be_bytes());
            out.extend_from_slice(&prefix.preferred_s.to_be_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&prefix.prefix.octets());
        }
    }
}

/// Calls `f` with the type and the value of each option from `at` on.
fn for_each_option(message: &[u8], at: usize, mut f: impl FnMut(u8, &[u8])) -> Result<(), Malformed> {
    let mut rest = message.get(at..).ok_or(Malformed::Truncated)?;
    while let &[kind, units, ..] = rest {
        let len = usize::from(units) * 8;
        if len == 0 || len > rest.len() {
            return Err(Malformed::Header);
        }
        f(kind, &rest[2..len]);
        rest = &rest[len..];
    }
    if rest.is_empty() { Ok(()) } else { Err(Malformed::Truncated) }
}

/// The first such option counts.
fn read_mac(kind: u8, wanted: u8, value: &[u8], mac: &mut Option<MacAddr>) {
    if kind == wanted && mac.is_none() {
        *mac = value.first_chunk().map(|bytes| MacAddr(*bytes));
    }
}

fn put_mac(out: &mut SmallVec<[u8; 128]>, kind: u8, mac: Option<MacAddr>) {
    if let Some(mac) = mac {
        out.extend_from_slice(&[kind, 1]);
        out.extend_from_slice(&mac.0);
    }
}

fn read_target(message: &[u8]) -> Result<Ipv6Addr, Malformed> {
    let bytes = message.get(8..24).ok_or(Malformed::Truncated)?;
    let bytes: [u8; 16] = bytes.try_into().expect("sixteen bytes");
    let target = Ipv6Addr::from(bytes);
    if target.is_multicast() { Err(Malformed::Header) } else { Ok(target) }
}

/// Where a host asks for an address before it knows anything: `ff02::1:ff00:0/104` and the last three bytes.
pub(crate) fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | addr.to_bits() & 0x00ff_ffff)
}

/// All nodes of the link.
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
impl fmt::Display for NdpMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NdpMessage::RouterSolicit { .. } => f.write_str("ICMP6, router solicitation"),
            NdpMessage::RouterAdvert(advert) => {
                write!(
                    f,
                    "ICMP6, router advertisement, hop limit {}, lifetime {}s",
                    advert.hop_limit, advert.lifetime_s
                )?;
                let prefixes = &advert.prefixes;
                prefixes.iter().try_for_each(|prefix| write!(f, ", prefix {}/{}", prefix.prefix, prefix.len))
            }
            NdpMessage::NeighbourSolicit { target, .. } => write!(f, "ICMP6, neighbor solicitation, who has {target}"),
            NdpMessage::NeighbourAdvert { target, flags, .. } => {
                write!(f, "ICMP6, neighbor advertisement, tgt is {target}")?;
                if flags.is_empty() {
                    return Ok(());
                }
                let names =
                    [(NaFlags::ROUTER, "router"), (NaFlags::SOLICITED, "solicited"), (NaFlags::OVERRIDE, "override")];
                let set: Vec<_> =
                    names.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect();
                write!(f, ", Flags [{}]", set.join(", "))
            }
            NdpMessage::Redirect => f.write_str("ICMP6, redirect"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::icmpv6::verify;
    use proptest::prelude::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn check(message: &NdpMessage, printed: &str) {
        let (src, dst) = (ip("fe80::1"), ip("ff02::1"));
        let mut bytes = SmallVec::new();
        message.emit((src, dst), &mut bytes);
        assert!(verify(src, dst, &bytes));
        assert_eq!(NdpMessage::parse(&bytes), Ok(Some(message.clone())));
        assert_eq!(message.to_string(), printed);
        for len in 0..bytes.len() {
            let _ = NdpMessage::parse(&bytes[..len]);
        }
        bytes[1] = 1;
        assert_eq!(NdpMessage::parse(&bytes), Err(Malformed::Header), "its code");
    }

    #[test]
    fn emit_then_parse_is_identity() {
        check(&NdpMessage::RouterSolicit { source_mac: Some(MAC) }, "ICMP6, router solicitation");
        let solicit = NdpMessage::NeighbourSolicit { target: ip("fd00::2"), source_mac: Some(MAC) };
        check(&solicit, "ICMP6, neighbor solicitation, who has fd00::2");
        let probe = NdpMessage::NeighbourSolicit { target: ip("fd00::2"), source_mac: None };
        check(&probe, "ICMP6, neighbor solicitation, who has fd00::2");
        let flags = NaFlags::SOLICITED | NaFlags::OVERRIDE;
        let advert = NdpMessage::NeighbourAdvert { target: ip("fd00::2"), flags, target_mac: Some(MAC) };
        check(&advert, "ICMP6, neighbor advertisement, tgt is fd00::2, Flags [solicited, override]");
        let prefix = PrefixInfo {
            prefix: ip("fd00:1::"),
            len: 64,
            on_link: true,
            autonomous: true,
            valid_s: 86400,
            preferred_s: 14400,
        };
        let advert = RouterAdvert {
            hop_limit: 64,
            lifetime_s: 1800,
            reachable_ms: 30_000,
            retrans_ms: 1000,
            source_mac: Some(MAC),
            mtu: Some(1400),
            prefixes: SmallVec::from_slice(&[prefix]),
        };
        let printed = "ICMP6, router advertisement, hop limit 64, lifetime 1800s, prefix fd00:1::/64";
        check(&NdpMessage::RouterAdvert(advert), printed);
    }

    #[test]
    fn options_without_a_length_and_groups_as_targets_are_refused() {
        let mut bytes = SmallVec::new();
        let solicit = NdpMessage::NeighbourSolicit { target: ip("fd00::2"), source_mac: Some(MAC) };
        solicit.emit((ip("fe80::1"), ip("ff02::1")), &mut bytes);
        let with = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            NdpMessage::parse(&bytes)
        };
        assert_eq!(with(25, 0), Err(Malformed::Header));
        assert_eq!(with(25, 2), Err(Malformed::Header));
        assert_eq!(with(8, 0xff), Err(Malformed::Header));
        assert_eq!(with(24, 77), Ok(Some(NdpMessage::NeighbourSolicit { target: ip("fd00::2"), source_mac: None })));
        assert_eq!(with(0, 200), Ok(None));
        assert_eq!(NdpMessage::parse(&bytes[..23]), Err(Malformed::Truncated));
    }

    #[test]
    fn the_group_of_an_address_ends_in_its_last_three_bytes() {
        assert_eq!(solicited_node(ip("fd00::12:3456")), ip("ff02::1:ff12:3456"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(mut bytes in prop::collection::vec(any::<u8>(), 2..140), kind in 133u8..138) {
            (bytes[0], bytes[1]) = (kind, 0);
            let _ = NdpMessage::parse(&bytes);
        }
    }
}
