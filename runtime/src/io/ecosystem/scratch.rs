//! Room to read into, for callers who offer room that nobody has initialized.
//!
//! They offer much, mostly kilobytes, for little that comes, and ask again when there is nothing. To zero all of that each time
//! costs more than to copy what came, and throws other connections' bytes out of the cache.

use std::cell::Cell;
use std::io;
use std::task::Poll;

/// As much as one read takes.
const BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8; BYTES]>>> = const { Cell::new(None) };
}

/// Has `read` fill at most `room` bytes, and gives `put` those that it says are there.
///
/// # Panics
/// When `read` says that there are more than there was room for.
pub(super) fn read(
    room: usize,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    put: impl FnOnce(&[u8]),
) -> Poll<io::Result<()>> {
    // Whoever reads within a read, or when the thread ends, finds none and makes one.
    let mut bytes = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_else(fresh);
    let room = &mut bytes[..room.min(BYTES)];
    let result = read(room).map_ok(|n| put(&room[..n]));
    let _ = SCRATCH.try_with(|scratch| scratch.set(Some(bytes)));
    result
}

#[cold]
fn fresh() -> Box<[u8; BYTES]> {
    // Not an array in a box: in a debug build that would be made on the stack.
    vec![0; BYTES].try_into().expect("it has as many bytes")
}
