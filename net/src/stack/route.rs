//! The routing table: the longest prefix that fits, then the lowest metric (`fib_lookup`).
//!
//! For each length of prefix in use there is one hash table, and the lengths are tried from the longest on: the cost is
//! that of the number of different lengths, not of routes. A pure structure; whose an address is and what a group is, its
//! user has asked before.

use crate::stack::addresses::Cidr;
use crate::stack::error::SocketError;
use ahash::RandomState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wakeline_runtime::clock::Instant;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteTo {
    /// To the neighbours themselves: the network is on the link.
    Link,
    /// To a router on the link.
    Via(IpAddr),
    /// To this host: it takes every address of the network for its own.
    Local,
    /// Nowhere: `EHOSTUNREACH`.
    Unreachable,
    /// Nowhere: `EACCES`.
    Prohibit,
    /// Nowhere, and nobody is told beyond `EINVAL`.
    Blackhole,
}

impl<T: Into<IpAddr>> From<T> for RouteTo {
    fn from(router: T) -> RouteTo {
        RouteTo::Via(router.into())
    }
}

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) prefix: Cidr,
    pub(crate) to: RouteTo,
    /// Of two to the same network the lower one wins.
    pub(crate) metric: u32,
    /// When it ends, if a router has said so.
    pub(crate) expires_at: Option<Instant>,
}

/// The metric of a network that is on the link.
pub(crate) const METRIC_LINK: u32 = 0;
/// The metric of a network of which a router says that it is on the link (`IP6_RT_PRIO_ADDRCONF`).
pub(crate) const METRIC_ADDRCONF: u32 = 256;
/// The metric of a router that says so itself. In Linux it is the user's, too; here the user's come first.
pub(crate) const METRIC_ROUTER: u32 = METRIC_USER + 1;
/// The metric of a route that the user has added (`IP6_RT_PRIO_USER`; IPv4's is 0, which makes no difference here).
pub(crate) const METRIC_USER: u32 = 1024;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Routes {
    v4: Family,
    v6: Family,
    len: usize,
    hasher: RandomState,
}

/// The routes of one family by length, the longest first.
type Family = SmallVec<[OfLength; 3]>;

#[derive(Debug)]
struct OfLength {
    len: u8,
    networks: HashMap<IpAddr, SmallVec<[Route; 1]>, RandomState>,
}

/// How many routes a host may have.
pub(crate) const ROUTES_MAX: usize = 65_536;

