//! The options of the operating system's sockets.
//!
//! What every system has goes through `socket2`. What only Linux has is in `linux`; elsewhere `other` says that it is
//! not there.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as special;
#[cfg(not(target_os = "linux"))]
use other as special;

pub(crate) use special::tcp_info;

use crate::sockopt::{Opt, Sharing, Value};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;

/// A socket of TCP that neither connects nor listens yet.
///
/// # Errors
/// Those of `socket(2)`.
pub(crate) fn tcp_socket(domain: Domain, nonblocking: bool) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(nonblocking)?;
    Ok(socket)
}

/// A socket of UDP that is bound.
///
/// # Errors
/// Those of `socket(2)`, `setsockopt(2)` and `bind(2)`.
pub(crate) fn udp_socket(addr: SocketAddr, sharing: Sharing) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if sharing.reuse_addr {
        socket.set_reuse_address(true)?;
    }
    if sharing.reuse_port {
        special::set(&socket, Opt::ReusePort, Value::Flag(true))?;
    }
    if sharing.only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// `getsockopt(2)`
///
/// # Errors
/// The system's; `Unsupported` where it has no such option.
pub(crate) fn get(socket: SockRef<'_>, opt: Opt) -> io::Result<Value> {
    Ok(match opt {
        Opt::ReuseAddr => Value::Flag(socket.reuse_address()?),
        Opt::RcvBuf => Value::Number(number(socket.recv_buffer_size()?)),
        Opt::SndBuf => Value::Number(number(socket.send_buffer_size()?)),
        Opt::Linger => Value::Time(socket.linger()?),
        Opt::KeepAlive => Value::Flag(socket.keepalive()?),
        Opt::Ttl => Value::Number(socket.ttl_v4()?),
        Opt::Hops => Value::Number(socket.unicast_hops_v6()?),
        Opt::Tos => Value::Number(socket.tos_v4()?),
        Opt::Broadcast => Value::Flag(socket.broadcast()?),
        Opt::MulticastTtlV4 => Value::Number(socket.multicast_ttl_v4()?),
        Opt::MulticastLoopV4 => Value::Flag(socket.multicast_loop_v4()?),
        Opt::MulticastLoopV6 => Value::Flag(socket.multicast_loop_v6()?),
        Opt::OnlyV6 => Value::Flag(socket.only_v6()?),
        Opt::NoDelay => Value::Flag(socket.tcp_nodelay()?),
        _ => return special::get(&socket, opt),
    })
}

/// `setsockopt(2)`
///
/// # Errors
/// The system's; `Unsupported` where it has no such option.
pub(crate) fn set(socket: SockRef<'_>, opt: Opt, value: Value) -> io::Result<()> {
    match (opt, value) {
        (Opt::ReuseAddr, Value::Flag(flag)) => socket.set_reuse_address(flag),
        (Opt::RcvBuf, Value::Number(n)) => socket.set_recv_buffer_size(n as usize),
        (Opt::SndBuf, Value::Number(n)) => socket.set_send_buffer_size(n as usize),
        (Opt::Linger, Value::Time(time)) => socket.set_linger(time),
        (Opt::KeepAlive, Value::Flag(flag)) => socket.set_keepalive(flag),
        (Opt::Ttl, Value::Number(n)) => socket.set_ttl_v4(n),
        (Opt::Hops, Value::Number(n)) => socket.set_unicast_hops_v6(n),
        (Opt::Tos, Value::Number(n)) => socket.set_tos_v4(n),
        (Opt::Broadcast, Value::Flag(flag)) => socket.set_broadcast(flag),
        (Opt::MulticastTtlV4, Value::Number(n)) => socket.set_multicast_ttl_v4(n),
        (Opt::MulticastLoopV4, Value::Flag(flag)) => socket.set_multicast_loop_v4(flag),
        (Opt::MulticastLoopV6, Value::Flag(flag)) => socket.set_multicast_loop_v6(flag),
        (Opt::OnlyV6, Value::Flag(flag)) => socket.set_only_v6(flag),
        (Opt::NoDelay, Value::Flag(flag)) => socket.set_tcp_nodelay(flag),
        (Opt::KeepIdle, Value::Time(Some(time))) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time)),
        _ => special::set(&socket, opt, value),
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
