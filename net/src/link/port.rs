//! What is plugged into a switch: a device, a raw port that a program reads and writes itself, or an uplink that leads on
//! to another network.

use crate::event::DropReason;
use crate::link::delay::DelayLine;
use crate::link::netem::{Links, Wire};
use crate::link::uplink::{Pushed, Uplink};
use crate::nic::Nic;
use crate::nic::offloads::Offloads;
use crate::packet::{IpSummed, PacketBuf};
use crate::wire::completion;
use crate::wire::ethernet::MacAddr;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wakeline_runtime::clock::Instant;
use wakeline_runtime::rng::Rng;
use wakeline_runtime::wait_queue::{Events, WaitQueue};

/// One port of a switch, with the two directions of its link.
#[derive(Debug)]
pub(crate) struct Port {
    /// Whose port it is; captures name it.
    pub(crate) name: Arc<str>,
    /// The one address behind the port; an uplink has none, because any number of stations may stand behind it.
    pub(crate) mac: Option<MacAddr>,
    pub(crate) sink: Sink,
    /// From the device to the switch.
    pub(crate) up: Wire,
    /// From the switch to the device.
    pub(crate) down: Wire,
    pub(crate) up_line: Arc<DelayLine>,
    pub(crate) down_line: Arc<DelayLine>,
}

/// Who takes the frames that leave a port.
#[derive(Debug)]
pub(crate) enum Sink {
    Nic(Arc<Nic>),
    Raw(Arc<RawQueue>),
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has TAP devices"))]
    Uplink(Arc<Uplink>, Offloads),
}

impl Port {
    pub(crate) fn new(
        name: Arc<str>,
        mac: Option<MacAddr>,
        sink: Sink,
        links: impl Into<Links>,
        rng: &mut Rng,
    ) -> Port {
        let links = links.into();
        Port {
            name,
            mac,
            sink,
            up: Wire::new(links.up, rng.fork()),
            down: Wire::new(links.down, rng.fork()),
            up_line: Arc::default(),
            down_line: Arc::default(),
        }
    }

    /// What whoever stands behind the port takes over from the sender's device.
    #[inline]
    pub(crate) fn offloads(&self) -> Offloads {
        match &self.sink {
            Sink::Nic(nic) => nic.offloads(),
            Sink::Raw(_) => Offloads::empty(),
            Sink::Uplink(_, offloads) => *offloads,
        }
    }

    /// Whether frames may refer to text of their sender: it is a device, and the wire to it leaves them as they are.
    pub(crate) fn takes_references(&self) -> bool {
        self.down.is_plain() && matches!(self.sink, Sink::Nic(_))
    }

    /// Gives frames, at `now`, to whoever stands behind the port, and empties `frames`.
    #[inline]
    pub(crate) fn deliver(&self, now: Instant, frames: &mut Vec<PacketBuf>) {
        match &self.sink {
            Sink::Nic(nic) => nic.receive(now, frames),
            _ => self.deliver_outside(frames),
        }
    }

    fn deliver_outside(&self, frames: &mut Vec<PacketBuf>) {
        match &self.sink {
            Sink::Nic(_) => {}
            Sink::Raw(queue) => {
                for frame in frames.drain(..) {
                    if !queue.push(on_the_wire(&frame)) {
                        self.down.count_drop(DropReason::RxMissed);
                    }
                }
            }
            Sink::Uplink(uplink, _) => {
                let (lost, reason) = match uplink.push(frames) {
                    Pushed::Queued { lost } => (lost, DropReason::QdiscDrop),
                    Pushed::Closed { lost } => (lost, DropReason::DevReady),
                };
                for _ in 0..lost {
                    self.down.count_drop(reason);
                }
            }
        }
    }
}

/// A frame's bytes as they are on a wire: with the checksum that the sender may have left to the device.
fn on_the_wire(frame: &PacketBuf) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    if frame.rx.ip_summed == IpSummed::Partial {
        completion::complete(&mut bytes);
    }
    bytes
}

/// Frames that wait for the program behind a raw port.
#[derive(Debug, Default)]
pub(crate) struct RawQueue {
    frames: Mutex<VecDeque<Vec<u8>>>,
    pub(crate) waiters: WaitQueue,
}

/// A raw port that nobody reads keeps this many frames.
const RAW_QUEUE_LEN: usize = 1024;

impl RawQueue {
    fn push(&self, frame: Vec<u8>) -> bool {
        {
            let mut frames = self.frames();
            if frames.len() >= RAW_QUEUE_LEN {
                return false;
            }
            frames.push_back(frame);
        }
        self.waiters.wake(Events::READABLE, 1);
        true
    }

    pub(crate) fn pop(&self) -> Option<Vec<u8>> {
        self.frames().pop_front()
    }

    fn frames(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
