//! What a stack is told when it is built.

use crate::stack::addresses::Cidr;
use crate::stack::autoconf::Ipv6Sysctls;
use crate::stack::neigh::GcThresholds;
use crate::stack::route::Route;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::sysctl::TcpSysctls;
use crate::wire::ethernet::MacAddr;
use std::sync::Arc;

/// Which part of a host this stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardOf {
    pub(crate) index: u32,
    pub(crate) count: u32,
}

/// The identity of one shard of a host.
#[derive(Clone, Debug)]
pub(crate) struct StackConfig {
    pub(crate) mac: MacAddr,
    /// The interface's addresses.
    pub(crate) addrs: Vec<Cidr>,
    /// The ways to other networks; those on the link need none. Without one such a network is unreachable.
    pub(crate) routes: Vec<Route>,
    /// Whether packets for others are passed on (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`).
    pub(crate) forwards: bool,
    /// The largest IP packet, in bytes.
    pub(crate) mtu: usize,
    /// The device's name, for events.
    pub(crate) dev: Arc<str>,
    /// Keys of sequence numbers, ports and hash tables.
    pub(crate) secret: [u64; 4],
    pub(crate) shard: ShardOf,
    /// Whether the device makes transport checksums. Whether it has verified one stands with the packet.
    pub(crate) checksum_offload: bool,
    /// The most text that is made into segments at once, by the stack or by the device; 0 for no more than one.
    pub(crate) gso_max: u32,
    /// Whether the stack does it. A device that does needs `checksum_offload`.
    pub(crate) cuts_itself: bool,
    pub(crate) limits: Limits,
    pub(crate) tcp: TcpSysctls,
    pub(crate) ipv6: Ipv6Sysctls,
}

impl StackConfig {
    /// A host's only shard, with Linux's defaults.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(mac: MacAddr, addrs: Vec<Cidr>, secret: [u64; 4]) -> StackConfig {
        StackConfig {
            mac,
            addrs,
            routes: Vec::new(),
            forwards: false,
            mtu: 1500,
            dev: Arc::from("eth0"),
            secret,
            shard: ShardOf { index: 0, count: 1 },
            checksum_offload: false,
            gso_max: 0,
            cuts_itself: false,
            limits: Limits::default(),
            tcp: TcpSysctls::default(),
            ipv6: Ipv6Sysctls::OFF,
        }
    }
}

/// The bounds of everything that a peer or a program could make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Sockets of all kinds, connections without an owner included.
    pub(crate) sockets_max: usize,
    /// A connection's first receive buffer, in bytes of `truesize`. Half of it is offered as a window, as Linux does.
    pub(crate) rcvbuf: usize,
    /// A connection's first send buffer, in bytes of stream.
    pub(crate) sndbuf: usize,
    /// Whether they grow with what flows through them (`tcp_moderate_rcvbuf`), up to 6 and 4 MiB.
    pub(crate) buffers_grow: bool,
    /// For how long new sockets poll busily, in microseconds (`net.core.busy_read`).
    pub(crate) busy_read_usecs: u32,
    /// A UDP socket's receive buffer, in bytes of `truesize` (`net.core.rmem_default`).
    pub(crate) udp_rcvbuf: usize,
    /// Entries in TIME-WAIT (`net.ipv4.tcp_max_tw_buckets`).
    pub(crate) time_wait_max: usize,
    /// The largest backlog of a listener (`net.core.somaxconn`).
    pub(crate) somaxconn: u32,
    /// Half-open connections of all listeners.
    pub(crate) requests_max: usize,
    /// Neighbours.
    pub(crate) neigh: GcThresholds,
    /// Packets that wait for one neighbour, in bytes of `truesize` (`unres_qlen_bytes`).
    pub(crate) neigh_queue_max_bytes: usize,
    /// Segments that one connection holds out of order.
    pub(crate) out_of_order_max: usize,
    /// Which congestion control new connections have (`net.ipv4.tcp_congestion_control`).
    pub(crate) congestion: CongestionChoice,
    /// Whether text leaves at a pace whatever the congestion control, as with `fq` as the queueing discipline.
    pub(crate) paced: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sockets_max: 1 << 21,
            rcvbuf: 128 << 10,
            sndbuf: 128 << 10,
            buffers_grow: true,
            busy_read_usecs: 0,
            udp_rcvbuf: 212_992,
            time_wait_max: 262_144,
            somaxconn: 4096,
            requests_max: 65_536,
            neigh: GcThresholds::default(),
            neigh_queue_max_bytes: 212_992,
            out_of_order_max: 1024,
            congestion: CongestionChoice::default(),
            paced: false,
        }
    }
}
