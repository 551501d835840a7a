//! One request and its answer: 64 bytes that differ each time and are compared when they come back.
//!
//! Every contestant sends the same bytes and checks them with the same function, so checking costs all of them the same.

use std::io;

/// Bytes of a request, and of its answer.
pub const SIZE: usize = 64;

/// The requests of one connection, one after another.
#[derive(Debug)]
pub struct Requests {
    number: u64,
    bytes: [u8; SIZE],
}

impl Requests {
    /// Those of connection `connection`: no other connection sends the same bytes, so a mix-up is seen.
    #[must_use]
    pub fn of_connection(connection: u64) -> Requests {
        let mut bytes = [0; SIZE];
        for (at, byte) in (0_u8..).zip(&mut bytes) {
            *byte = at.wrapping_mul(37).wrapping_add(11);
        }
        bytes[8..16].copy_from_slice(&connection.to_le_bytes());
        Requests { number: 0, bytes }
    }

    /// The next request.
    pub fn next_request(&mut self) -> &[u8; SIZE] {
        self.number += 1;
        self.bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        &self.bytes
    }

    /// Compares the answer to the last request, byte for byte.
    ///
    /// # Errors
    /// `InvalidData` when a byte differs.
    pub fn check(&self, answer: &[u8; SIZE]) -> io::Result<()> {
        if *answer == self.bytes {
            return Ok(());
        }
        let at = answer.iter().zip(&self.bytes).position(|(got, sent)| got != sent).unwrap_or(SIZE);
        let text = format!("request {} came back with another byte {at}", self.number);
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_compared_and_no_two_requests_are_alike() {
        let mut requests = Requests::of_connection(7);
        let first = *requests.next_request();
        assert!(requests.check(&first).is_ok());
        for at in 0..SIZE {
            let mut wrong = first;
            wrong[at] ^= 1;
            assert!(requests.check(&wrong).is_err(), "byte {at}");
        }
        let second = *requests.next_request();
        assert_ne!(first, second);
        assert_ne!(first, *Requests::of_connection(8).next_request());
    }
}
