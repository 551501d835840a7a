//! The receive path as its owner sees it: rings, interrupts, moderation, NAPI, RSS and RPS, and the kernel's files about them.

mod bench;
mod channels;
mod cpus;
mod device;
mod interrupts;
mod napi;
