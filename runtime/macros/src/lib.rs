//! Procedural macros of wakeline.
