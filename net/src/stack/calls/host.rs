//! What the host asks, and tells: addresses, routes, neighbours, what other shards have learned, what was counted.

use crate::event::Drops;
use crate::stack::addresses::Cidr;
use crate::stack::counters::Counters;
use crate::stack::effects::{Effects, Fact};
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::listing::{Cursor, SocketEntry};
use crate::stack::route::Route;
use crate::stack::shard::Stack;
use crate::wire::ethernet::MacAddr;
use std::net::IpAddr;
use wakeline_runtime::clock::Instant;

impl Stack {
    /// The interface is up: whatever the host is to find out by itself, it begins to.
    pub(crate) fn start(&mut self, now: Instant, fx: &mut Effects) {
        self.ip.start_autoconf(now, fx);
    }

    /// The address from which this host talks to another one; none for itself, or without a way.
    pub(crate) fn source_towards(&mut self, now: Instant, to: IpAddr) -> Option<IpAddr> {
        if self.ip.is_own(to) { None } else { self.ip.source_for(to, now).ok() }
    }

    /// The host's addresses, those of IPv4 first.
    pub(crate) fn addrs(&self) -> Vec<IpAddr> {
        self.ip.addresses.iter().map(|own| own.addr).collect()
    }

    /// Adds a route.
    ///
    /// # Errors
    /// `NetworkUnreachable` when its router is not on the link, `InvalidInput`, `NoBuffers`.
    pub(crate) fn add_route(&mut self, now: Instant, route: Route) -> Result<(), SocketError> {
        self.ip.add_route(route, now)
    }

    /// Removes the routes to a network.
    ///
    /// # Errors
    /// `NotFound` when there was none.
    pub(crate) fn remove_route(&mut self, prefix: Cidr) -> Result<(), SocketError> {
        if self.ip.remove_route(prefix) { Ok(()) } else { Err(SocketError::NotFound) }
    }

    /// Tells where a neighbour is, for good.
    pub(crate) fn add_neighbour(&mut self, now: Instant, ip: IpAddr, mac: MacAddr, fx: &mut Effects) {
        self.ip.add_neighbour(ip, mac, now, fx);
    }

    /// The host goes down: every socket reports it, everybody who waits is woken, and frames are dropped.
    pub(crate) fn shut_down(&mut self, now: Instant, fx: &mut Effects) {
        self.is_down = true;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.shut_down(&mut self.sockets, lower);
        self.udp.shut_down(&mut self.sockets, lower);
    }

    /// Something that another shard of this host has learned.
    pub(crate) fn on_fact(&mut self, now: Instant, fact: &Fact, fx: &mut Effects) {
        match fact {
            Fact::Neighbour(ip, word) => self.ip.learn_neighbour(*ip, *word, now, fx),
            Fact::Report(report) => self.on_report(now, *report, false, fx),
            Fact::Router(router, advert) => self.ip.on_router_advert(*router, advert, now, fx),
            Fact::Duplicate(addr) => self.ip.on_duplicate(*addr),
            Fact::PathMtu(dst, mtu) => {
                let current = self.ip.mtu();
                let _ = self.ip.paths.learn(*dst, *mtu, current, now);
            }
        }
    }

    /// The next page of what `ss` lists, of `most` places at most.
    pub(crate) fn list(&self, now: Instant, cursor: &mut Cursor, most: u32, out: &mut Vec<SocketEntry>) {
        self.tcp.list(&self.sockets, now, cursor, most, out);
    }

    /// What was counted.
    pub(crate) fn counters(&self) -> &Counters {
        &self.ip.counters
    }

    /// What was lost.
    pub(crate) fn drops(&self) -> &Drops {
        &self.ip.drops
    }

    /// How many sockets there are, connections without an owner included.
    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.len()
    }
}
