//! The options of sockets, by the names of `setsockopt(2)`: the vocabulary in which the API asks either network.
//!
//! It knows neither network. Which values make sense is each network's own business; both give Linux's errors.

use std::io;
use std::time::Duration;

/// The name of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    /// `SO_REUSEADDR`, a flag.
    ReuseAddr,
    /// `SO_REUSEPORT`, a flag.
    ReusePort,
    /// `SO_RCVBUF`, a number: what is read is twice what was set.
    RcvBuf,
    /// `SO_SNDBUF`, likewise.
    SndBuf,
    /// `SO_LINGER`, a time.
    Linger,
    /// `SO_KEEPALIVE`, a flag.
    KeepAlive,
    /// `SO_RCVLOWAT`, a number.
    RcvLowat,
    /// `SO_BINDTODEVICE`, a name; none is the empty one.
    BoundDevice,
    /// `SO_INCOMING_CPU`, a number; none is -1.
    IncomingCpu,
    /// `SO_BUSY_POLL`, a time in microseconds; none is off.
    BusyPoll,
    /// `SO_PREFER_BUSY_POLL`, a flag.
    PreferBusyPoll,
    /// `SO_BUSY_POLL_BUDGET`, a number.
    BusyPollBudget,
    /// `IP_TTL`, a number.
    Ttl,
    /// `IPV6_UNICAST_HOPS`, a number.
    Hops,
    /// `IP_TOS`, a number.
    Tos,
    /// `IPV6_TCLASS`, a number.
    TrafficClass,
    /// `IP_MTU_DISCOVER` and `IPV6_MTU_DISCOVER`, a number.
    MtuDiscover,
    /// `IP_MTU` and `IPV6_MTU`, a number.
    Mtu,
    /// `IP_RECVERR` and `IPV6_RECVERR`, a flag.
    RecvErr,
    /// `IP_RECVTOS`, a flag.
    RecvTos,
    /// `IPV6_RECVTCLASS`, a flag.
    RecvTrafficClass,
    /// `UDP_SEGMENT`, a number.
    UdpSegment,
    /// `UDP_GRO`, a flag.
    UdpGro,
    /// `SO_BROADCAST`, a flag.
    Broadcast,
    /// `IP_MULTICAST_TTL`, a number.
    MulticastTtlV4,
    /// `IP_MULTICAST_LOOP`, a flag.
    MulticastLoopV4,
    /// `IPV6_MULTICAST_LOOP`, a flag.
    MulticastLoopV6,
    /// `IPV6_V6ONLY`, a flag.
    OnlyV6,
    /// `TCP_NODELAY`, a flag.
    NoDelay,
    /// `TCP_KEEPIDLE`, a time.
    KeepIdle,
    /// `TCP_KEEPINTVL`, a time.
    KeepInterval,
    /// `TCP_KEEPCNT`, a number.
    KeepCount,
    /// `TCP_USER_TIMEOUT`, a time; none is the default.
    UserTimeout,
    /// `TCP_QUICKACK`, a flag.
    QuickAck,
    /// `TCP_CONGESTION`, a name.
    Congestion,
    /// `TCP_MAXSEG`, a number.
    MaxSeg,
    /// `TCP_NOTSENT_LOWAT`, a number.
    NotSentLowat,
    /// `TCP_DEFER_ACCEPT`, a time; none is off.
    DeferAccept,
}

impl Opt {
    /// Whether it is one of `SOL_IPV6`, which a socket of IPv4 does not know.
    pub(crate) const fn is_of_v6(self) -> bool {
        matches!(self, Opt::Hops | Opt::TrafficClass | Opt::RecvTrafficClass | Opt::MulticastLoopV6 | Opt::OnlyV6)
    }
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Flag(bool),
    Number(u32),
    Time(Option<Duration>),
    Name(Name),
}

/// With whom a socket shares the address that it is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: bool,
}

