//! The facade of wakeline.
