//! SipHash-1-3 over words: what a peer must not guess (sequence numbers, ports) is derived with it.
//!
//! Hash tables use a faster hash whose values nobody sees. This one is the same on every machine, so that a seed decides
//! a whole run.

/// The hash of `words` under `key`.
pub(crate) fn keyed_hash(key: [u64; 2], words: &[u64]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for &word in words {
        absorb(&mut state, word);
    }
    absorb(&mut state, (words.len() as u64 * 8) << 56);
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    /// The standard library's default hasher is SipHash-1-3 with a key of zeroes.
    #[test]
    fn equals_the_standard_librarys() {
        for words in [&[][..], &[1], &[u64::MAX, 2, 3]] {
            let mut hasher = std::hash::DefaultHasher::new();
            for word in words {
                hasher.write(&word.to_le_bytes());
            }
            assert_eq!(keyed_hash([0, 0], words), hasher.finish());
        }
        assert_ne!(keyed_hash([0, 0], &[1]), keyed_hash([0, 1], &[1]));
    }
}
