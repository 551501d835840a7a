//! What programs set on a UDP socket, and the groups that it has joined.

use crate::sockopt::{MtuDiscover, Opt, Value};
use crate::stack::busy_poll::BusyPoll;
use crate::stack::error::SocketError;
use crate::stack::ip_settings::{IpFields, IpSettings};
use crate::stack::membership::GROUP_HOP_LIMIT;
use crate::stack::tcp::settings::{BUF_MAX, RCVBUF_MIN, SNDBUF_MIN};
use crate::wire::ip::Fragments;
use smallvec::SmallVec;
use std::net::IpAddr;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct UdpOptions {
    /// IP_MTU_DISCOVER
    pub(crate) fragments: Fragments,
    /// SO_RCVBUF, in bytes of `truesize`.
    pub(crate) rcvbuf: usize,
    /// What SO_SNDBUF was set to. Nothing else looks at it.
    sndbuf: u32,
    /// IP_RECVERR, and IPv6's.
    pub(crate) recverr: bool,
    /// SO_BROADCAST
    pub(crate) broadcast: bool,
    /// IP_RECVTOS
    recv_tos: bool,
    /// IPV6_RECVTCLASS
    recv_tclass: bool,
    /// UDP_SEGMENT; 0 for none.
    pub(crate) segment: u16,
    /// UDP_GRO
    pub(crate) gro: bool,
    ip: IpSettings,
    pub(crate) busy_poll: BusyPoll,
    /// IP_MULTICAST_TTL; IPv6's multicast hops as well.
    group_ttl: u8,
    /// IP_MULTICAST_LOOP
    loop_v4: bool,
    /// IPV6_MULTICAST_LOOP
    loop_v6: bool,
    groups: SmallVec<[IpAddr; 2]>,
}

/// `net.core.wmem_default`
const SNDBUF_DEFAULT: u32 = 212_992;
/// `igmp_max_memberships`
const GROUPS_MAX: usize = 20;

impl UdpOptions {
    /// Linux's defaults, where `net.core.rmem_default` and `busy_read` are so.
    pub(crate) fn new(rcvbuf: usize, busy_read_usecs: u32) -> UdpOptions {
        UdpOptions {
            fragments: Fragments::IfLarge,
            rcvbuf,
            sndbuf: SNDBUF_DEFAULT,
            recverr: false,
            broadcast: false,
            recv_tos: false,
            recv_tclass: false,
            segment: 0,
            gro: false,
            ip: IpSettings::new(),
            busy_poll: BusyPoll::new(busy_read_usecs),
            group_ttl: GROUP_HOP_LIMIT,
            loop_v4: true,
            loop_v6: true,
            groups: SmallVec::new(),
        }
    }

    /// `setsockopt(2)`
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `OptionUnknown`.
    pub(crate) fn set(&mut self, opt: Opt, value: Value) -> Result<(), SocketError> {
        let byte = |n: u32| u8::try_from(n).map_err(|_| SocketError::InvalidInput);
        match (opt, value) {
            (Opt::RcvBuf, Value::Number(n)) => {
                self.rcvbuf = n.min(BUF_MAX / 2).saturating_mul(2).max(RCVBUF_MIN) as usize;
            }
            (Opt::SndBuf, Value::Number(n)) => self.sndbuf = n.min(BUF_MAX / 2).saturating_mul(2).max(SNDBUF_MIN),
            (Opt::Broadcast, Value::Flag(on)) => self.broadcast = on,
            (Opt::RecvErr, Value::Flag(on)) => self.recverr = on,
            (Opt::RecvTos, Value::Flag(on)) => self.recv_tos = on,
            (Opt::RecvTrafficClass, Value::Flag(on)) => self.recv_tclass = on,
            (Opt::UdpSegment, Value::Number(n)) => {
                self.segment = u16::try_from(n).map_err(|_| SocketError::InvalidInput)?;
            }
            (Opt::UdpGro, Value::Flag(on)) => self.gro = on,
            (Opt::MtuDiscover, Value::Number(n)) => {
                self.fragments = match MtuDiscover::from_number(n).ok_or(SocketError::InvalidInput)? {
                    MtuDiscover::Dont => Fragments::Freely,
                    MtuDiscover::Want => Fragments::IfLarge,
                    MtuDiscover::Do => Fragments::Never,
                    MtuDiscover::Probe => Fragments::NeverProbing,
                };
            }
            (Opt::MulticastTtlV4, Value::Number(n)) => self.group_ttl = byte(n)?,
            (Opt::MulticastLoopV4, Value::Flag(on)) => self.loop_v4 = on,
            (Opt::MulticastLoopV6, Value::Flag(on)) => self.loop_v6 = on,
            (Opt::BusyPoll | Opt::PreferBusyPoll | Opt::BusyPollBudget, value) => self.busy_poll.set(opt, value)?,
            _ => self.ip.set(opt, value, false)?,
        }
        Ok(())
    }

