//! Linux's error queue: `recvmsg(2)` with `MSG_ERRQUEUE`, and the control message that it brings.

use crate::extended_error::{ErrorOrigin, ExtendedError};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// Takes the oldest report.
///
/// # Errors
/// `WouldBlock` when there is none, and the system's.
pub(crate) fn recv_error(socket: SockRef<'_>) -> io::Result<ExtendedError> {
    let mut space =
        cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6, libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    // What is quoted of the datagram is not asked for.
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut space), flags)?;
    let destination = message.address.as_ref().and_then(addr_of).ok_or(io::ErrorKind::InvalidData)?;
    let told = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, from) => {
            // Its bytes stand as they do on the wire.
            let from = from.filter(|from| i32::from(from.sin_family) == libc::AF_INET);
            Some((error, from.map(|from| IpAddr::V4(Ipv4Addr::from(from.sin_addr.s_addr.to_ne_bytes())))))
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) => {
            let from = from.filter(|from| i32::from(from.sin6_family) == libc::AF_INET6);
            Some((error, from.map(|from| IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)))))
        }
        _ => None,
    });
    let (error, offender) = told.ok_or(io::ErrorKind::InvalidData)?;
    let origin = match error.ee_origin {
        libc::SO_EE_ORIGIN_LOCAL => ErrorOrigin::Local,
        libc::SO_EE_ORIGIN_ICMP => ErrorOrigin::Icmp,
        libc::SO_EE_ORIGIN_ICMP6 => ErrorOrigin::Icmp6,
        other => ErrorOrigin::Other(other),
    };
    Ok(ExtendedError {
        errno: error.ee_errno.cast_signed(),
        origin,
        kind: error.ee_type,
        code: error.ee_code,
        info: error.ee_info,
        offender: offender.filter(|_| origin != ErrorOrigin::Local),
        destination,
    })
}

fn addr_of(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|&addr| SocketAddr::V4(addr.into()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|&addr| SocketAddr::V6(addr.into())))
}
