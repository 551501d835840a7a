//! Our TCP against smoltcp's, in both roles and over both families: a foreign stack on a raw port of the LAN.
//!
//! The clock stands, and one seed decides everything: the runs repeat themselves, and a retransmission takes no time.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod cases;
mod peer;
