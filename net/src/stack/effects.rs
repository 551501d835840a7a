//! What the stack wants done once its lock is released.

use crate::event::Tracer;
use crate::packet::PacketBuf;
use crate::wire::ethernet::MacAddr;
use std::net::IpAddr;
use wakeline_runtime::wait_queue::WakeBatch;

/// Frames and wake-ups that one or more calls have produced, in order. The caller owns it, empties it and uses it again.
pub(crate) struct Effects {
    /// Complete Ethernet frames for the device.
    pub(crate) tx: Vec<PacketBuf>,
    /// Complete Ethernet frames from this host to itself.
    pub(crate) loopback: Vec<PacketBuf>,
    /// Who is to be woken.
    pub(crate) wakes: WakeBatch,
    /// Neighbours that this shard has just resolved, for the host's other shards. Empty when there is only one.
    pub(crate) learned: Vec<(IpAddr, MacAddr)>,
    /// Where events are told.
    pub(crate) tracer: Tracer,
}

impl Effects {
    /// Nothing to do yet.
    pub(crate) fn new(tracer: Tracer) -> Effects {
        let (tx, loopback, learned) = (Vec::new(), Vec::new(), Vec::new());
        Effects { tx, loopback, wakes: WakeBatch::new(), learned, tracer }
    }
}
