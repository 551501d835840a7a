//! What a socket says in the IP headers of its packets: how far they may go, and how they want to be treated. Of either
//! family, because a socket of IPv6 may speak both.

use crate::sockopt::{Opt, Value};
use crate::stack::error::SocketError;
use crate::wire::ip::{ECN_MASK, HOP_LIMIT};

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpSettings {
    /// IP_TTL
    ttl: u8,
    /// IPV6_UNICAST_HOPS
    hops: u8,
    /// IP_TOS
    tos: u8,
    /// IPV6_TCLASS
    tclass: u8,
}

/// The same for a packet of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpFields {
    /// DSCP in the upper six bits, ECN in the lower two.
    pub(crate) tos: u8,
    /// Time to live, or hop limit.
    pub(crate) hop_limit: u8,
}

impl IpFields {
    /// Those of a packet that no socket has a say in.
    pub(crate) const DEFAULT: IpFields = IpFields { tos: 0, hop_limit: HOP_LIMIT };
}

impl IpSettings {
    /// Linux's defaults.
    pub(crate) const fn new() -> IpSettings {
        IpSettings { ttl: HOP_LIMIT, hops: HOP_LIMIT, tos: 0, tclass: 0 }
    }

    /// `ip_setsockopt` and `ipv6_setsockopt`. On a socket of TCP, which `keeps_ecn`, the bits of ECN are not the program's.
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `OptionUnknown`.
    pub(crate) fn set(&mut self, opt: Opt, value: Value, keeps_ecn: bool) -> Result<(), SocketError> {
        let Value::Number(n) = value else { return Err(SocketError::OptionUnknown) };
        let kept = if keeps_ecn { ECN_MASK } else { 0 };
        let marked = |old: u8, n: u32| (n as u8 & !kept) | (old & kept);
        let byte = u8::try_from(n).map_err(|_| SocketError::InvalidInput);
        match opt {
            Opt::Ttl if n == 0 => return Err(SocketError::InvalidInput),
            Opt::Ttl => self.ttl = byte?,
            Opt::Hops => self.hops = byte?,
            // Linux cuts what is too large for IPv4 and refuses it for IPv6.
            Opt::Tos => self.tos = marked(self.tos, n),
            Opt::TrafficClass => self.tclass = marked(self.tclass, byte?.into()),
            _ => return Err(SocketError::OptionUnknown),
        }
        Ok(())
    }

    /// `getsockopt(2)`
    ///
    /// # Errors
    /// `OptionUnknown`.
    pub(crate) fn get(&self, opt: Opt) -> Result<Value, SocketError> {
        let byte = match opt {
            Opt::Ttl => self.ttl,
            Opt::Hops => self.hops,
            Opt::Tos => self.tos,
            Opt::TrafficClass => self.tclass,
            _ => return Err(SocketError::OptionUnknown),
        };
        Ok(Value::Number(byte.into()))
    }

    /// What a packet of IPv4, or of IPv6, says.
    #[inline]
    pub(crate) const fn fields(&self, v4: bool) -> IpFields {
        match v4 {
            true => IpFields { tos: self.tos, hop_limit: self.ttl },
            false => IpFields { tos: self.tclass, hop_limit: self.hops },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_as_linux_checks_them() {
        let check = |opt, n, keeps_ecn, expected| {
            let mut settings = IpSettings::new();
            let set = settings.set(opt, Value::Number(n), keeps_ecn);
            assert_eq!(set.and_then(|()| settings.get(opt)), expected, "{opt:?} {n}");
        };
        let refused = Err(SocketError::InvalidInput);
        check(Opt::Ttl, 0, true, refused);
        check(Opt::Ttl, 256, true, refused);
        check(Opt::Ttl, 255, true, Ok(Value::Number(255)));
        check(Opt::Hops, 0, true, Ok(Value::Number(0)));
        check(Opt::Hops, 256, true, refused);
        check(Opt::Tos, 0xbb, true, Ok(Value::Number(0xb8)));
        check(Opt::Tos, 0xbb, false, Ok(Value::Number(0xbb)));
        check(Opt::Tos, 0x1b8, true, Ok(Value::Number(0xb8)));
        check(Opt::TrafficClass, 0xbb, true, Ok(Value::Number(0xb8)));
        check(Opt::TrafficClass, 0x100, false, refused);
        check(Opt::NoDelay, 1, true, Err(SocketError::OptionUnknown));
    }

    #[test]
    fn each_family_has_its_own() {
        let mut settings = IpSettings::new();
        settings.set(Opt::Tos, Value::Number(0x20), true).unwrap();
        settings.set(Opt::Hops, Value::Number(9), true).unwrap();
        assert_eq!(settings.fields(true), IpFields { tos: 0x20, hop_limit: 64 });
        assert_eq!(settings.fields(false), IpFields { tos: 0, hop_limit: 9 });
    }
}
