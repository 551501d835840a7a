//! A stand-in for the driver: sleeps on a parker, knows no timer and no source.

use crate::clock::Clock;
use crate::park::{Parker, Unparker};
use std::io;
use std::time::Duration;

#[allow(dead_code)]
pub(crate) struct DriverConfig {
    pub io: bool,
    pub time: bool,
    pub clock: Clock,
    pub timer_shards: usize,
}

pub(crate) struct Driver {
    parker: Parker,
}

pub(crate) struct DriverHandle {
    unparker: Unparker,
    #[allow(dead_code)]
    clock: Clock,
}

pub(crate) fn new(config: DriverConfig) -> io::Result<(Driver, DriverHandle)> {
    let parker = Parker::new();
    let unparker = parker.unparker();
    Ok((Driver { parker }, DriverHandle { unparker, clock: config.clock }))
}

impl Driver {
    pub(crate) fn park(&mut self, _handle: &DriverHandle, limit: Option<Duration>) {
        match limit {
            None => self.parker.park(),
            Some(limit) => {
                self.parker.park_timeout(limit);
            }
        }
    }

    pub(crate) fn turn(&mut self, _handle: &DriverHandle) {}

    pub(crate) fn shutdown(&mut self, _handle: &DriverHandle) {}
}

impl DriverHandle {
    pub(crate) fn unpark(&self) {
        self.unparker.unpark();
    }

    #[allow(dead_code)]
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}
