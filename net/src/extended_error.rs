//! What became of a datagram, as the error queue of a socket tells it (`IP_RECVERR`, `struct sock_extended_err`).

use std::io;
use std::net::{IpAddr, SocketAddr};

/// An error about one datagram that the socket has sent, as `MSG_ERRQUEUE` gives it (ip(7)).
///
/// Linux also gives back as much of the datagram as was quoted; this does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtendedError {
    /// Linux's number of the error: `ECONNREFUSED`, `EHOSTUNREACH`, `EMSGSIZE`, ..
    pub errno: i32,
    /// Who says so.
    pub origin: ErrorOrigin,
    /// The type of the ICMP or ICMPv6 message; 0 for what this host has found itself.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// With `EMSGSIZE`, the largest packet that would have passed, in bytes; 0 otherwise.
    pub info: u32,
    /// The router or host that has sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// Where the datagram was to go.
    pub destination: SocketAddr,
}

/// Where an [`ExtendedError`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorOrigin {
    /// This host (`SO_EE_ORIGIN_LOCAL`).
    Local,
    /// An ICMP message (`SO_EE_ORIGIN_ICMP`).
    Icmp,
    /// An ICMPv6 message (`SO_EE_ORIGIN_ICMP6`).
    Icmp6,
    /// Something else.
    Other(u8),
}

impl ExtendedError {
    /// The error as the standard library shows it.
    #[must_use]
    pub fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}
