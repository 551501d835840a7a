//! Who is at the other end of a Unix socket.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::io;
use std::os::fd::AsFd;

/// Whose process the peer is, or was when it connected or listened (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    uid: u32,
    gid: u32,
    pid: i32,
}

impl UCred {
    /// The effective user.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The effective group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The process; `None` when it is in a process namespace that this one can not see.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        (self.pid != 0).then_some(self.pid)
    }
}

pub(super) fn of_peer(socket: &impl AsFd) -> io::Result<UCred> {
    let peer = getsockopt(socket, PeerCredentials)?;
    Ok(UCred { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() })
}
