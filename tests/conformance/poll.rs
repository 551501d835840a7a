//! `poll(2)`, as far as the project's sockets tell: POLLIN and POLLOUT of connections.
//!
//! # Simplification
//! A poll that waits looks again every half millisecond of virtual time instead of standing in the wait queues: it is the
//! connection that scripts are about.

use crate::args::{Args, names_of, number_of};
use crate::model::Expr;
use crate::syscalls::{Descriptor, Finished, Socket, Started, Value};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use wakeline::time::{Instant, sleep};

/// One `struct pollfd`.
struct Entry {
    descriptor: Option<Arc<Descriptor>>,
    events: Vec<String>,
    /// What the script says of `revents`.
    expected: Vec<String>,
}

const LOOK_AGAIN: Duration = Duration::from_micros(500);

impl Args<'_> {
    /// `poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1`
    pub(crate) fn poll(&self, table: &BTreeMap<i64, Arc<Descriptor>>) -> Result<Started, String> {
        let Expr::Array(items) = self.get(0)? else { return Err("poll needs an array".into()) };
        let entries: Vec<Entry> = items.iter().map(|item| entry(item, table)).collect::<Result<_, _>>()?;
        let timeout = self.number(2)?;
        let until = u64::try_from(timeout).ok().map(|ms| Instant::now() + Duration::from_millis(ms));
        let future = Box::pin(async move {
            loop {
                let ready: Vec<Vec<&str>> = entries.iter().map(Entry::look).collect();
                let count = ready.iter().filter(|names| !names.is_empty()).count();
                if count > 0 || until.is_some_and(|until| until <= Instant::now()) {
                    return finish(&entries, &ready, count);
                }
                sleep(LOOK_AGAIN).await;
            }
        });
        Ok(Started { future, nonblocking: false })
    }
}

fn entry(item: &Expr, table: &BTreeMap<i64, Arc<Descriptor>>) -> Result<Entry, String> {
    let Expr::Struct(fields) = item else { return Err("poll needs {fd=.., events=.., revents=..}".into()) };
    let mut entry = Entry { descriptor: None, events: Vec::new(), expected: Vec::new() };
    for (name, value) in fields {
        let names = || names_of(value).into_iter().map(str::to_owned).collect();
        match name.as_str() {
            "fd" => entry.descriptor = table.get(&number_of(value)?).cloned(),
            "events" => entry.events = names(),
            _ => entry.expected = names(),
        }
    }
    let known = |name: &&String| !["POLLIN", "POLLOUT"].contains(&name.as_str());
    match entry.events.iter().chain(&entry.expected).find(known) {
        Some(name) => Err(format!("{name} of poll is not supported")),
        None => Ok(entry),
    }
}

impl Entry {
    /// Which of the wanted events hold.
    fn look(&self) -> Vec<&str> {
        let holds = |name: &&String| {
            let Some(descriptor) = &self.descriptor else { return false };
            let Socket::Stream(stream) = &descriptor.state().socket else { return false };
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = match name.as_str() {
                "POLLIN" => pin!(stream.readable()).poll(cx),
                _ => pin!(stream.writable()).poll(cx),
            };
            polled.is_ready()
        };
        self.events.iter().filter(holds).map(String::as_str).collect()
    }
}

fn finish(entries: &[Entry], ready: &[Vec<&str>], count: usize) -> Finished {
    let wrong = entries.iter().zip(ready).find(|(entry, ready)| entry.expected != **ready);
    let wrong = wrong.map(|(entry, ready)| format!("revents are {ready:?}, expected {:?}", entry.expected));
    let mut value = Value::number(count);
    value.wrong = wrong;
    Ok(value)
}
