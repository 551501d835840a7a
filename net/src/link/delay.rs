//! The delay line: frames under way, and the engine that lets them arrive.

use crate::engine::{Engine, Turn};
use crate::halt::Halt;
use crate::link::switch::{Direction, PortId, Switch};
use crate::packet::PacketBuf;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use wakeline_runtime::clock::Instant;

/// Frames on one direction of one link, in the order in which they will arrive; those that arrive at once, in the order
/// in which they entered.
#[derive(Debug, Default)]
pub(crate) struct DelayLine {
    under_way: Mutex<VecDeque<(Instant, PacketBuf)>>,
    halt: Halt,
    /// A frame that will be the first to arrive has entered since the engine last looked.
    entered: AtomicBool,
    closed: AtomicBool,
}

impl DelayLine {
    /// Puts a frame on its way; gives it back when `limit` frames are under way already.
    pub(crate) fn enter(&self, arrival: Instant, frame: PacketBuf, limit: usize) -> Result<(), PacketBuf> {
        let is_first = {
            let mut under_way = self.under_way();
            if under_way.len() >= limit {
                return Err(frame);
            }
            // Most enter behind all others; only a jitter lets one overtake.
            if under_way.back().is_none_or(|(last, _)| *last <= arrival) {
                under_way.push_back((arrival, frame));
                under_way.len() == 1
            } else {
                let place = under_way.partition_point(|(other, _)| *other <= arrival);
                under_way.insert(place, (arrival, frame));
                place == 0
            }
        };
        if is_first {
            // SeqCst, as `Halt` asks.
            self.entered.store(true, Ordering::SeqCst);
            self.halt.ring();
        }
        Ok(())
    }

    /// The link is gone: frames under way are lost with it, and the engine ends.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.under_way().clear();
        self.halt.ring();
    }

    fn under_way(&self) -> MutexGuard<'_, VecDeque<(Instant, PacketBuf)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the frames of one line arrive when their time has come.
pub(crate) struct DelayEngine {
    line: Arc<DelayLine>,
    switch: Weak<Switch>,
    port: PortId,
    direction: Direction,
    arrived: Vec<PacketBuf>,
}

/// Frames that arrive in one turn, at most.
const BATCH: usize = 64;

impl DelayEngine {
    pub(crate) fn new(line: Arc<DelayLine>, switch: Weak<Switch>, port: PortId, direction: Direction) -> DelayEngine {
        DelayEngine { line, switch, port, direction, arrived: Vec::new() }
    }
}

impl Engine for DelayEngine {
    fn turn(&mut self, now: Instant) -> Turn {
        self.line.entered.store(false, Ordering::Relaxed);
        if self.line.closed.load(Ordering::Acquire) {
            return Turn::Done;
        }
        let Some(switch) = self.switch.upgrade() else { return Turn::Done };
        let next = {
            let mut under_way = self.line.under_way();
            while self.arrived.len() < BATCH && under_way.front().is_some_and(|(arrival, _)| *arrival <= now) {
                self.arrived.extend(under_way.pop_front().map(|(_, frame)| frame));
            }
            under_way.front().map(|(arrival, _)| *arrival)
        };
        switch.arrive(self.port, self.direction, &mut self.arrived);
        self.arrived.clear();
        match next {
            Some(arrival) if arrival <= now => Turn::Again,
            next => Turn::Idle(next),
        }
    }

    fn halt(&self) -> &Halt {
        &self.line.halt
    }

    fn has_work(&self) -> bool {
        self.line.entered.load(Ordering::SeqCst) || self.line.closed.load(Ordering::SeqCst)
    }

    fn abandoned(&mut self) {
        // Nobody will let these frames arrive any more.
        self.line.under_way().clear();
    }
}
