//! Linux's control messages and flags of datagrams: through `nix`, which keeps the system calls on its side.

use crate::recv_meta::RecvMeta;
use nix::cmsg_space;
use nix::sys::socket::recv as recv_with_flags;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use socket2::SockRef;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// Receives one datagram, or with UDP_GRO several of one sender.
///
/// # Errors
/// `WouldBlock` when there is none, and the system's.
pub(crate) fn recv(socket: SockRef<'_>, buf: &mut [u8]) -> io::Result<RecvMeta> {
    // One each of IP_TOS, IPV6_TCLASS and UDP_GRO.
    let mut space = cmsg_space!(u8, i32, i32);
    let mut into = [IoSliceMut::new(buf)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let from = message.address.as_ref().and_then(addr_of).ok_or(io::ErrorKind::InvalidData)?;
    let mut meta = RecvMeta {
        len: message.bytes,
        from,
        is_truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
        tos: None,
        gro_size: None,
    };
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4Tos(tos) => meta.tos = Some(tos),
            ControlMessageOwned::Ipv6TClass(tclass) => meta.tos = u8::try_from(tclass).ok(),
            ControlMessageOwned::UdpGroSegments(size) => meta.gro_size = usize::try_from(size).ok(),
            _ => {}
        }
    }
    Ok(meta)
}

/// Sends datagrams of `segment` bytes each; of 0 one.
///
/// # Errors
/// `WouldBlock` when there is no room, and the system's.
pub(crate) fn send_segments(
    socket: SockRef<'_>,
    (buf, segment): (&[u8], u16),
    to: Option<SocketAddr>,
) -> io::Result<usize> {
    let to = to.map(SockaddrStorage::from);
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let from = [IoSlice::new(buf)];
    Ok(sendmsg(socket.as_raw_fd(), &from, &control, MsgFlags::MSG_DONTWAIT, to.as_ref())?)
}

/// Receives a datagram and leaves it in the socket (`MSG_PEEK`).
///
/// # Errors
/// `WouldBlock` when there is none, and the system's.
pub(crate) fn peek(socket: SockRef<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(recv_with_flags(socket.as_raw_fd(), buf, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
}

fn addr_of(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|&addr| SocketAddr::V4(addr.into()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|&addr| SocketAddr::V6(addr.into())))
}