/// Whether datagrams may be cut into pieces on their way (`IP_MTU_DISCOVER`, ip(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtuDiscover {
    /// By this host, and of IPv4 by routers (`IP_PMTUDISC_DONT`).
    Dont,
    /// By this host, to what is known of the path, which routers are to correct (`IP_PMTUDISC_WANT`). Linux's default.
    #[default]
    Want,
    /// By nobody: one that is larger than what is known of the path is refused with `EMSGSIZE` (`IP_PMTUDISC_DO`).
    Do,
    /// By nobody, and what is known of the path is not asked: only one that is larger than the interface takes is refused
    /// (`IP_PMTUDISC_PROBE`).
    Probe,
}

impl MtuDiscover {
    /// Linux's number.
    pub(crate) const fn number(self) -> u32 {
        match self {
            MtuDiscover::Dont => 0,
            MtuDiscover::Want => 1,
            MtuDiscover::Do => 2,
            MtuDiscover::Probe => 3,
        }
    }

    /// What a number means; nothing for those that only Linux's routing daemons use.
    pub(crate) const fn from_number(number: u32) -> Option<MtuDiscover> {
        Some(match number {
            0 => MtuDiscover::Dont,
            1 => MtuDiscover::Want,
            2 => MtuDiscover::Do,
            3 => MtuDiscover::Probe,
            _ => return None,
        })
    }
}

/// A short name, as `TCP_CONGESTION` and interfaces have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    bytes: [u8; Name::MAX],
    len: u8,
}

impl Name {
    /// `TCP_CA_NAME_MAX`, `IFNAMSIZ`
    pub(crate) const MAX: usize = 16;

    /// The name, or `None` when it is longer than names are.
    pub(crate) fn new(text: &str) -> Option<Name> {
        let mut bytes = [0; Name::MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Name { bytes, len: text.len() as u8 })
    }

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// What an option's value is in the API.
pub(crate) trait Typed: Sized {
    fn of(value: Value) -> Option<Self>;
}

impl Typed for bool {
    fn of(value: Value) -> Option<bool> {
        if let Value::Flag(flag) = value { Some(flag) } else { None }
    }
}

impl Typed for u32 {
    fn of(value: Value) -> Option<u32> {
        if let Value::Number(number) = value { Some(number) } else { None }
    }
}

/// A number that may be none, which is -1.
impl Typed for Option<u32> {
    fn of(value: Value) -> Option<Option<u32>> {
        if let Value::Number(number) = value { Some((number != u32::MAX).then_some(number)) } else { None }
    }
}

impl Typed for MtuDiscover {
    fn of(value: Value) -> Option<MtuDiscover> {
        if let Value::Number(number) = value { MtuDiscover::from_number(number) } else { None }
    }
}

impl Typed for Option<Duration> {
    fn of(value: Value) -> Option<Option<Duration>> {
        if let Value::Time(time) = value { Some(time) } else { None }
    }
}

impl Typed for String {
    fn of(value: Value) -> Option<String> {
        if let Value::Name(name) = &value { Some(name.as_str().to_owned()) } else { None }
    }
}

/// An answer as the type that the option has.
///
/// # Errors
/// `InvalidData` when a network answers with another type, which is a bug of that network.
pub(crate) fn typed<T: Typed>(answer: io::Result<Value>) -> io::Result<T> {
    T::of(answer?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_bound() {
        assert_eq!(Name::new("cubic").unwrap().as_str(), "cubic");
        assert_eq!(Name::new("sixteen-letters!").unwrap().as_str(), "sixteen-letters!");
        assert_eq!(Name::new("seventeen-letters"), None);
    }

    #[test]
    fn an_answer_of_another_type_is_an_error_and_no_panic() {
        assert!(typed::<bool>(Ok(Value::Flag(true))).unwrap());
        assert_eq!(typed::<bool>(Ok(Value::Number(1))).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