impl Routes {
    /// No routes.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Routes {
        let hasher = RandomState::with_seeds(d, c, b, a);
        Routes { v4: Family::new(), v6: Family::new(), len: 0, hasher }
    }

    /// The best route to `dst` at this time.
    pub(crate) fn lookup(&self, dst: IpAddr, now: Instant) -> Option<&Route> {
        self.family(dst).iter().find_map(|of_length| {
            let routes = of_length.networks.get(&network(dst, of_length.len))?;
            routes.iter().find(|route| route.expires_at.is_none_or(|at| now < at))
        })
    }

    /// Adds a route, or replaces the one to the same network with the same metric and, of routers, to the same one.
    ///
    /// # Errors
    /// [`SocketError::NoBuffers`] when there are too many.
    pub(crate) fn add(&mut self, route: Route) -> Result<(), SocketError> {
        let prefix = Cidr { addr: network(route.prefix.addr, route.prefix.prefix_len), ..route.prefix };
        let route = Route { prefix, ..route };
        let hasher = self.hasher.clone();
        let full = self.len >= ROUTES_MAX;
        let family = if prefix.addr.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let at = family.partition_point(|of_length| of_length.len > prefix.prefix_len);
        if family.get(at).is_none_or(|of_length| of_length.len != prefix.prefix_len) {
            if full {
                return Err(SocketError::NoBuffers);
            }
            family.insert(at, OfLength { len: prefix.prefix_len, networks: HashMap::with_hasher(hasher) });
        }
        let routes = family[at].networks.entry(prefix.addr).or_default();
        if let Some(same) = routes.iter_mut().find(|old| old.metric == route.metric && old.to == route.to) {
            *same = route;
            return Ok(());
        }
        if full {
            return Err(SocketError::NoBuffers);
        }
        let place = routes.partition_point(|old| old.metric <= route.metric);
        routes.insert(place, route);
        self.len += 1;
        Ok(())
    }

    /// Removes the routes to a network that `is_meant` accepts; says how many.
    pub(crate) fn remove(&mut self, prefix: Cidr, is_meant: impl Fn(&Route) -> bool) -> usize {
        let family = if prefix.addr.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let Some(at) = family.iter().position(|of_length| of_length.len == prefix.prefix_len) else { return 0 };
        let key = network(prefix.addr, prefix.prefix_len);
        let Some(routes) = family[at].networks.get_mut(&key) else { return 0 };
        let before = routes.len();
        routes.retain(|route| !is_meant(route));
        let removed = before - routes.len();
        if routes.is_empty() {
            family[at].networks.remove(&key);
        }
        if family[at].networks.is_empty() {
            family.remove(at);
        }
        self.len -= removed;
        removed
    }

    fn family(&self, addr: IpAddr) -> &Family {
        if addr.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

/// An address without the bits behind its prefix.
pub(crate) fn network(addr: IpAddr, prefix_len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix_len.into())).unwrap_or(0);
            Ipv4Addr::from_bits(addr.to_bits() & mask).into()
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix_len.into())).unwrap_or(0);
            Ipv6Addr::from_bits(addr.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Instant = Instant::from_virtual_ns(0);

    fn route(prefix: &str, to: RouteTo, metric: u32) -> Route {
        Route { prefix: prefix.parse().unwrap(), to, metric, expires_at: None }
    }

    fn via(n: u8) -> RouteTo {
        RouteTo::Via(IpAddr::from([10, 0, 0, n]))
    }

    #[test]
    fn the_longest_prefix_then_the_lowest_metric() {
        let mut routes = Routes::new([1, 2, 3, 4]);
        let table = [
            ("0.0.0.0/0", via(1), 100),
            ("0.0.0.0/0", via(2), 50),
            ("10.0.0.0/16", RouteTo::Link, 0),
            ("10.0.7.0/24", via(3), 0),
            ("10.0.7.9/32", RouteTo::Unreachable, 0),
            ("fd00::/64", RouteTo::Link, 0),
            ("::/0", RouteTo::Via("fe80::1".parse().unwrap()), 1024),
        ];
        table.iter().for_each(|&(prefix, to, metric)| routes.add(route(prefix, to, metric)).unwrap());
        let check = |routes: &Routes, dst: &str, to: RouteTo| {
            assert_eq!(routes.lookup(dst.parse().unwrap(), NOW).map(|route| route.to), Some(to), "{dst}");
        };
        check(&routes, "8.8.8.8", via(2));
        check(&routes, "10.0.9.9", RouteTo::Link);
        check(&routes, "10.0.7.8", via(3));
        check(&routes, "10.0.7.9", RouteTo::Unreachable);
        check(&routes, "fd00::7", RouteTo::Link);
        check(&routes, "2001:db8::1", RouteTo::Via("fe80::1".parse().unwrap()));
        assert_eq!(routes.remove("10.0.7.0/24".parse().unwrap(), |_| true), 1);
        check(&routes, "10.0.7.8", RouteTo::Link);
        assert_eq!(routes.remove("0.0.0.0/0".parse().unwrap(), |route| route.to == via(2)), 1);
        check(&routes, "8.8.8.8", via(1));
        assert_eq!(routes.remove("0.0.0.0/0".parse().unwrap(), |_| true), 1);
        assert_eq!(routes.lookup("8.8.8.8".parse().unwrap(), NOW), None);
        assert_eq!(routes.remove("0.0.0.0/0".parse().unwrap(), |_| true), 0);
    }

    #[test]
    fn a_route_that_has_ended_leads_nowhere() {
        let mut routes = Routes::new([1, 2, 3, 4]);
        let until = Instant::from_virtual_ns(10);
        routes.add(Route { expires_at: Some(until), ..route("::/0", via(1), 1) }).unwrap();
        routes.add(route("::/0", via(2), 2)).unwrap();
        let to = |now: u64| routes.lookup("::1".parse().unwrap(), Instant::from_virtual_ns(now)).unwrap().to;
        assert_eq!((to(9), to(10)), (via(1), via(2)));
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn equals_a_linear_search(
            rows in prop::collection::vec((any::<u32>(), 0u8..=32, 0u32..4, any::<u8>()), 1..40),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            dsts in prop::collection::vec(any::<u32>(), 1..40), bits in 0u32..24,
        ) {
            let mut routes = Routes::new([1, 2, 3, 4]);
            let mut list: Vec<Route> = Vec::new();
            for (addr, prefix_len, metric, n) in rows {
                // Few different networks, so that prefixes nest.
                let addr = network(Ipv4Addr::from_bits(addr << bits).into(), prefix_len);
                let new = Route { prefix: Cidr { addr, prefix_len }, to: via(n), metric, expires_at: None };
                routes.add(new).unwrap();
                if !list.contains(&new) {
                    list.push(new);
                }
            }
            for index in removed {
                if !list.is_empty() {
                    let gone = list[index.index(list.len())].prefix;
                    routes.remove(gone, |_| true);
                    list.retain(|route| route.prefix != gone);
                }
            }
            for dst in dsts {
                let dst: IpAddr = Ipv4Addr::from_bits(dst << bits).into();
                let fits = list.iter().filter(|route| route.prefix.contains(dst));
                let best = fits.map(|route| (route.prefix.prefix_len, u32::MAX - route.metric)).max();
                let found = routes.lookup(dst, NOW);
                prop_assert_eq!(found.map(|route| (route.prefix.prefix_len, u32::MAX - route.metric)), best);
            }
        }
    }
}
