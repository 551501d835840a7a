//! The packet buffer (`sk_buff`): one block of bytes with headroom, written once by the sender and read in place by the
//! receiver. It comes from a bounded [`Pool`].
//!
//! A buffer travels by value: stack, ring, link, ring, stack. Nobody shares it, so nobody needs a lock for it. Behind its
//! bytes it may refer to text that it shares with its sender ([`Frag`]), as an `sk_buff` to its page fragments.
//! This file knows no header and no queue.

mod account;
mod buf;
mod pool;
mod text;

pub(crate) use buf::{IpSummed, LARGE, PacketBuf, RxMeta, SMALL, take_each};
#[cfg(any(test, fuzzing))]
pub(crate) use pool::copy;
pub(crate) use pool::{Pool, PoolCache};
pub(crate) use text::Frag;
