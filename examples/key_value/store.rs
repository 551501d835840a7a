//! The keys and values, in memory. What does not fit is refused: what a client has stored it must delete.

use crate::resp::{self, Request};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all connections. No answer waits for anything, so the lock is held for one short block.
pub(crate) struct Store {
    values: Mutex<Values>,
    /// How many bytes of keys, values and their entries there may be.
    room: usize,
}

#[derive(Default)]
struct Values {
    map: HashMap<Vec<u8>, Vec<u8>>,
    used: usize,
}

/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: usize = 128;

impl Store {
    pub(crate) fn new(room: usize) -> Store {
        Store { values: Mutex::default(), room }
    }

    /// Does what `request` asks and appends the answer; says whether the client stays.
    pub(crate) fn answer(&self, request: &Request<'_>, output: &mut Vec<u8>) -> bool {
        let Some((name, args)) = request.split_first() else { return true };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match (name.as_str(), args) {
            ("ping", []) => resp::simple(output, "PONG"),
            ("ping" | "echo", [text]) => resp::bulk(output, Some(text)),
            ("get", [key]) => resp::bulk(output, self.values().map.get(*key).map(Vec::as_slice)),
            ("set", [key, value]) => match self.values().insert(key, value.to_vec(), self.room) {
                Ok(()) => resp::simple(output, "OK"),
                Err(Full) => resp::out_of_memory(output),
            },
            ("del", [_, ..]) => {
                let mut values = self.values();
                let gone = args.iter().filter(|key| values.remove(key)).count();
                resp::integer(output, gone as i64);
            }
            ("exists", [_, ..]) => {
                let values = self.values();
                resp::integer(output, args.iter().filter(|key| values.map.contains_key(**key)).count() as i64);
            }
            ("incr", [key]) => match self.increment(key) {
                Some(Ok(n)) => resp::integer(output, n),
                Some(Err(Full)) => resp::out_of_memory(output),
                None => resp::error(output, "value is not an integer or out of range"),
            },
            ("dbsize", []) => resp::integer(output, self.values().map.len() as i64),
            ("flushall", []) => {
                *self.values() = Values::default();
                resp::simple(output, "OK");
            }
            // `redis-cli` and `redis-benchmark` ask for these first, and can do without.
            ("command" | "config", _) => resp::empty_array(output),
            ("quit", []) => {
                resp::simple(output, "OK");
                return false;
            }
            ("ping" | "echo" | "get" | "set" | "del" | "exists" | "incr" | "dbsize" | "flushall" | "quit", _) => {
                resp::error(output, &format!("wrong number of arguments for '{name}' command"));
            }
            _ => resp::error(output, &format!("unknown command '{}'", name.escape_default())),
        }
        true
    }

    /// `None` where there is no integer, or none above it.
    fn increment(&self, key: &[u8]) -> Option<Result<i64, Full>> {
        let mut values = self.values();
        let value = match values.map.get(key) {
            Some(text) => std::str::from_utf8(text).ok()?.parse::<i64>().ok()?,
            None => 0,
        };
        let value = value.checked_add(1)?;
        Some(values.insert(key, value.to_string().into_bytes(), self.room).map(|()| value))
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no room for it.
struct Full;

impl Values {
    fn insert(&mut self, key: &[u8], value: Vec<u8>, room: usize) -> Result<(), Full> {
        let before = self.map.get(key).map_or(0, |old| size(key, old));
        let used = self.used - before + size(key, &value);
        if used > room {
            return Err(Full);
        }
        self.used = used;
        self.map.insert(key.to_vec(), value);
        Ok(())
    }

    /// Whether it was there.
    fn remove(&mut self, key: &[u8]) -> bool {
        let Some(old) = self.map.remove(key) else { return false };
        self.used -= size(key, &old);
        true
    }
}

fn size(key: &[u8], value: &[u8]) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}
