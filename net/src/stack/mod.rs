//! The network stack of one shard of a host, as a pure core: no clock, no thread, no lock, no I/O.
//!
//! `now` comes in with every call; frames, wake-ups and the next deadline go out. The host locks a [`Stack`], calls it,
//! unlocks it, and only then acts on the [`Effects`](effects::Effects).
//!
//! # How to drive it
//! [`on_frame`] for each frame of a batch, then [`on_batch_end`], which sends what the batch has made due; [`on_timer`]
//! when [`next_deadline`] has come; and the programs' `calls` at any time. After any of them: put `tx` on the device's
//! ring, give `loopback` back to `on_frame` later, call the wakers, look at `next_deadline` again.
//!
//! # What it does not know
//! Devices and rings; tasks and threads (it only sees `WaitList`s); other shards.
//!
//! [`Stack`]: shard::Stack
//! [`on_frame`]: shard::Stack::on_frame
//! [`on_batch_end`]: shard::Stack::on_batch_end
//! [`on_timer`]: shard::Stack::on_timer
//! [`next_deadline`]: shard::Stack::next_deadline

pub(crate) mod addresses;
pub(crate) mod arp;
pub(crate) mod autoconf;
pub(crate) mod busy_poll;
mod calls;
pub(crate) mod complain;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod defrag;
pub(crate) mod demux;
pub(crate) mod dst;
pub(crate) mod effects;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod flow_table;
pub(crate) mod forward;
pub(crate) mod fragment;
pub(crate) mod hears;
pub(crate) mod icmp;
pub(crate) mod icmpv6;
pub(crate) mod ip;
pub(crate) mod ip_input;
pub(crate) mod ip_output;
pub(crate) mod ip_settings;
pub(crate) mod keyed_hash;
pub(crate) mod listing;
pub(crate) mod membership;
pub(crate) mod ndp;
pub(crate) mod neigh;
pub(crate) mod neighbour;
pub(crate) mod path_mtu;
pub(crate) mod rate_limit;
pub(crate) mod reassembly;
pub(crate) mod report;
pub(crate) mod route;
pub(crate) mod shard;
pub(crate) mod socket;
pub(crate) mod socket_wq;
pub(crate) mod tcp;
pub(crate) mod timers;
pub(crate) mod udp;
pub(crate) mod udp_early;
pub(crate) mod udp_errors;
pub(crate) mod udp_options;

#[cfg(any(test, fuzzing))]
#[expect(clippy::unwrap_used, reason = "these are tests, but clippy only knows `cfg(test)`")]
#[cfg_attr(fuzzing, expect(dead_code, reason = "fuzzers use a part of what the tests do"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
