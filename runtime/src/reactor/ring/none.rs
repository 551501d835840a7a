//! No ring: types without a value.

use super::terms::{Await, Quiet, Take, Taken};
use crate::wait_queue::Events;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

/// What has a descriptor that a ring could take: anything, since there is none.
pub trait Descriptor {}

impl<T> Descriptor for T {}

/// No ring.
#[derive(Debug)]
pub(crate) enum Ring {}

/// Nothing in a ring.
#[derive(Debug)]
pub(crate) enum Socket {}

/// No completion.
#[derive(Debug)]
pub(crate) struct Done<'a>(&'a Infallible);

impl Ring {
    pub(crate) fn new<P>(_: &P, _: bool, _: impl Fn()) -> Result<Ring, String> {
        Err("it was built without the feature `io-uring`, which is there on Linux".to_owned())
    }

    pub(crate) fn enter(&self, _: Option<Duration>) -> bool {
        match *self {}
    }

    pub(crate) fn leave(&self, _: impl FnMut(Done<'_>)) {
        match *self {}
    }

    pub(crate) fn is_owed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn enter_beside(&self) {
        match *self {}
    }

    pub(crate) fn has_completions(&self) -> bool {
        match *self {}
    }

    pub(crate) fn fetch(&self, _: impl FnMut(Done<'_>)) {
        match *self {}
    }

    pub(crate) fn take_polled(&self) -> bool {
        match *self {}
    }

    pub(crate) fn socket<D>(&self, _: &D, _: usize, _: usize) -> Socket {
        match *self {}
    }
}

impl Done<'_> {
    pub(crate) fn index(&self) -> usize {
        match *self.0 {}
    }
}

impl Socket {
    pub(crate) fn owns(&self, _: &Done<'_>) -> bool {
        match *self {}
    }

    pub(crate) fn on_done(&self, _: &Ring, _: &Done<'_>) -> Events {
        match *self {}
    }

    pub(crate) fn wait(&self, _: &Ring, _: Events, _: Await) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn take(&self, _: Take, _: impl FnOnce(&[u8]) -> io::Result<usize>) -> Taken {
        match *self {}
    }

    pub(crate) fn quiet(&self, _: &Ring) -> io::Result<Quiet> {
        match *self {}
    }

    pub(crate) fn leave(&self, _: &Ring) -> bool {
        match *self {}
    }

    pub(crate) fn rearm(&self, _: &Ring) -> Events {
        match *self {}
    }

    pub(crate) fn reset_if_unread(&self) {
        match *self {}
    }

    pub(crate) fn is_quiet(&self) -> bool {
        match *self {}
    }

    pub(crate) fn nothing_unread(&self) -> io::Result<()> {
        match *self {}
    }
}
