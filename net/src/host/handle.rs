//! The handle by which users hold a host.

use crate::host::counters::HostCounters;
use crate::host::machine::Machine;
use crate::host::socket_table::SocketTable;
use crate::link::capture::Capture;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use wakeline_runtime::namespace::{self, Entered, Namespace};
use wakeline_runtime::{Handle, JoinHandle};

/// A handle to one emulated host. Cheap to clone; clones are the same host.
///
/// The host lives as long as a handle, a socket or a task on it does.
#[derive(Clone, Debug)]
pub struct Host {
    machine: Arc<Machine>,
    namespace: Namespace,
}

impl Host {
    pub(crate) fn new(machine: Arc<Machine>) -> Host {
        Host { namespace: Namespace::new(machine.clone()), machine }
    }

    /// The host's name on its LAN.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// The host's address, of IPv4.
    #[must_use]
    pub fn addr(&self) -> IpAddr {
        self.machine.addrs[0]
    }

    /// All of the host's addresses: that of IPv4, that of IPv6, and the link-local one.
    #[must_use]
    pub fn addrs(&self) -> Vec<IpAddr> {
        self.machine.addrs.to_vec()
    }

    /// How many emulated CPUs the host has.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.machine.cpu_count()
    }

    /// Spawns a task that stands on this host: the sockets it opens, and those of the tasks it spawns, are this host's.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let _here = self.enter();
        Handle::current().spawn(future)
    }

    /// Runs a future on this host, wherever the caller stands.
    ///
    /// # Cancel safety
    /// That of `future`, which is dropped with the returned one.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _here = self.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Puts the calling thread onto this host until the guard drops.
    pub fn enter(&self) -> Entered {
        namespace::enter(Some(self.namespace.clone()))
    }

    /// Stops the host's CPUs: they take no interrupt and poll nothing until [`Host::resume`]. The device goes on
    /// receiving into its rings until they are full.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Lets the CPUs go on.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        for cpu in 0..self.machine.cpu_count() {
            self.machine.cpu(cpu).pause(paused);
        }
    }

    /// Writes what the host's device sends and receives to `to`, as a pcapng file: what `tcpdump` would see on the host,
    /// so without what a link loses on its way to it. Otherwise as [`Lan::capture`](crate::emulated::Lan::capture).
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn capture(&self, to: impl io::Write + Send + 'static) -> io::Result<Capture> {
        self.machine.capture(to)
    }

    /// Every socket of the host, as `ss` lists them: connections, also those that wait to be accepted or have lost their
    /// program, half-open ones, listeners, UDP sockets, and what is left in TIME-WAIT.
    ///
    /// The host's shards are looked at page by page, none for long; what changes meanwhile may be missed. A listener, and
    /// a UDP socket, is shown once for all CPUs, with its queues and backlogs added up.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(host: wakeline_net::emulated::Host) {
    /// println!("{}", host.sockets()); // ss -tuan
    /// println!("{:#}", host.sockets()); // ss -tuaino
    /// # }
    /// ```
    #[must_use]
    pub fn sockets(&self) -> SocketTable {
        SocketTable::of(&self.machine)
    }

    /// Everything the host counts, now.
    #[must_use]
    pub fn counters(&self) -> HostCounters {
        self.machine.counters()
    }
}
