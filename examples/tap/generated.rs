//! Files that exist only while they are read: any length, always the same bytes, no two pieces alike.

use sha2::{Digest, Sha256};

/// One of them, from its beginning.
pub(crate) struct Generated {
    piece: Box<[u8; PIECE]>,
    len: u64,
    position: u64,
}

const PIECE: usize = 64 << 10;
/// The longest; the checksum of it takes some seconds.
pub(crate) const LEN_MAX: u64 = 10_000_000_000;

impl Generated {
    pub(crate) fn new(len: u64) -> Generated {
        let mut piece = Box::new([0; PIECE]);
        fastrand::Rng::with_seed(len).fill(&mut piece[..]);
        Generated { piece, len, position: 0 }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next bytes, until there are no more.
    pub(crate) fn next_piece(&mut self) -> Option<&[u8]> {
        let left = self.len - self.position;
        if left == 0 {
            return None;
        }
        // Each piece begins with its place in the file, so that one that is lost or comes twice changes the checksum.
        self.piece[..8].copy_from_slice(&self.position.to_be_bytes());
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        self.position += n as u64;
        Some(&self.piece[..n])
    }

    /// The checksum of the whole file, in hexadecimal.
    pub(crate) fn sha256(mut self) -> String {
        let mut hash = Sha256::new();
        while let Some(piece) = self.next_piece() {
            hash.update(piece);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
