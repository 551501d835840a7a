//! The bytes of one connection: which message goes out, and whether what comes back is its echo.

use crate::workload::SIZE_MIN;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// One side of an echo.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// No other connection sends the same bytes, so a mix-up is seen.
    number: u64,
    size: usize,
    /// Messages that have been begun; those behind `sent` wait for room.
    begun: u64,
    sent: u64,
    /// Bytes of message `sent` that have gone.
    sent_bytes: usize,
    answered: u64,
    answered_bytes: usize,
    /// When the messages that have no answer were due.
    due: VecDeque<Instant>,
}

impl Conversation {
    pub(crate) fn new(number: u64, size: usize) -> Conversation {
        Conversation { number, size, ..Conversation::default() }
    }

    /// One more message, which was due then.
    pub(crate) fn begin(&mut self, due: Instant) {
        self.begun += 1;
        self.due.push_back(due);
    }

    /// How many messages have no answer yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.due.len()
    }

    /// What is to be written next; empty when everything was.
    pub(crate) fn unsent<'a>(&self, body: &'a mut Body) -> &'a [u8] {
        if self.sent == self.begun { &[] } else { &body.of(self.number, self.sent)[self.sent_bytes..] }
    }

    /// The first `n` bytes of [`unsent`](Conversation::unsent) have gone.
    pub(crate) fn on_sent(&mut self, n: usize) {
        self.sent_bytes += n;
        if self.sent_bytes == self.size {
            self.sent_bytes = 0;
            self.sent += 1;
        }
    }

    /// Compares what has come, and tells of each answer that is complete when it was due.
    pub(crate) fn on_received(
        &mut self,
        mut bytes: &[u8],
        body: &mut Body,
        mut answered: impl FnMut(Instant),
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let expected = &body.of(self.number, self.answered)[self.answered_bytes..];
            let (now, later) = bytes.split_at(expected.len().min(bytes.len()));
            let Some(&due) = self.due.front() else { return Err(wrong("an answer that nobody has asked for")) };
            if *now != expected[..now.len()] {
                return Err(wrong("a byte that was not sent"));
            }
            self.answered_bytes += now.len();
            if self.answered_bytes == self.size {
                self.answered_bytes = 0;
                self.answered += 1;
                self.due.pop_front();
                answered(due);
            }
            bytes = later;
        }
        Ok(())
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} came back"))
}

/// A message, made anew for each look at it.
#[derive(Debug)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    pub(crate) fn new(size: usize) -> Body {
        Body((0..size).map(|at| (at as u8).wrapping_mul(37).wrapping_add(11)).collect())
    }

    fn of(&mut self, connection: u64, message: u64) -> &[u8] {
        self.0[..8].copy_from_slice(&message.to_le_bytes());
        self.0[8..SIZE_MIN].copy_from_slice(&connection.to_le_bytes());
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_in_any_pieces_is_an_answer_and_nothing_else_is() {
        let (mut body, now) = (Body::new(64), Instant::now());
        let mut conversation = Conversation::new(7, 64);
        let mut wire = Vec::new();
        for _ in 0..3 {
            conversation.begin(now);
        }
        while !conversation.unsent(&mut body).is_empty() {
            let piece = conversation.unsent(&mut body)[..1].to_vec();
            conversation.on_sent(1);
            wire.extend(piece);
        }
        assert_eq!(wire.len(), 3 * 64);
        let mut answers = 0;
        for piece in wire.chunks(50) {
            conversation.on_received(piece, &mut body, |_| answers += 1).unwrap();
        }
        assert_eq!((answers, conversation.outstanding()), (3, 0));
        assert!(conversation.on_received(&wire[..1], &mut body, |_| {}).is_err());

        conversation.begin(now);
        wire[70] ^= 1;
        assert!(conversation.on_received(&wire[64..128], &mut body, |_| {}).is_err());
    }
}
