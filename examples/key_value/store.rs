//! The keys and values, in memory and without a bound: what a client stores it must delete.

use crate::resp::{self, Request};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all connections. No answer waits for anything, so the lock is held for one short block.
#[derive(Default)]
pub(crate) struct Store {
    values: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

impl Store {
    /// Does what `request` asks and appends the answer; says whether the client stays.
    pub(crate) fn answer(&self, request: &Request<'_>, output: &mut Vec<u8>) -> bool {
        let Some((name, args)) = request.split_first() else { return true };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match (name.as_str(), args) {
            ("ping", []) => resp::simple(output, "PONG"),
            ("ping" | "echo", [text]) => resp::bulk(output, Some(text)),
            ("get", [key]) => resp::bulk(output, self.values().get(*key).map(Vec::as_slice)),
            ("set", [key, value]) => {
                self.values().insert(key.to_vec(), value.to_vec());
                resp::simple(output, "OK");
            }
            ("del", [_, ..]) => {
                let mut values = self.values();
                let gone = args.iter().filter(|key| values.remove(**key).is_some()).count();
                resp::integer(output, gone as i64);
            }
            ("exists", [_, ..]) => {
                let values = self.values();
                resp::integer(output, args.iter().filter(|key| values.contains_key(**key)).count() as i64);
            }
            ("incr", [key]) => match self.increment(key) {
                Some(n) => resp::integer(output, n),
                None => resp::error(output, "value is not an integer or out of range"),
            },
            ("dbsize", []) => resp::integer(output, self.values().len() as i64),
            ("flushall", []) => {
                self.values().clear();
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

    fn increment(&self, key: &[u8]) -> Option<i64> {
        let mut values = self.values();
        let value = match values.get(key) {
            Some(text) => std::str::from_utf8(text).ok()?.parse::<i64>().ok()?,
            None => 0,
        };
        let value = value.checked_add(1)?;
        values.insert(key.to_vec(), value.to_string().into_bytes());
        Some(value)
    }

    fn values(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
