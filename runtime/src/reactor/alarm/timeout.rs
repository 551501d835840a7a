//! The alarm that is the poller's own timeout.

use mio::{Registry, Token};
use std::io;
use std::time::Duration;

/// Nothing to set.
#[derive(Debug)]
pub(crate) struct Alarm;

impl Alarm {
    pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Alarm> {
        Ok(Alarm)
    }

    /// The timeout for a poll that has to end after `wait`.
    pub(crate) fn set(&mut self, wait: Option<Duration>) -> Option<Duration> {
        wait
    }
}
