//! Two stacks and a wire under virtual time.

pub(crate) mod forge;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod icmp;
#[cfg(test)]
mod icmp_errors;
#[cfg(test)]
mod ipv6;
#[cfg(test)]
mod link;
#[cfg(test)]
mod lossy;
#[cfg(test)]
mod ndp;
#[cfg(test)]
mod syn_queue;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod tcp_close;
#[cfg(test)]
mod tcp_ecn;
#[cfg(test)]
mod tcp_listen;
#[cfg(test)]
mod tcp_patience;
#[cfg(test)]
mod tcp_recovery;
#[cfg(test)]
mod tcp_timestamps;
#[cfg(test)]
mod transitions;
#[cfg(test)]
mod udp;
pub(crate) mod world;
