//! The handle by which users hold a host.

use crate::host::builder::{prefix_of, user_route};
use crate::host::counters::HostCounters;
use crate::host::machine::Machine;
use crate::host::socket_table::SocketTable;
use crate::link::capture::Capture;
use crate::stack::route::RouteTo;
use crate::wire::ethernet::MacAddr;
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

    pub(crate) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The host's name on its LAN.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// The address that the host is known by: the first of IPv4, or of IPv6 if it has none.
    #[must_use]
    pub fn addr(&self) -> IpAddr {
        self.machine.addrs[0]
    }

    /// All of the host's addresses now, those of IPv4 first; the link-local one is among them.
    #[must_use]
    pub fn addrs(&self) -> Vec<IpAddr> {
        self.machine.with_stack_recent(0, |stack, _, _| stack.addrs())
    }

    /// Adds a route, as `ip route add` does.
    ///
    /// # Errors
    /// `InvalidInput` for what is no prefix, or a router of the other family; `NetworkUnreachable` for a router that is
    /// not on the link.
    pub fn add_route(&self, prefix: &str, to: impl Into<RouteTo>) -> io::Result<()> {
        let route = user_route(prefix, to.into())?;
        self.machine.on_every_shard(|stack, now| stack.add_route(now, route)).map_err(Into::into)
    }

    /// Removes the routes to a network, as `ip route del` does. The networks on the link stay.
    ///
    /// # Errors
    /// `InvalidInput` for what is no prefix, `NotFound` when there is no such route.
    pub fn remove_route(&self, prefix: &str) -> io::Result<()> {
        let prefix = prefix_of(prefix)?;
        self.machine.on_every_shard(|stack, _| stack.remove_route(prefix)).map_err(Into::into)
    }

    /// Tells the host at which station an address of the link is, for good, as `ip neigh add .. nud permanent` does: it asks
    /// nobody, and believes nobody else.
    pub fn add_neighbour(&self, addr: impl Into<IpAddr>, mac: [u8; 6]) {
        let addr = addr.into();
        for cpu in 0..self.machine.cpu_count() {
            self.machine.with_stack(cpu, |stack, now, fx| stack.add_neighbour(now, addr, MacAddr(mac), fx));
        }
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
