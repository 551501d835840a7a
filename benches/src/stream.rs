//! The bytes of a bulk stream: a pattern that the receiver compares, so that a lost, doubled or moved byte is seen.

use std::io;

/// How much is written, and asked for, at once.
pub const CHUNK: usize = 64 * 1024;

/// A prime, so that no block of a usual size falls on the same bytes again.
const PERIOD: usize = 65_521;

/// The stream, at any offset.
#[derive(Debug)]
pub struct Pattern(Box<[u8]>);

impl Pattern {
    /// The same for everybody.
    #[must_use]
    pub fn new() -> Pattern {
        let mut random = fastrand::Rng::with_seed(7);
        let period: Vec<u8> = (0..PERIOD).map(|_| random.u8(..)).collect();
        Pattern(period.iter().copied().cycle().take(PERIOD + CHUNK).collect())
    }

    /// The chunk of the stream that begins at `offset`.
    #[must_use]
    pub fn at(&self, offset: u64) -> &[u8] {
        let from = (offset % PERIOD as u64) as usize;
        &self.0[from..from + CHUNK]
    }

    /// Compares at most a chunk that has arrived at `offset`, byte for byte.
    ///
    /// # Errors
    /// `InvalidData` when a byte differs.
    pub fn check(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if *bytes == self.at(offset)[..bytes.len()] {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("a wrong byte after {offset} right ones")))
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Pattern::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_byte_is_seen() {
        let pattern = Pattern::new();
        let chunk = pattern.at(70_000).to_vec();
        assert!(pattern.check(70_000, &chunk).is_ok() && pattern.check(70_001, &chunk).is_err());
        assert!(pattern.check(70_000 + PERIOD as u64, &chunk[..9]).is_ok());
    }
}
