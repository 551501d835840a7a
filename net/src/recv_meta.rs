//! What a socket tells of what it has received beside the bytes: the control messages of `recvmsg(2)`.

use std::net::SocketAddr;

/// What is known of a datagram that was received, or of several that were received as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecvMeta {
    /// How many bytes lie in the buffer.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The rest did not fit into the buffer, and is lost (`MSG_TRUNC`).
    pub is_truncated: bool,
    /// Type of service, or traffic class: DSCP in the upper six bits, ECN in the lower two. Where the socket was told to say
    /// so, by `set_recv_tos_v4` and `set_recv_tclass_v6`.
    pub tos: Option<u8>,
    /// With `set_udp_gro`, where several datagrams lie in the buffer: how long each of them is, in bytes. The last one may be
    /// shorter.
    pub gro_size: Option<usize>,
}
