//! The network as its users see it: one body of tests on both networks, and what only the emulated one can show.

mod emulated;
mod flood;
mod parity;
