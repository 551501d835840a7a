//! The network half of wakeline.

pub mod event;
#[allow(dead_code, reason = "the host that drives it is on its way")]
mod packet;
#[allow(dead_code, reason = "the host that drives it is on its way")]
mod stack;
#[allow(dead_code, reason = "the host that drives it is on its way")]
mod wire;
