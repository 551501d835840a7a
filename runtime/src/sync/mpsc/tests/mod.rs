//! The behaviour of channels, bounded and not, by topic.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod blocking;
mod closing;
mod contents;
mod lifetimes;
mod permits;
mod receiving;
mod sending;
mod stress;
