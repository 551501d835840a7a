//! The network half of wakeline.
