//! The error queue of the operating system's sockets (`MSG_ERRQUEUE`), where it has one.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(crate) use linux::recv_error;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::recv_error;
