//! The echo by one loop over io_uring: what completions allow.
//!
//! Accepts and receives are multishot, a receive takes its buffer from a ring of buffers, an answer is sent from the buffer that
//! it came in, and one entry into the kernel submits all of a turn and waits for the next.

use super::{ANY_PORT, ECHO_BYTES};
use io_uring::cqueue::{buffer_select, more};
use io_uring::squeue::Entry;
use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, opcode};
use slab::Slab;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicU16, Ordering};

/// Submissions that are taken to the kernel at once.
const ENTRIES: u32 = 4096;
const ACCEPT: u64 = u64::MAX;
/// A send; below stand its buffer and its connection.
const SEND: u64 = 1 << 63;
const BUFFER_BITS: u32 = 32;
/// The group of all buffers.
const GROUP: u16 = 0;

pub(super) fn serve(ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(ANY_PORT)?;
    let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES)?;
    let mut buffers = Buffers::new(&ring)?;
    let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(ACCEPT);
    push(&mut ring, &accept)?;
    ready(listener.local_addr()?);
    let mut streams: Slab<TcpStream> = Slab::new();
    let mut completions = Vec::new();
    loop {
        ring.submit_and_wait(1)?;
        completions.extend(ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        for (about, result, flags) in completions.drain(..) {
            if about == ACCEPT {
                if !more(flags) {
                    push(&mut ring, &accept)?;
                }
                if result >= 0 {
                    // SAFETY: the kernel has just opened it for us, and nobody else has its number.
                    let stream = unsafe { TcpStream::from_raw_fd(result) };
                    stream.set_nodelay(true)?;
                    let entry = streams.vacant_entry();
                    push(&mut ring, &receive(&stream, entry.key() as u64))?;
                    entry.insert(stream);
                }
            } else if about & SEND != 0 {
                // When it has failed the receive will fail, too.
                buffers.give((about >> BUFFER_BITS) as u16);
            } else {
                let key = about as usize;
                let (Some(stream), Ok(n @ 1..), Some(buffer)) =
                    (streams.get(key), u32::try_from(result), buffer_select(flags))
                else {
                    drop(streams.try_remove(key));
                    continue;
                };
                let send = opcode::Send::new(Fd(stream.as_raw_fd()), buffers.at(buffer), n).flags(libc::MSG_WAITALL);
                let number = SEND | u64::from(buffer) << BUFFER_BITS | about;
                push(&mut ring, &send.build().user_data(number))?;
                if !more(flags) {
                    push(&mut ring, &receive(stream, about))?;
                }
            }
        }
        buffers.tell();
    }
}

fn receive(stream: &TcpStream, key: u64) -> Entry {
    opcode::RecvMulti::new(Fd(stream.as_raw_fd()), GROUP).build().user_data(key)
}

fn push(ring: &mut IoUring, entry: &Entry) -> io::Result<()> {
    loop {
        // SAFETY: what it points to is one of the buffers, which live as long as the process, and whose content nobody changes
        // before its completion.
        if unsafe { ring.submission().push(entry) }.is_ok() {
            return Ok(());
        }
        ring.submit()?;
    }
}

/// The buffers, and the ring through which the kernel gets them.
struct Buffers {
    table: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
}

impl Buffers {
    /// A power of two, and more than there are connections.
    const COUNT: u16 = 4096;

    /// They are never freed.
    fn new(ring: &IoUring) -> io::Result<Buffers> {
        let table = allocate(usize::from(Buffers::COUNT) * size_of::<BufRingEntry>()).cast();
        let bytes = allocate(usize::from(Buffers::COUNT) * ECHO_BYTES);
        // SAFETY: the table has so many entries, begins on a page, and lives as long as the process.
        unsafe { ring.submitter().register_buf_ring_with_flags(table as u64, Buffers::COUNT, GROUP, 0) }?;
        let mut buffers = Buffers { table, bytes, tail: 0 };
        (0..Buffers::COUNT).for_each(|buffer| buffers.give(buffer));
        buffers.tell();
        Ok(buffers)
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: there are `COUNT` buffers, and the kernel names no others.
        unsafe { self.bytes.add(usize::from(buffer) * ECHO_BYTES) }
    }

    /// The buffer is the kernel's again once it is [told](Buffers::tell).
    fn give(&mut self, buffer: u16) {
        let at = usize::from(self.tail % Buffers::COUNT);
        // SAFETY: within the table.
        let entry = unsafe { self.table.add(at) };
        // SAFETY: a zeroed entry is a valid one, and the kernel does not look behind the tail.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.at(buffer) as u64);
        entry.set_len(ECHO_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn tell(&self) {
        // SAFETY: `table` is the first entry of a table that was zeroed, which is a valid entry.
        let tail = unsafe { BufRingEntry::tail(self.table) };
        // SAFETY: the field is aligned, and only the kernel reads it beside us.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

fn allocate(bytes: usize) -> *mut u8 {
    const PAGE: usize = 4096;
    let layout = Layout::from_size_align(bytes, PAGE).expect("a few megabytes are a size");
    // SAFETY: the size is not zero.
    let pointer = unsafe { alloc_zeroed(layout) };
    if pointer.is_null() {
        handle_alloc_error(layout);
    }
    pointer
}
