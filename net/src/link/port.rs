//! What is plugged into a switch: a device, or a raw port that a program reads and writes itself.

use crate::event::DropReason;
use crate::link::delay::DelayLine;
use crate::link::netem::{Netem, Wire};
use crate::nic::Nic;
use crate::packet::PacketBuf;
use crate::wire::ethernet::MacAddr;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wakeline_runtime::rng::Rng;
use wakeline_runtime::wait_queue::{Events, WaitQueue};

/// One port of a switch, with the two directions of its link.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) mac: MacAddr,
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
}

impl Port {
    pub(crate) fn new(mac: MacAddr, sink: Sink, netem: Netem, rng: &mut Rng) -> Port {
        Port {
            mac,
            sink,
            up: Wire::new(netem, rng.fork()),
            down: Wire::new(netem, rng.fork()),
            up_line: Arc::default(),
            down_line: Arc::default(),
        }
    }

    /// Gives frames to whoever stands behind the port, and empties `frames`.
    pub(crate) fn deliver(&self, frames: &mut Vec<PacketBuf>) {
        match &self.sink {
            Sink::Nic(nic) => nic.receive(frames),
            Sink::Raw(queue) => {
                for frame in frames.drain(..) {
                    if !queue.push(frame.data()) {
                        self.down.count_drop(DropReason::RxMissed);
                    }
                }
            }
        }
    }
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
    fn push(&self, frame: &[u8]) -> bool {
        {
            let mut frames = self.frames();
            if frames.len() >= RAW_QUEUE_LEN {
                return false;
            }
            frames.push_back(frame.to_vec());
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
