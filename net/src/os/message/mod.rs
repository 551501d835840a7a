//! Datagrams with control messages and flags (`sendmsg(2)`, `recvmsg(2)`), where the operating system has them.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;
#[cfg(unix)]
pub(super) use system::peek;
pub(super) use system::{recv, send_segments};
