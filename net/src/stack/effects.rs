//! What the stack wants done once its lock is released.

use crate::event::Tracer;
use crate::packet::PacketBuf;
use crate::stack::demux::FourTuple;
use crate::stack::neighbour::Word;
use crate::stack::report::Report;
use crate::wire::ndp::RouterAdvert;
use std::mem::take;
use std::net::{IpAddr, Ipv6Addr};
use wakeline_runtime::wait_queue::WakeBatch;

/// Frames and wake-ups that one or more calls have produced, in order. The caller owns it, empties it and uses it again.
pub(crate) struct Effects {
    /// Complete Ethernet frames for the device.
    pub(crate) tx: Vec<PacketBuf>,
    /// Complete Ethernet frames from this host to itself.
    pub(crate) loopback: Vec<PacketBuf>,
    /// Complete Ethernet frames that another CPU may have to receive, as its device would have had it.
    pub(crate) steered: Vec<PacketBuf>,
    /// Datagrams that another CPU keeps.
    pub(crate) strays: Vec<Stray>,
    /// Who is to be woken.
    pub(crate) wakes: WakeBatch,
    /// By which functions, while somebody listens.
    pub(crate) causes: Vec<Cause>,
    /// What this shard has just learned, for the host's other shards. Empty when there is only one.
    pub(crate) facts: Vec<Fact>,
    /// Where events are told.
    pub(crate) tracer: Tracer,
}

/// Through which of the kernel's functions wake-ups have come about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    /// How many there were once these had been added.
    pub(crate) wakes: usize,
    /// What has found them, the innermost first.
    pub(crate) callback: &'static [&'static str],
    /// From where that was called.
    pub(crate) caller: Caller,
}

/// What has called a socket's callback: the kernel's functions, the innermost first.
pub(crate) type Caller = &'static [&'static str];

/// What concerns the whole host and arrives at one of its shards.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// What somebody says about a neighbour.
    Neighbour(IpAddr, Word),
    /// What somebody says about a packet of this host's, of whichever shard.
    Report(Report),
    /// What a router has said about the way to somewhere.
    PathMtu(IpAddr, u32),
    /// What a router says of itself and of the link.
    Router(Ipv6Addr, Box<RouterAdvert>),
    /// Somebody else has an address that this host has asked about.
    Duplicate(Ipv6Addr),
}

/// A datagram, pulled to its payload, that came to a member of a connected socket which does not keep any.
#[derive(Debug)]
pub(crate) struct Stray {
    /// The CPU whose member does.
    pub(crate) keeper: u32,
    /// Of the socket.
    pub(crate) flow: FourTuple,
    /// Type of service, or traffic class.
    pub(crate) tos: u8,
    pub(crate) packet: PacketBuf,
}

/// What stays within the host; mostly there is nothing.
pub(crate) struct Inward {
    pub(crate) loopback: Vec<PacketBuf>,
    pub(crate) steered: Vec<PacketBuf>,
    pub(crate) strays: Vec<Stray>,
    pub(crate) facts: Vec<Fact>,
}

impl Effects {
    /// Whether there is nothing to do.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tx.len() | self.loopback.len() | self.steered.len() | self.facts.len() == 0 && self.wakes.is_empty()
    }

    /// Takes out what stays within the host, if there is anything.
    #[inline]
    pub(crate) fn take_inward(&mut self) -> Option<Inward> {
        if self.loopback.len() | self.steered.len() | self.strays.len() | self.facts.len() == 0 {
            return None;
        }
        let Effects { loopback, steered, strays, facts, .. } = self;
        Some(Inward { loopback: take(loopback), steered: take(steered), strays: take(strays), facts: take(facts) })
    }

    /// Those who were added to the wake-ups since there were `before` have come about like this. Told only to who listens.
    #[inline]
    pub(crate) fn note_cause(&mut self, before: usize, callback: &'static [&'static str], caller: Caller) {
        if self.tracer.is_listening() && self.wakes.len() > before {
            self.causes.push(Cause { wakes: self.wakes.len(), callback, caller });
        }
    }

    /// Nothing to do yet.
    pub(crate) fn new(tracer: Tracer) -> Effects {
        let (tx, loopback, facts) = (Vec::new(), Vec::new(), Vec::new());
        let (steered, strays, wakes, causes) = (Vec::new(), Vec::new(), WakeBatch::new(), Vec::new());
        Effects { tx, loopback, steered, strays, wakes, causes, facts, tracer }
    }
}
