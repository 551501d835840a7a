//! How much all connections of a shard hold together, with the bound of `tcp_mem`.
//!
//! Each connection is asked what it holds after whatever may have changed it; the sum follows. At the bound it goes on
//! in small steps, so that nothing is stuck: what an empty queue gets is always taken, in and out, as Linux does.

use crate::stack::tcp::connection::Connection;
use crate::stack::tcp::control_block::ControlBlock;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    held: u64,
    max: u64,
}

impl Memory {
    /// Nothing held yet, and so many bytes at most.
    pub(crate) const fn new(max: u64) -> Memory {
        Memory { held: 0, max }
    }

    /// Whether the bound is reached (`sk_memory_allocated > sysctl_tcp_mem[2]`).
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.held >= self.max
    }

    /// A connection may hold more now, or less.
    #[inline]
    pub(crate) fn account(&mut self, connection: &mut Connection) {
        let holds = connection.block.memory();
        self.held = self.held.wrapping_add(u64::from(holds)).wrapping_sub(u64::from(connection.charged));
        connection.charged = holds;
    }

    /// A connection that held so much is gone.
    pub(crate) fn release(&mut self, connection: &Connection) {
        self.held = self.held.wrapping_sub(u64::from(connection.charged));
    }

    /// How many bytes are held.
    #[cfg(test)]
    pub(crate) const fn held(&self) -> u64 {
        self.held
    }
}

impl ControlBlock {
    /// What the queues hold: text as it was written, and what came with its overhead.
    #[inline]
    pub(super) fn memory(&self) -> u32 {
        self.queued().saturating_add(self.recv.truesize()).saturating_add(self.out_of_order.truesize())
    }
}
