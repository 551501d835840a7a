//! Completion: io_uring, one thread. For each connection a receive is always on its way; an answer goes out linked before the
//! next receive, so a message costs one entry into the kernel at most.

use super::listen;
use crate::model::READ_MAX;
use crate::server::returned;
use io_uring::cqueue::more;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

/// Submissions that are taken to the kernel at once.
const ENTRIES: u32 = 4096;

const ACCEPT: u64 = u64::MAX;
/// A send; the rest of its number is its connection's. It completes only when it fails.
const SEND: u64 = 1 << 63;

pub(crate) fn serve(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    let listener = listen()?;
    let mut ring = Ring(IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES)?);
    let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(ACCEPT);
    ring.push(std::slice::from_ref(&accept))?;
    ready(listener.local_addr()?);
    let mut connections: Slab<Connection> = Slab::new();
    let mut completions = Vec::new();
    loop {
        ring.0.submit_and_wait(1)?;
        completions.extend(ring.0.completion().map(|entry| (entry.user_data(), entry.result(), more(entry.flags()))));
        returned(!completions.is_empty());
        for (about, result, goes_on) in completions.drain(..) {
            if about == ACCEPT {
                if !goes_on {
                    ring.push(std::slice::from_ref(&accept))?;
                }
                if result < 0 {
                    continue;
                }
                // SAFETY: the kernel has just opened it for us, and nobody else has its number.
                let stream = unsafe { TcpStream::from_raw_fd(result) };
                stream.set_nodelay(true)?;
                let entry = connections.vacant_entry();
                let key = entry.key() as u64;
                let connection = entry.insert(Connection { stream, buf: Box::new([0; READ_MAX]) });
                ring.push(&[connection.receive(key)])?;
            } else if about & SEND == 0 {
                let key = about as usize;
                match usize::try_from(result) {
                    Ok(n @ 1..) => {
                        let connection = &mut connections[key];
                        ring.push(&[connection.send(about, n), connection.receive(about)])?;
                    }
                    // Closed, failed, or cancelled because the send before it has failed.
                    _ => drop(connections.remove(key)),
                }
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    buf: Box<[u8; READ_MAX]>,
}

impl Connection {
    fn receive(&mut self, key: u64) -> Entry {
        let fd = Fd(self.stream.as_raw_fd());
        opcode::Recv::new(fd, self.buf.as_mut_ptr(), READ_MAX as u32).build().user_data(key)
    }

    /// All of `n` bytes, and the receive behind it only then.
    fn send(&mut self, key: u64, n: usize) -> Entry {
        let fd = Fd(self.stream.as_raw_fd());
        let send = opcode::Send::new(fd, self.buf.as_ptr(), n as u32).flags(libc::MSG_WAITALL);
        send.build().user_data(key | SEND).flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
    }
}

struct Ring(IoUring);

impl Ring {
    /// Queues entries that belong together.
    fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        loop {
            // SAFETY: the buffers are the connections' own, on the heap. A connection is removed only when its receive has
            // completed, which is the last of its operations: the send is linked before it.
            if unsafe { self.0.submission().push_multiple(entries) }.is_ok() {
                return Ok(());
            }
            self.0.submit()?;
        }
    }
}
