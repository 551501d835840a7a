//! What was received for a socket and has not been read. Pure.

use std::io;

/// Bytes in order, then how the stream ended, once.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// How much of `bytes` has been read.
    read: usize,
    end: Option<End>,
}

/// How a receive ended the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer closed its direction.
    Closed,
    /// With this error number.
    Failed(i32),
}

/// With so much unread, receiving stops until all of it is read. What completes before the kernel hears of that comes on top:
/// at most all buffers of the ring.
const FULL: usize = 32 << 10;
/// An empty inbox keeps no more memory than this.
const KEPT: usize = 512;

impl Inbox {
    /// Takes in what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes in the end.
    pub(super) fn end(&mut self, end: End) {
        self.end = Some(end);
    }

    /// Whether receiving is to stop.
    pub(super) fn is_full(&self) -> bool {
        self.unread().len() >= FULL
    }

    /// Whether there is nothing to read, neither bytes nor an end.
    pub(super) fn is_empty(&self) -> bool {
        self.unread().is_empty() && self.end.is_none()
    }

    /// The bytes that are to be read next.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// `n` of them have been read.
    pub(super) fn consume(&mut self, n: usize) {
        self.read += n.min(self.bytes.len() - self.read);
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.read = 0;
        }
    }

    /// How the stream ended, when all bytes have been read; `None` once that was told.
    pub(super) fn take_end(&mut self) -> Option<io::Result<()>> {
        if !self.unread().is_empty() {
            return None;
        }
        self.end.take().map(result_of)
    }

    /// As [`take_end`](Inbox::take_end), and leaves the end of the stream where it is; an error is told once.
    pub(super) fn peek_end(&mut self) -> Option<io::Result<()>> {
        if self.end == Some(End::Closed) && self.unread().is_empty() { Some(Ok(())) } else { self.take_end() }
    }
}

fn result_of(end: End) -> io::Result<()> {
    match end {
        End::Closed => Ok(()),
        End::Failed(number) => Err(io::Error::from_raw_os_error(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_first_and_the_end_once() {
        let mut inbox = Inbox::default();
        assert!(inbox.is_empty() && inbox.take_end().is_none());
        inbox.push(b"abc");
        inbox.push(b"de");
        inbox.end(End::Failed(libc::ECONNRESET));
        inbox.consume(2);
        assert_eq!(inbox.unread(), b"cde");
        assert!(inbox.take_end().is_none() && inbox.peek_end().is_none());
        inbox.consume(3);
        assert!(!inbox.is_empty());
        assert_eq!(inbox.take_end().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(inbox.is_empty() && inbox.take_end().is_none());
        inbox.end(End::Closed);
        assert!(inbox.peek_end().unwrap().is_ok() && inbox.take_end().unwrap().is_ok());
    }

    #[test]
    fn a_full_one_is_full_until_enough_is_read_and_an_empty_one_keeps_little() {
        let mut inbox = Inbox::default();
        inbox.push(&[7; FULL]);
        assert!(inbox.is_full());
        inbox.consume(1);
        assert!(!inbox.is_full());
        inbox.consume(FULL);
        assert!(inbox.is_empty() && inbox.bytes.capacity() <= KEPT);
    }
}
