//! The receive path as its owner sees it: rings, interrupts, moderation, NAPI, RSS and RPS, and the kernel's files about them.

mod bench;
mod channels;
mod cpus;
mod device;
mod epoll_busy_poll;
mod interrupts;
mod napi;
