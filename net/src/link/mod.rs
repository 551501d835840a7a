//! Links: what lies between two devices.
//!
//! A [`switch::Switch`] joins the ports of one LAN; with two ports it is a cable. Frames pass it in the context of whoever
//! rings the transmit doorbell: a plain link adds no queue, no task and no copy. A [`netem::Wire`] with impairments adds a
//! seeded verdict per frame and, with delay, a [`delay::DelayLine`] that runs as an engine.
//!
//! Whoever wants to see what passes takes a [`capture::Capture`].
//!
//! Links know devices and frames. They have never heard of a socket, an IP address or a host.

pub(crate) mod capture;
pub(crate) mod delay;
pub(crate) mod netem;
mod pcapng;
pub(crate) mod port;
pub(crate) mod switch;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has TAP devices"))]
pub(crate) mod uplink;
