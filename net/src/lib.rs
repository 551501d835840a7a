//! The network half of wakeline: the operating system's sockets and an emulated Linux-like receive path behind one set
//! of types.
//!
//! [`TcpListener`], [`TcpStream`] and [`UdpSocket`] stand on whichever network their task stands on: the operating system's
//! by default, an [emulated host](emulated::Host)'s when it was spawned on one. [`blocking`] has the same for threads.
//! The architecture is told in the repository's ARCHITECTURE.md.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(not(loom))]
mod api;
mod atomic;
#[cfg(not(loom))]
pub mod blocking;
#[cfg(not(loom))]
pub mod completion;
#[cfg(loom)]
mod completion {
    mod queue;
    mod turn;

    #[cfg(test)]
    mod loom_tests;
}
#[cfg(not(loom))]
mod engine;
#[cfg(not(loom))]
pub mod epoll;
#[cfg(loom)]
mod epoll {
    mod error;
    mod flags;
    mod ready;

    #[cfg(test)]
    mod loom_tests;
}
#[cfg(not(loom))]
pub mod event;
#[cfg(not(loom))]
mod extended_error;
#[cfg(not(loom))]
pub mod fasync;
#[cfg(not(loom))]
mod forward;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[cfg(not(loom))]
pub mod fuzzing;
#[cfg(not(loom))]
mod gro;
#[cfg(not(loom))]
mod growing;
mod halt;
#[cfg(not(loom))]
mod host;
#[cfg(not(loom))]
mod iov_iter;
mod irq;
#[cfg(not(loom))]
mod link;
#[cfg(not(loom))]
mod netns;
#[cfg(not(loom))]
mod nic;
#[cfg(not(loom))]
pub mod os;
#[cfg(not(loom))]
mod packet;
#[cfg(not(loom))]
pub mod poll;
#[cfg(not(loom))]
mod recv_meta;
mod sockopt;
#[cfg(not(loom))]
mod stack;
#[cfg(not(loom))]
mod syscall;
#[cfg(target_os = "linux")]
#[cfg(not(loom))]
mod tap;
#[cfg(not(loom))]
mod tcp_info;
#[cfg(not(loom))]
mod waking;
#[cfg(not(loom))]
mod wire;

#[cfg(not(loom))]
pub use api::options::{TcpKeepalive, UdpBindOptions};
#[cfg(not(loom))]
pub use api::resolve::{ToSocketAddrs, lookup_host};
#[cfg(not(loom))]
pub use api::tcp::TcpStream;
#[cfg(not(loom))]
pub use api::tcp_listener::TcpListener;
#[cfg(not(loom))]
pub use api::tcp_socket::TcpSocket;
#[cfg(not(loom))]
pub use api::udp::UdpSocket;
#[cfg(not(loom))]
pub use sockopt::MtuDiscover;

/// What the network says about the datagrams of a [`UdpSocket`].
#[cfg(not(loom))]
pub mod udp {
    pub use crate::extended_error::{ErrorOrigin, ExtendedError};
    pub use crate::recv_meta::RecvMeta;
}

/// The halves of a [`TcpStream`] and its figures, and the stream of a [`TcpListener`]'s connections.
#[cfg(not(loom))]
pub mod tcp {
    pub use crate::api::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
    pub use crate::api::tcp_listener::Incoming;
    pub use crate::tcp_info::{TcpCaState, TcpInfo, TcpInfoOptions, TcpState};
}

#[cfg(unix)]
#[cfg(not(loom))]
pub use os::unix::{UnixDatagram, UnixListener, UnixStream};

/// Unix sockets: what belongs to [`UnixStream`], [`UnixListener`] and [`UnixDatagram`].
///
/// They are a matter of the machine and its file system, not of a network: they are the same wherever the caller stands,
/// on an emulated host too. There are none of type `SOCK_SEQPACKET`: std has none, and an `AsyncFd` takes any descriptor.
///
/// # Paths
/// On Linux a path that begins with a NUL byte is an abstract name, which is in no file system and goes away with its
/// socket. A file is made by binding, and stays: remove it before it is bound again. A path has room for 107 bytes on Linux.
#[cfg(unix)]
#[cfg(not(loom))]
pub mod unix {
    #[cfg(target_os = "linux")]
    pub use crate::os::unix::UCred;
    pub use crate::os::unix::{Incoming, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, SocketAddr, WriteHalf};
}

/// The emulated network: LANs, hosts, links, and what they count.
#[cfg(not(loom))]
pub mod emulated {
    pub use crate::host::builder::{HostBuilder, IrqChip};
    pub use crate::host::counters::HostCounters;
    pub use crate::host::driver::NapiSettings;
    pub use crate::host::ethtool::{Channels, EthtoolStats, RingParam};
    pub use crate::host::handle::Host;
    pub use crate::host::irq::{Irq, IrqAction};
    pub use crate::host::irq_desc::{IrqReturn, Spurious};
    pub use crate::host::lan::{Lan, RawPort};
    pub use crate::host::netdev_genl::NapiInstance;
    pub use crate::host::socket_table::SocketTable;
    pub use crate::link::capture::{Capture, Captured};
    pub use crate::link::netem::Netem;
    pub use crate::nic::coalesce::Coalesce;
    pub use crate::nic::model::NicModel;
    pub use crate::nic::offloads::Offloads;
    pub use crate::nic::rss::{RssSymmetry, Rxfh};
    pub use crate::nic::stats::NicStats;
    pub use crate::stack::counters::{Counters as StackCounters, Mib};
    pub use crate::stack::listing::{SocketEntry, SocketProto, SocketTimer, SocketTimerKind};
    pub use crate::stack::route::RouteTo;
    pub use crate::stack::tcp::congestion::choice::CongestionChoice;
    #[cfg(target_os = "linux")]
    pub use crate::tap::{Tap, port::TapPort, pump::Carried as TapCarried};
}