    /// `getsockopt(2)`
    ///
    /// # Errors
    /// `OptionUnknown`.
    pub(crate) fn get(&self, opt: Opt) -> Result<Value, SocketError> {
        Ok(match opt {
            Opt::RcvBuf => Value::Number(self.rcvbuf as u32),
            Opt::SndBuf => Value::Number(self.sndbuf),
            Opt::Broadcast => Value::Flag(self.broadcast),
            Opt::RecvErr => Value::Flag(self.recverr),
            Opt::RecvTos => Value::Flag(self.recv_tos),
            Opt::RecvTrafficClass => Value::Flag(self.recv_tclass),
            Opt::UdpSegment => Value::Number(self.segment.into()),
            Opt::UdpGro => Value::Flag(self.gro),
            Opt::MtuDiscover => Value::Number(
                match self.fragments {
                    Fragments::Freely => MtuDiscover::Dont,
                    Fragments::IfLarge => MtuDiscover::Want,
                    Fragments::Never => MtuDiscover::Do,
                    Fragments::NeverProbing => MtuDiscover::Probe,
                }
                .number(),
            ),
            Opt::MulticastTtlV4 => Value::Number(self.group_ttl.into()),
            Opt::MulticastLoopV4 => Value::Flag(self.loop_v4),
            Opt::MulticastLoopV6 => Value::Flag(self.loop_v6),
            Opt::BusyPoll | Opt::PreferBusyPoll | Opt::BusyPollBudget => self.busy_poll.get(opt)?,
            _ => self.ip.get(opt)?,
        })
    }

    /// What the IP header of a datagram to `dst` says.
    pub(crate) fn ip_fields(&self, dst: IpAddr) -> IpFields {
        let fields = self.ip.fields(dst.is_ipv4());
        if dst.is_multicast() { IpFields { hop_limit: self.group_ttl, ..fields } } else { fields }
    }

    /// Whether the receiver wants to know how a datagram of IPv4, or of IPv6, was to be treated.
    pub(crate) fn tells_tos(&self, v4: bool) -> bool {
        if v4 { self.recv_tos } else { self.recv_tclass }
    }

    /// Whether a datagram to a group comes back to this host's own members.
    pub(crate) fn loops(&self, dst: IpAddr) -> bool {
        if dst.is_ipv4() { self.loop_v4 } else { self.loop_v6 }
    }

    /// Remembers a group.
    ///
    /// # Errors
    /// `InvalidInput` for what is no group, `AddrInUse` when it is joined already, `NoBuffers` for too many.
    pub(crate) fn join(&mut self, group: IpAddr) -> Result<(), SocketError> {
        if !group.is_multicast() {
            return Err(SocketError::InvalidInput);
        }
        if self.groups.contains(&group) {
            return Err(SocketError::AddrInUse);
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(SocketError::NoBuffers);
        }
        self.groups.push(group);
        Ok(())
    }

    /// Forgets a group.
    ///
    /// # Errors
    /// `AddrNotAvailable` when it was not joined.
    pub(crate) fn leave(&mut self, group: IpAddr) -> Result<(), SocketError> {
        let at = self.groups.iter().position(|own| *own == group).ok_or(SocketError::AddrNotAvailable)?;
        self.groups.remove(at);
        Ok(())
    }

    /// Forgets all groups, and says which they were.
    pub(crate) fn leave_all(&mut self) -> SmallVec<[IpAddr; 2]> {
        std::mem::take(&mut self.groups)
    }
}
