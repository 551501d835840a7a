//! The options of sockets, once for all types that have them: tasks' and threads', prepared, listening and connected.
//!
//! A type that has options has two functions, `get_option` and `set_option`; the macros here give it the methods, with
//! the names of the standard library, tokio and socket2, in that order of preference.

use crate::sockopt::Sharing;
use std::time::Duration;

/// When and how a quiet connection is asked whether its peer is still there, as `socket2::TcpKeepalive`.
///
/// What is not set stays as it is. Linux begins with two hours, 75 seconds and nine probes.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use std::time::Duration;
/// use wakeline_net::{TcpKeepalive, TcpStream};
///
/// let stream = TcpStream::connect("server:7000").await?;
/// let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_retries(3);
/// stream.set_tcp_keepalive(&keepalive)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    pub(crate) time: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) retries: Option<u32>,
}

impl TcpKeepalive {
    /// Nothing but SO_KEEPALIVE itself.
    #[must_use]
    pub const fn new() -> TcpKeepalive {
        TcpKeepalive { time: None, interval: None, retries: None }
    }

    /// How long a connection is quiet before it is probed, in whole seconds from 1 to 32767 (`TCP_KEEPIDLE`).
    #[must_use]
    pub const fn with_time(self, time: Duration) -> TcpKeepalive {
        TcpKeepalive { time: Some(time), ..self }
    }

    /// The time between two probes, in whole seconds from 1 to 32767 (`TCP_KEEPINTVL`).
    #[must_use]
    pub const fn with_interval(self, interval: Duration) -> TcpKeepalive {
        TcpKeepalive { interval: Some(interval), ..self }
    }

    /// How many probes may stay unanswered, from 1 to 127 (`TCP_KEEPCNT`).
    #[must_use]
    pub const fn with_retries(self, retries: u32) -> TcpKeepalive {
        TcpKeepalive { retries: Some(retries), ..self }
    }
}

/// With whom a [`UdpSocket`](crate::UdpSocket) shares its address, for
/// [`bind_with`](crate::UdpSocket::bind_with). Nothing by itself.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use wakeline_net::{UdpBindOptions, UdpSocket};
///
/// // As many sockets as there are workers, and each has its part of the senders.
/// let options = UdpBindOptions::new().with_reuseport(true);
/// let workers = [
///     UdpSocket::bind_with("0.0.0.0:5300", options).await?,
///     UdpSocket::bind_with("0.0.0.0:5300", options).await?,
/// ];
/// # drop(workers);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpBindOptions {
    pub(crate) sharing: Sharing,
}

impl UdpBindOptions {
    /// The address is the socket's own, and one of IPv6 takes IPv4 as well.
    #[must_use]
    pub const fn new() -> UdpBindOptions {
        UdpBindOptions { sharing: Sharing { reuse_addr: false, reuse_port: false, only_v6: false } }
    }

    /// Sockets that all have it may be bound to one address (`SO_REUSEADDR`). What is for many, all of them hear; what is for
    /// one host, the newest.
    #[must_use]
    pub const fn with_reuseaddr(self, on: bool) -> UdpBindOptions {
        UdpBindOptions { sharing: Sharing { reuse_addr: on, ..self.sharing } }
    }

    /// Likewise, but each sender's datagrams go to one of them, chosen by a hash of both ends (`SO_REUSEPORT`). What is for
    /// many, all of them hear.
    #[must_use]
    pub const fn with_reuseport(self, on: bool) -> UdpBindOptions {
        UdpBindOptions { sharing: Sharing { reuse_port: on, ..self.sharing } }
    }

    /// A socket of IPv6 leaves IPv4 to others (`IPV6_V6ONLY`).
    #[must_use]
    pub const fn with_only_v6(self, on: bool) -> UdpBindOptions {
        UdpBindOptions { sharing: Sharing { only_v6: on, ..self.sharing } }
    }
}

