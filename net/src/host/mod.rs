//! Hosts: where the device, the stack and the waiters meet.
//!
//! A host's CPUs ([`cpu`]) are engines that take interrupts from the device ([`crate::nic`]) through its driver
//! ([`driver`]), poll it ([`crate::irq::napi`]) and bring frames to the stack ([`machine`]). Its sockets ([`socket`]) are the system
//! calls of tasks and threads on the same stack.

#[cfg(target_os = "linux")]
mod attach;
pub(crate) mod builder;
pub(crate) mod busy_poll;
pub(crate) mod counters;
pub(crate) mod cpu;
pub(crate) mod driver;
pub(crate) mod ethtool;
pub(crate) mod handle;
pub(crate) mod irq;
pub(crate) mod irq_desc;
pub(crate) mod lan;
pub(crate) mod machine;
pub(crate) mod netdev_genl;
pub(crate) mod procfs;
pub(crate) mod rps;
pub(crate) mod socket;
pub(crate) mod socket_table;
pub(crate) mod softnet;
pub(crate) mod steering;
pub(crate) mod sysctl;
