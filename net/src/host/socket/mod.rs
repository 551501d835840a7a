//! Sockets: the system calls of tasks and threads on the stack of their host.

pub(crate) mod attempt;
pub(crate) mod file;
pub(crate) mod spread;
pub(crate) mod tcp;
pub(crate) mod tcp_socket;
pub(crate) mod udp;

#[cfg(test)]
mod tests;
