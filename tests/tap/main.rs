//! The emulated network against real peers: the Linux kernel and its tools, through a TAP device.
//!
//! Each test makes a network namespace of its own, in which it is alone with one TAP device: nothing of the machine is
//! touched, and all of it is gone when the test ends. What a test needs and the machine does not have is named on a line
//! that begins with `SKIPPED`. All that passes is captured, and tshark must find nothing malformed and no bad checksum in it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod autoconf;
mod device;
mod groups;
mod http;
mod iperf;
mod lab;
mod offloads;
mod ping;
mod tcp;
