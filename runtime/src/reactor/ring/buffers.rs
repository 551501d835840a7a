//! The buffers that receives take from, and the ring through which the kernel gets them (`IORING_REGISTER_PBUF_RING`).
//!
//! A buffer is the kernel's from [`give`](Buffers::give) and [`tell`](Buffers::tell) until a completion names it, and ours from
//! there until it is given again. The memory belongs to this value, which outlives the kernel's use of it: [`Kernel`] frees it
//! when nothing is in flight, and leaves it to the process otherwise.
//!
//! [`Kernel`]: super::kernel::Kernel

use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// As many as can be on their way to the reactor at a time; a power of two.
pub(super) const COUNT: u16 = 2048;
/// What one holds, in bytes.
pub(super) const BUFFER_BYTES: usize = 2048;

const PAGE: usize = 4096;
const TABLE: Layout = layout(COUNT as usize * size_of::<BufRingEntry>());
const BYTES: Layout = layout(COUNT as usize * BUFFER_BYTES);

/// The buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    table: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    tail: u16,
}

// SAFETY: the pointers are to memory that only this value owns, as a box would.
unsafe impl Send for Buffers {}

impl Buffers {
    /// All of them, each given but none told.
    pub(super) fn new() -> Buffers {
        let mut buffers = Buffers { table: allocate(TABLE).cast(), bytes: allocate(BYTES), tail: 0 };
        (0..COUNT).for_each(|number| buffers.give(number));
        buffers
    }

    /// Where the kernel finds the ring of `COUNT` entries.
    pub(super) fn table(&self) -> u64 {
        self.table.as_ptr() as u64
    }

    /// What the kernel has written into a buffer. Nothing, if it names one that does not exist, or more than fits.
    pub(super) fn bytes(&self, number: u16, len: usize) -> &[u8] {
        if number >= COUNT || len > BUFFER_BYTES {
            return &[];
        }
        // SAFETY: there are `COUNT` buffers of this size in one allocation.
        let start = unsafe { self.bytes.add(usize::from(number) * BUFFER_BYTES) };
        // SAFETY: within the buffer, which is initialised, being zeroed, and which the kernel does not touch between the
        // completion that named it and the next `give`, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The buffer is the kernel's again once it is [told](Buffers::tell).
    pub(super) fn give(&mut self, number: u16) {
        if number >= COUNT {
            return;
        }
        let at = usize::from(self.tail % COUNT);
        // SAFETY: within the table's allocation.
        let mut entry = unsafe { self.table.add(at) };
        // SAFETY: a zeroed entry is a valid one, and the kernel reads none behind the tail. Where it does, the entry was
        // consumed: there are not more buffers than entries.
        let entry = unsafe { entry.as_mut() };
        // SAFETY: there are `COUNT` buffers of this size in one allocation.
        let start = unsafe { self.bytes.add(usize::from(number) * BUFFER_BYTES) };
        entry.set_addr(start.as_ptr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given.
    pub(super) fn tell(&self) {
        // SAFETY: `table` is the first entry of a registered table.
        let tail = unsafe { BufRingEntry::tail(self.table.as_ptr()) };
        // SAFETY: the field is aligned and lives as long as the table; beside us only the kernel looks at it.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: pairs with the kernel's acquire of the tail, before it reads the entries.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `new`, and freed once.
        unsafe { dealloc(self.table.as_ptr().cast(), TABLE) };
        // SAFETY: as above.
        unsafe { dealloc(self.bytes.as_ptr(), BYTES) };
    }
}

const fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes, PAGE) {
        Ok(layout) => layout,
        Err(_) => panic!("a few megabytes are a size"),
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the size is not zero.
    let pointer = unsafe { alloc_zeroed(layout) };
    NonNull::new(pointer).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_can_not_mean_is_no_bytes() {
        let buffers = Buffers::new();
        assert_eq!(buffers.bytes(COUNT - 1, BUFFER_BYTES), [0; BUFFER_BYTES]);
        assert!(buffers.bytes(COUNT, 1).is_empty() && buffers.bytes(0, BUFFER_BYTES + 1).is_empty());
    }
}
