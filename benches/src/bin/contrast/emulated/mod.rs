//! The models on the emulated network: each builds a host named `server`, and serves on it as its fellow does on the operating
//! system's.

pub(crate) mod blocking;
pub(crate) mod tasks;
