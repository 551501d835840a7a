//! Text that is written once and read by many: a sender keeps it until it is acknowledged, and meanwhile its frames and the
//! receiver's queue refer to the same bytes.
//!
//! Bytes are written only while nobody else refers to their block; what has been read by another never changes.

use super::account::Account;
use std::fmt;
use std::sync::Arc;

/// A block of text, and the account that it is charged to. Its last reference gives its bytes back.
pub(super) struct Text {
    bytes: Box<[u8]>,
    account: Arc<Account>,
}

impl Text {
    /// A block of `size` bytes, which are charged already.
    pub(super) fn new(size: usize, account: &Arc<Account>) -> Arc<Text> {
        Arc::new(Text { bytes: vec![0; size].into_boxed_slice(), account: account.clone() })
    }

    /// How many bytes it has room for.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        self.account.give_back(self.bytes.len());
    }
}

/// A reference to a part of a block (`skb_frag_t`).
pub(crate) struct Frag {
    text: Arc<Text>,
    start: u32,
    len: u32,
}

impl Frag {
    /// The beginning of a block that nobody else refers to; nothing is written yet.
    pub(super) fn empty(text: Arc<Text>) -> Frag {
        Frag { text, start: 0, len: 0 }
    }

    /// Its bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text.bytes[self.start as usize..(self.start + self.len) as usize]
    }

    /// How many they are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Copies what fits of `bytes` behind the last written one, and says how many that are: none once others refer to the
    /// block. Only for the reference that ends where the block's text ends.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let end = (self.start + self.len) as usize;
        let n = bytes.len().min(self.text.size() - end);
        if n == 0 {
            return 0;
        }
        let Some(text) = Arc::get_mut(&mut self.text) else { return 0 };
        copy(&mut text.bytes[end..end + n], &bytes[..n]);
        self.len += n as u32;
        n
    }

    /// Another reference, to `len` of its bytes from `from` on.
    #[inline]
    pub(crate) fn part(&self, from: usize, len: usize) -> Frag {
        debug_assert!(from + len <= self.len(), "a part lies within the whole");
        Frag { text: self.text.clone(), start: self.start + from as u32, len: len as u32 }
    }

    /// Whether `next` refers to the bytes behind its own, in the same block.
    #[inline]
    pub(super) fn is_continued_by(&self, next: &Frag) -> bool {
        Arc::ptr_eq(&self.text, &next.text) && self.start + self.len == next.start
    }

    /// Refers to what `next` does, too, which [continues](Self::is_continued_by) it.
    #[inline]
    pub(super) fn join(&mut self, next: Frag) {
        self.len += next.len;
    }

    /// Lets go of its first `n` bytes.
    #[inline]
    pub(crate) fn pull(&mut self, n: usize) {
        debug_assert!(n <= self.len(), "no more is pulled than there is");
        self.start += n as u32;
        self.len -= n as u32;
    }

    /// Keeps its first `n` bytes.
    #[inline]
    pub(crate) fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u32);
    }

    /// The block, if this is its only reference.
    #[inline]
    pub(super) fn into_unshared(self) -> Option<Arc<Text>> {
        // A count of one can not become more: whoever would add a reference has none.
        (Arc::strong_count(&self.text) == 1).then_some(self.text)
    }
}

/// Copies text. Long text goes in runs, for which the C library does not take the processor's string instructions: on Zen 3 those
/// are twenty times slower where the target stands less than 32 bytes further in its page than the source.
#[inline]
pub(super) fn copy(to: &mut [u8], from: &[u8]) {
    debug_assert_eq!(to.len(), from.len(), "as much as there is room for");
    for (to, from) in to.chunks_mut(RUN).zip(from.chunks(RUN)) {
        to.copy_from_slice(from);
    }
}

/// A little less than glibc's lowest `rep_movsb_threshold`.
const RUN: usize = (2 << 10) - 64;

impl fmt::Debug for Frag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frag").field("start", &self.start).field("len", &self.len).finish_non_exhaustive()
    }
}