/// Methods `$get` and `$set` for one option.
macro_rules! option {
    ($(#[$doc:meta])* $get:ident -> $type:ty, $opt:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Those of `getsockopt(2)`; `Unsupported` where the operating system has no such option.
        pub fn $get(&self) -> std::io::Result<$type> {
            $crate::sockopt::typed(self.get_option($crate::sockopt::Opt::$opt))
        }
    };
    ($(#[$doc:meta])* $get:ident, $set:ident: $kind:ident($type:ty), $opt:ident) => {
        $crate::api::options::option!($(#[$doc])* $get -> $type, $opt);
        $crate::api::options::option!($(#[$doc])* only $set: $kind($type), $opt);
    };
    ($(#[$doc:meta])* only $set:ident: $kind:ident($type:ty), $opt:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Those of `setsockopt(2)`: `InvalidInput` for a value out of range; `Unsupported` where the operating system
        /// has no such option.
        pub fn $set(&self, value: $type) -> std::io::Result<()> {
            self.set_option($crate::sockopt::Opt::$opt, $crate::sockopt::Value::$kind(value))
        }
    };
}

/// What sockets of every protocol have.
macro_rules! socket_options {
    ($socket:ty) => {
        impl $socket {
            $crate::api::options::option! {
                /// The receive buffer, in bytes with their overhead (`SO_RCVBUF`). As in Linux, what is read is twice
                /// what was set, within the host's bounds; and once it is set, the buffer no longer grows by itself.
                recv_buffer_size, set_recv_buffer_size: Number(u32), RcvBuf
            }
            $crate::api::options::option! {
                /// The send buffer, in bytes with their overhead (`SO_SNDBUF`), doubled as the receive buffer is.
                send_buffer_size, set_send_buffer_size: Number(u32), SndBuf
            }
            $crate::api::options::option! {
                /// For how long a thread that reads polls the device before it sleeps (`SO_BUSY_POLL`), to the microsecond;
                /// none, the default unless `net.core.busy_read` says otherwise, is not at all. On the emulated network a
                /// task looks once in each of its polls, because others wait for its worker. Connections that a listener
                /// accepts have its value.
                busy_poll, set_busy_poll: Time(Option<std::time::Duration>), BusyPoll
            }
            $crate::api::options::option! {
                /// The CPU that has last received for the socket, or that it was given (`SO_INCOMING_CPU`).
                incoming_cpu -> Option<u32>, IncomingCpu
            }
            $crate::api::options::option! {
                /// Of several sockets that would hear alike, the one with the CPU on which a packet is received comes first, also
                /// among those that share a port (`SO_INCOMING_CPU`).
                only set_incoming_cpu: Number(u32), IncomingCpu
            }

            /// The interface that the socket is bound to, if it is (`SO_BINDTODEVICE`).
            ///
            /// # Errors
            /// Those of `getsockopt(2)`; `Unsupported` where the operating system has no such option.
            pub fn device(&self) -> std::io::Result<Option<Vec<u8>>> {
                let name: String = $crate::sockopt::typed(self.get_option($crate::sockopt::Opt::BoundDevice))?;
                Ok((!name.is_empty()).then(|| name.into_bytes()))
            }

            /// Binds the socket to an interface, or to none again (`SO_BINDTODEVICE`): it hears only what arrives there, and
            /// before others that are bound to none. An emulated host has its device and `lo`, from which what it sends to
            /// itself arrives; a binding does not change which way packets leave it, nor what connections hear that there
            /// are already.
            ///
            /// # Errors
            /// `ENODEV` for an interface that there is not, `PermissionDenied` where Linux asks for `CAP_NET_RAW` (before 5.7, or to
            /// change what was set); `Unsupported` where the operating system has no such option.
            pub fn bind_device(&self, interface: Option<&[u8]>) -> std::io::Result<()> {
                use $crate::sockopt::{Name, Opt, Value};
                let name = std::str::from_utf8(interface.unwrap_or_default()).ok().and_then(Name::new);
                // An interface's name is short, and here text.
                let name = name.ok_or_else(|| std::io::Error::from_raw_os_error(libc::ENODEV))?;
                self.set_option(Opt::BoundDevice, Value::Name(name))
            }

            $crate::api::options::option! {
                /// Whether the softirq is to leave the polling to those who poll busily (`SO_PREFER_BUSY_POLL`): where the
                /// device's interrupts are deferred, there are none while somebody does.
                prefer_busy_poll, set_prefer_busy_poll: Flag(bool), PreferBusyPoll
            }
            $crate::api::options::option! {
                /// How many packets one look of a busy poll takes (`SO_BUSY_POLL_BUDGET`), up to 65535; 8 by default, and for 0.
                /// Linux does not tell it again.
                only set_busy_poll_budget: Number(u32), BusyPollBudget
            }
            $crate::api::options::option! {
                /// The time to live of what is sent to one host of IPv4 (`IP_TTL`), from 1 to 255.
                ttl, set_ttl: Number(u32), Ttl
            }
            $crate::api::options::option! {
                /// The hop limit of what is sent to one host of IPv6 (`IPV6_UNICAST_HOPS`), from 0 to 255.
                unicast_hops_v6, set_unicast_hops_v6: Number(u32), Hops
            }
            $crate::api::options::option! {
                /// The type of service of what is sent over IPv4 (`IP_TOS`): DSCP (RFC 2474) in the upper six bits, ECN
                /// in the lower two, which are not the program's to set on a socket of TCP and stay as they are.
                tos_v4, set_tos_v4: Number(u32), Tos
            }
            $crate::api::options::option! {
                /// The traffic class of what is sent over IPv6 (`IPV6_TCLASS`), likewise.
                tclass_v6, set_tclass_v6: Number(u32), TrafficClass
            }
        }
    };
}

/// What sockets of TCP have besides, whether they are connected, listen, or do not do either yet. Those of a listener are
/// inherited by the connections that it accepts.
macro_rules! tcp_options {
    ($socket:ty) => {
        $crate::api::options::socket_options!($socket);

        impl $socket {
            $crate::api::options::option! {
                /// Whether small writes are sent at once (`TCP_NODELAY`), or gathered while data is unacknowledged
                /// (Nagle's algorithm, the default).
                nodelay, set_nodelay: Flag(bool), NoDelay
            }
            $crate::api::options::option! {
                /// What closing does with data that is not through yet (`SO_LINGER`), in whole seconds.
                ///
                /// `None`, the default, leaves it to the stack to deliver. Zero throws it away and resets the
                /// connection. A longer time is kept and means the same as `None`: all that it does in Linux is let
                /// `close(2)` sleep, and dropping a socket never sleeps. Only those of [`blocking`](crate::blocking) do, on
                /// the operating system's network, where they are the standard library's.
                linger, set_linger: Time(Option<std::time::Duration>), Linger
            }
            $crate::api::options::option! {
                /// Whether a quiet connection is probed (`SO_KEEPALIVE`).
                keepalive, set_keepalive: Flag(bool), KeepAlive
            }
            $crate::api::options::option! {
                /// Whether an address may be bound that only connections of the past still use (`SO_REUSEADDR`).
                /// [`TcpListener::bind`](crate::TcpListener::bind) sets it.
                reuseaddr, set_reuseaddr: Flag(bool), ReuseAddr
            }
            $crate::api::options::option! {
                /// Whether several sockets that all want it may listen on one address and share its connections
                /// (`SO_REUSEPORT`). To be set before binding.
                reuseport, set_reuseport: Flag(bool), ReusePort
            }
            $crate::api::options::option! {
                /// Whether a socket of IPv6 stays away from IPv4 (`IPV6_V6ONLY`). To be set before binding.
                only_v6, set_only_v6: Flag(bool), OnlyV6
            }
            $crate::api::options::option! {
                /// How long written data may stay unacknowledged before the connection is given up with `TimedOut`
                /// (`TCP_USER_TIMEOUT`, RFC 5482); `None` for what the retransmissions take.
                tcp_user_timeout, set_tcp_user_timeout: Time(Option<std::time::Duration>), UserTimeout
            }
            $crate::api::options::option! {
                /// Whether data is acknowledged at once (`TCP_QUICKACK`). It does not last: the stack goes back to
                /// delaying acknowledgements when text flows in both directions.
                tcp_quickack, set_tcp_quickack: Flag(bool), QuickAck
            }
            $crate::api::options::option! {
                /// From how many bytes on a socket counts as readable (`SO_RCVLOWAT`), from 1 to half the receive
                /// buffer. A read that does not wait still takes less.
                rcvlowat, set_rcvlowat: Number(u32), RcvLowat
            }
            $crate::api::options::option! {
                /// Below how many unsent bytes a socket counts as writable (`TCP_NOTSENT_LOWAT`); zero for no such
                /// bound.
                tcp_notsent_lowat, set_tcp_notsent_lowat: Number(u32), NotSentLowat
            }
            $crate::api::options::option! {
                /// How long a listener waits for a connection's first data before it is given to
                /// `accept` all the same (`TCP_DEFER_ACCEPT`), in whole seconds, rounded as the retransmissions of the
                /// SYN-ACK fall; `None` for not at all.
                tcp_defer_accept, set_tcp_defer_accept: Time(Option<std::time::Duration>), DeferAccept
            }
            $crate::api::options::option! {
                /// How long a connection is quiet before it is probed (`TCP_KEEPIDLE`).
                tcp_keepalive_time -> Option<std::time::Duration>, KeepIdle
            }
            $crate::api::options::option! {
                /// The time between two probes (`TCP_KEEPINTVL`).
                tcp_keepalive_interval -> Option<std::time::Duration>, KeepInterval
            }
            $crate::api::options::option! {
                /// How many probes may stay unanswered (`TCP_KEEPCNT`).
                tcp_keepalive_retries -> u32, KeepCount
            }
            $crate::api::options::option! {
                /// The largest text of a segment, in bytes (`TCP_MAXSEG`).
                tcp_mss -> u32, MaxSeg
            }
            $crate::api::options::option! {
                /// The name of the congestion control (`TCP_CONGESTION`).
                tcp_congestion -> String, Congestion
            }

            /// Turns probing on, with these times.
            ///
            /// # Errors
            /// Those of `setsockopt(2)`: `InvalidInput` for a time below a second. What comes before the refused value,
            /// in the order of [`TcpKeepalive`](crate::TcpKeepalive)'s methods, is set.
            pub fn set_tcp_keepalive(&self, keepalive: &$crate::api::options::TcpKeepalive) -> std::io::Result<()> {
                use $crate::sockopt::{Opt, Value};
                self.set_option(Opt::KeepAlive, Value::Flag(true))?;
                if let Some(time) = keepalive.time {
                    self.set_option(Opt::KeepIdle, Value::Time(Some(time)))?;
                }
                if let Some(interval) = keepalive.interval {
                    self.set_option(Opt::KeepInterval, Value::Time(Some(interval)))?;
                }
                match keepalive.retries {
                    Some(retries) => self.set_option(Opt::KeepCount, Value::Number(retries)),
                    None => Ok(()),
                }
            }

            /// Chooses the congestion control (`TCP_CONGESTION`).
            ///
            /// # Errors
            /// `NotFound` when there is none of that name, and those of `setsockopt(2)`.
            pub fn set_tcp_congestion(&self, name: &str) -> std::io::Result<()> {
                use $crate::sockopt::{Name, Opt, Value};
                let name = Name::new(name).ok_or(std::io::ErrorKind::NotFound)?;
                self.set_option(Opt::Congestion, Value::Name(name))
            }
        }
    };
}

/// What sockets of UDP have besides.
macro_rules! udp_options {
    ($socket:ty) => {
        $crate::api::options::socket_options!($socket);

        impl $socket {
            $crate::api::options::option! {
                /// Whether datagrams may be sent to everybody on the link (`SO_BROADCAST`); without it that is
                /// `PermissionDenied`.
                broadcast, set_broadcast: Flag(bool), Broadcast
            }
            $crate::api::options::option! {
                /// Whether others that want it, too, may be bound to the address (`SO_REUSEADDR`); see
                /// [`UdpBindOptions`](crate::UdpBindOptions).
                reuseaddr -> bool, ReuseAddr
            }
            $crate::api::options::option! {
                /// Whether others that want it, too, share the address and its senders (`SO_REUSEPORT`).
                reuseport -> bool, ReusePort
            }
            $crate::api::options::option! {
                /// Whether a socket of IPv6 leaves IPv4 to others (`IPV6_V6ONLY`).
                only_v6 -> bool, OnlyV6
            }
            $crate::api::options::option! {
                /// Whether datagrams may be cut into pieces (`IP_MTU_DISCOVER`; on a socket of IPv6 `IPV6_MTU_DISCOVER` as
                /// well).
                mtu_discover -> $crate::sockopt::MtuDiscover, MtuDiscover
            }
            $crate::api::options::option! {
                /// The largest packet on the way to the peer, in bytes with its headers, as far as it is known (`IP_MTU`,
                /// `IPV6_MTU`). `NotConnected` without a peer.
                mtu -> u32, Mtu
            }
            $crate::api::options::option! {
                /// Whether all that the network says about the socket's datagrams is kept for `try_recv_error`
                /// (`IP_RECVERR`; on a socket of IPv6 `IPV6_RECVERR` as well), and is an error of the next call even where
                /// the socket has no peer.
                recverr, set_recverr: Flag(bool), RecvErr
            }

            $crate::api::options::option! {
                /// Whether [`RecvMeta`](crate::udp::RecvMeta) says how datagrams of IPv4 were to be treated (`IP_RECVTOS`).
                recv_tos_v4, set_recv_tos_v4: Flag(bool), RecvTos
            }
            $crate::api::options::option! {
                /// The same of IPv6 (`IPV6_RECVTCLASS`).
                recv_tclass_v6, set_recv_tclass_v6: Flag(bool), RecvTrafficClass
            }
            $crate::api::options::option! {
                /// Into datagrams of how many bytes each call that sends cuts what it is given (`UDP_SEGMENT`); 0, the
                /// default, sends one.
                udp_segment, set_udp_segment: Number(u32), UdpSegment
            }
            $crate::api::options::option! {
                /// Whether several datagrams of one sender may be received as one (`UDP_GRO`). Only calls that give a
                /// [`RecvMeta`](crate::udp::RecvMeta) can tell them apart; on an emulated host only those put them together.
                udp_gro, set_udp_gro: Flag(bool), UdpGro
            }

            /// Chooses whether datagrams may be cut into pieces.
            ///
            /// # Errors
            /// Those of `setsockopt(2)`; `Unsupported` where the operating system has no such option.
            pub fn set_mtu_discover(&self, value: $crate::sockopt::MtuDiscover) -> std::io::Result<()> {
                self.set_option($crate::sockopt::Opt::MtuDiscover, $crate::sockopt::Value::Number(value.number()))
            }

            $crate::api::options::option! {
                /// The time to live of datagrams to a group (`IP_MULTICAST_TTL`); 0 does not leave the host. On an
                /// emulated host it is the hop limit of IPv6 as well.
                multicast_ttl_v4, set_multicast_ttl_v4: Number(u32), MulticastTtlV4
            }
            $crate::api::options::option! {
                /// Whether what is sent to a group of IPv4 comes to this host's own members (`IP_MULTICAST_LOOP`).
                multicast_loop_v4, set_multicast_loop_v4: Flag(bool), MulticastLoopV4
            }
            $crate::api::options::option! {
                /// Whether what is sent to a group of IPv6 comes to this host's own members (`IPV6_MULTICAST_LOOP`).
                multicast_loop_v6, set_multicast_loop_v6: Flag(bool), MulticastLoopV6
            }
        }
    };
}

pub(crate) use {option, socket_options, tcp_options, udp_options};
