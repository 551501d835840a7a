//! The network half of wakeline.

pub mod event;
pub mod os;
