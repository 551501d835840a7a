//! One client of the store, between what was read and what is to be written: the part of the example `key_value` that knows no
//! stream.

use crate::resp;
use crate::store::Store;

/// How much is read at once.
pub(super) const READ_BYTES: usize = 16 << 10;
/// What the store holds at most.
pub(super) const STORE_BYTES: usize = 256 << 20;

/// What has come and is not answered yet, and the answers.
#[derive(Debug, Default)]
pub(super) struct Session {
    input: Vec<u8>,
    pub(super) output: Vec<u8>,
}

impl Session {
    /// Answers what is complete with `bytes` into `output`; says whether the client stays.
    pub(super) fn take(&mut self, bytes: &[u8], store: &Store) -> bool {
        self.input.extend_from_slice(bytes);
        let mut done = 0;
        let stays = loop {
            match resp::request(&self.input[done..]) {
                Ok(Some((request, len))) => {
                    done += len;
                    if !store.answer(&request, &mut self.output) {
                        break false;
                    }
                }
                Ok(None) if self.input.len() - done > resp::REQUEST_BYTES_MAX => {
                    resp::error(&mut self.output, "Protocol error: too big request");
                    break false;
                }
                Ok(None) => break true,
                Err(text) => {
                    resp::error(&mut self.output, text);
                    break false;
                }
            }
        };
        self.input.drain(..done);
        stays
    }
}
