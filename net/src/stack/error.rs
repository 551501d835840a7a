//! What can go wrong with a socket, and the `errno` that Linux has for it.

use std::io;

/// Why an operation on a socket failed, or what the network reported about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketError {
    /// Not now; wait for the socket to become ready (`EAGAIN`).
    WouldBlock,
    /// The address and port belong to another socket (`EADDRINUSE`).
    AddrInUse,
    /// Not one of this host's addresses, or no ephemeral port is left (`EADDRNOTAVAIL`).
    AddrNotAvailable,
    /// An address of a family that the socket does not speak (`EAFNOSUPPORT`).
    AddrFamilyNotSupported,
    /// Nobody listens there (`ECONNREFUSED`).
    ConnectionRefused,
    /// The peer has reset the connection (`ECONNRESET`).
    ConnectionReset,
    /// The peer no longer answers (`ETIMEDOUT`).
    TimedOut,
    /// The socket has no peer (`ENOTCONN`).
    NotConnected,
    /// Writing after the end of the stream (`EPIPE`).
    BrokenPipe,
    /// The host is down (`ENETDOWN`).
    NetworkDown,
    /// The neighbour, or a router's neighbour, does not answer (`EHOSTUNREACH`).
    HostUnreachable,
    /// There is no route (`ENETUNREACH`).
    NetworkUnreachable,
    /// The peer's host does not speak the protocol (`ENOPROTOOPT`).
    ProtocolUnreachable,
    /// There is no such interface (`ENODEV`).
    NoDevice,
    /// A router does not know the host (`EHOSTDOWN`).
    HostDown,
    /// A router says that the sender is isolated (`ENONET`).
    NotOnNetwork,
    /// A source route failed, or a socket of IPv4 is asked about IPv6 (`EOPNOTSUPP`).
    NotSupported,
    /// The peer's host, or a router, finds a fault in the header (`EPROTO`).
    ProtocolError,
    /// An administrator, or the socket's own options, forbid it (`EACCES`).
    PermissionDenied,
    /// The socket has no such option, or this is no value for it (`ENOPROTOOPT`).
    OptionUnknown,
    /// There is nothing of that name (`ENOENT`).
    NotFound,
    /// The operation makes no sense for this socket or in this state (`EINVAL`).
    InvalidInput,
    /// An unconnected socket, and no destination (`EDESTADDRREQ`).
    DestinationRequired,
    /// Larger than a datagram on this path can be (`EMSGSIZE`).
    MessageTooLong,
    /// A bound on memory is reached (`ENOBUFS`).
    NoBuffers,
    /// The host has as many sockets as it may have; `sock_alloc` finds no more files (`ENFILE`).
    TooManySockets,
    /// The socket was closed, or is of another kind (`EBADF`).
    Stale,
}

impl SocketError {
    /// Linux's number for it.
    pub(crate) const fn errno(self) -> i32 {
        match self {
            SocketError::WouldBlock => libc::EAGAIN,
            SocketError::AddrInUse => libc::EADDRINUSE,
            SocketError::AddrNotAvailable => libc::EADDRNOTAVAIL,
            SocketError::AddrFamilyNotSupported => libc::EAFNOSUPPORT,
            SocketError::ConnectionRefused => libc::ECONNREFUSED,
            SocketError::ConnectionReset => libc::ECONNRESET,
            SocketError::TimedOut => libc::ETIMEDOUT,
            SocketError::NotConnected => libc::ENOTCONN,
            SocketError::BrokenPipe => libc::EPIPE,
            SocketError::NetworkDown => libc::ENETDOWN,
            SocketError::HostUnreachable => libc::EHOSTUNREACH,
            SocketError::NetworkUnreachable => libc::ENETUNREACH,
            SocketError::ProtocolUnreachable => libc::ENOPROTOOPT,
            SocketError::NoDevice => libc::ENODEV,
            SocketError::HostDown => libc::EHOSTDOWN,
            SocketError::NotOnNetwork => libc::ENONET,
            SocketError::NotSupported => libc::EOPNOTSUPP,
            SocketError::ProtocolError => libc::EPROTO,
            SocketError::PermissionDenied => libc::EACCES,
            SocketError::OptionUnknown => libc::ENOPROTOOPT,
            SocketError::NotFound => libc::ENOENT,
            SocketError::InvalidInput => libc::EINVAL,
            SocketError::DestinationRequired => libc::EDESTADDRREQ,
            SocketError::MessageTooLong => libc::EMSGSIZE,
            SocketError::NoBuffers => libc::ENOBUFS,
            SocketError::TooManySockets => libc::ENFILE,
            SocketError::Stale => libc::EBADF,
        }
    }
}

impl From<SocketError> for io::Error {
    fn from(error: SocketError) -> io::Error {
        io::Error::from_raw_os_error(error.errno())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_kinds_of_the_operating_system() {
        let kind = |error: SocketError| io::Error::from(error).kind();
        assert_eq!(kind(SocketError::WouldBlock), io::ErrorKind::WouldBlock);
        assert_eq!(kind(SocketError::ConnectionRefused), io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(SocketError::TimedOut), io::ErrorKind::TimedOut);
        assert_eq!(kind(SocketError::HostUnreachable), io::ErrorKind::HostUnreachable);
    }
}
