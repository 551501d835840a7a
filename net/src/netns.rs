//! Which network the caller stands on: the operating system's, or an emulated host.
//!
//! The runtime carries the answer from task to task without knowing what it is; this file alone reads it.

use crate::host::machine::Machine;
use std::sync::Arc;
use wakeline_runtime::namespace;

/// The network of the calling task or thread.
pub(crate) enum Netns {
    Os,
    Emulated(Arc<Machine>),
}

impl Netns {
    /// Where the caller stands: the operating system's network unless it was spawned on, or has entered, a host.
    pub(crate) fn current() -> Netns {
        match namespace::current().and_then(|namespace| namespace.downcast::<Machine>()) {
            Some(machine) => Netns::Emulated(machine),
            None => Netns::Os,
        }
    }
}
