//! What a host of IPv6 finds out by itself: whether its addresses are its own (RFC 4862 5.4), and from routers which networks
//! are on the link, which address it has in them (5.5), and who leads elsewhere (RFC 4861 6.3).
//!
//! Simplifications: nothing is put off by a random time, because the hosts of a LAN of this kind do not start after a power
//! failure; and of what a router says about the link only prefixes are used, not its hop limit, MTU and times.
//!
//! Every shard does the same at the same time, after the one that has heard something has told the others; only the first
//! one sends.

use crate::stack::addresses::{Cidr, interface_id};
use crate::stack::effects::{Effects, Fact};
use crate::stack::ip::{IpLayer, Lower};
use crate::stack::neighbour::{Word, WordKind};
use crate::stack::route::{METRIC_ADDRCONF, METRIC_ROUTER, Route, RouteTo};
use crate::wire::ndp::{ALL_ROUTERS, NdpMessage, PrefixInfo, RouterAdvert, solicited_node};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What a host is to find out (`net.ipv6.conf.all.*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv6Sysctls {
    /// `accept_dad` and `optimistic_dad`
    pub(crate) dad: Dad,
    /// `accept_ra`: routers are asked for and listened to.
    pub(crate) accept_ra: bool,
}

/// Whether others are asked if they have an address of this host's (duplicate address detection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dad {
    /// No: addresses are unique by construction.
    Off,
    /// Before it is used.
    First,
    /// While it is used already (RFC 4429). A simplification: its questions name its station.
    Optimistic,
}

impl Ipv6Sysctls {
    /// Nothing: those of a LAN whose addresses are all given out by one hand, and which has no routers.
    pub(crate) const OFF: Ipv6Sysctls = Ipv6Sysctls { dad: Dad::Off, accept_ra: false };
    /// Those of a LAN to which others belong as well. Nobody has to wait for an address.
    pub(crate) const AMONG_OTHERS: Ipv6Sysctls = Ipv6Sysctls { dad: Dad::Optimistic, accept_ra: true };

    /// Sets one by its name behind `net.ipv6.conf.all.`; says whether there is one of that name, and of that value.
    pub(crate) fn set(&mut self, name: &str, value: u32) -> bool {
        match (name, value) {
            ("accept_ra", 0 | 1) => self.accept_ra = value == 1,
            ("accept_dad", 0) => self.dad = Dad::Off,
            ("accept_dad", 1) if self.dad == Dad::Off => self.dad = Dad::First,
            ("optimistic_dad", 0) if self.dad == Dad::Optimistic => self.dad = Dad::First,
            ("optimistic_dad", 1) => self.dad = Dad::Optimistic,
            ("accept_dad" | "optimistic_dad", 0 | 1) => {}
            _ => return false,
        }
        true
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Autoconf {
    sysctls: Ipv6Sysctls,
    /// Addresses that others are being asked about.
    tentative: Vec<Tentative>,
    /// Addresses that were made of a router's prefixes.
    leases: Vec<Lease>,
    /// Routes that routers have told of, to take them back.
    learned: Vec<(Cidr, RouteTo, Instant)>,
    /// How often routers are still asked for, and when next.
    solicits: Option<(u8, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Tentative {
    addr: Cidr,
    /// When nobody has objected.
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    addr: Ipv6Addr,
    /// From then on it is not chosen any more.
    preferred_until: Instant,
    /// From then on it is no longer the host's.
    valid_until: Instant,
}

/// `max_addresses`
const LEASES_MAX: usize = 16;
/// How many routes of routers are kept: prefixes, and routers.
const LEARNED_MAX: usize = 64;
/// `RetransTimer`: how long an objection may take (RFC 4862 5.4, with `DupAddrDetectTransmits` 1).
const DAD_TIME: Duration = Duration::from_secs(1);
/// `RTR_SOLICITATION_INTERVAL`, `MAX_RTR_SOLICITATIONS`
const SOLICIT_INTERVAL: Duration = Duration::from_secs(4);
const SOLICITS: u8 = 3;
/// RFC 4862 5.5.3 (e): nobody shortens a lifetime to less by one unauthenticated message.
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// A lifetime without end (RFC 4861 4.6.2).
const INFINITE_S: u32 = u32::MAX;

impl Autoconf {
    /// Nothing is known yet.
    pub(crate) fn new(sysctls: Ipv6Sysctls) -> Autoconf {
        Autoconf { sysctls, tentative: Vec::new(), leases: Vec::new(), learned: Vec::new(), solicits: None }
    }

    /// Whether routers are listened to.
    pub(crate) fn accepts_ra(&self) -> bool {
        self.sysctls.accept_ra
    }

    /// Whether others are being asked about `addr`.
    pub(crate) fn is_tentative(&self, addr: Ipv6Addr) -> bool {
        self.tentative.iter().any(|it| it.addr.addr == IpAddr::V6(addr))
    }

    /// Whether a group is that of an address that others are being asked about, so that objections are heard.
    pub(crate) fn listens_to(&self, group: Ipv6Addr) -> bool {
        let groups = self.tentative.iter().filter_map(|it| match it.addr.addr {
            IpAddr::V6(addr) => Some(solicited_node(addr)),
            IpAddr::V4(_) => None,
        });
        groups.into_iter().any(|own| own == group)
    }

    /// When [`on_autoconf_timer`](IpLayer::on_autoconf_timer) wants to be called.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        // Asked for at every entry into a stack; most hosts are configured by hand.
        if self.tentative.len() | self.leases.len() | self.learned.len() == 0 {
            return self.solicits.map_or(Instant::FAR_FUTURE, |(_, at)| at);
        }
        self.next_of_many()
    }

    fn next_of_many(&self) -> Instant {
        let tentative = self.tentative.iter().map(|it| it.until);
        let leases = self.leases.iter().flat_map(|lease| [lease.preferred_until, lease.valid_until]);
        let routes = self.learned.iter().map(|&(.., until)| until);
        let times = tentative.chain(leases).chain(routes).filter(|&at| at != Instant::FAR_FUTURE);
        let next = times.min().unwrap_or(Instant::FAR_FUTURE);
        self.solicits.map_or(next, |(_, at)| next.min(at))
    }
}

impl IpLayer {
    /// The interface is up: its addresses of IPv6 are asked about, and routers asked for.
    pub(crate) fn start_autoconf(&mut self, now: Instant, fx: &mut Effects) {
        if self.autoconf.sysctls.dad != Dad::Off {
            let own: Vec<Cidr> = self.addresses.iter().filter(|own| own.addr.is_ipv6()).collect();
            for addr in own {
                self.forget_last_route();
                self.addresses.remove(addr.addr);
                self.ask_about(addr, now, fx);
            }
        }
        if self.autoconf.sysctls.accept_ra {
            self.autoconf.solicits = Some((SOLICITS, now));
            self.solicit_routers(now, fx);
        }
    }

    /// Takes an address: at once, after others were asked, or both.
    fn ask_about(&mut self, addr: Cidr, now: Instant, fx: &mut Effects) {
        let IpAddr::V6(target) = addr.addr else { return };
        let dad = self.autoconf.sysctls.dad;
        if dad != Dad::First {
            self.add_addr(addr);
        }
        if dad == Dad::Off {
            return;
        }
        self.autoconf.tentative.push(Tentative { addr, until: now.saturating_add(DAD_TIME) });
        if self.config.shard.index == 0 {
            let question = NdpMessage::NeighbourSolicit { target, source_mac: None };
            self.send_ndp((Ipv6Addr::UNSPECIFIED, solicited_node(target)), &question, now, fx);
        }
    }

    /// RFC 4861 6.3.7. Without an address of its own yet the host does not say where it is.
    fn solicit_routers(&mut self, now: Instant, fx: &mut Effects) {
        let Some((left, at)) = self.autoconf.solicits else { return };
        if at > now {
            return;
        }
        self.autoconf.solicits = (left > 1).then(|| (left - 1, now.saturating_add(SOLICIT_INTERVAL)));
        if self.config.shard.index != 0 {
            return;
        }
        let src = match self.addresses.source_for(ALL_ROUTERS.into()) {
            Some(IpAddr::V6(own)) if own.is_unicast_link_local() => own,
            _ => Ipv6Addr::UNSPECIFIED,
        };
        let source_mac = (!src.is_unspecified()).then_some(self.config.mac);
        self.send_ndp((src, ALL_ROUTERS), &NdpMessage::RouterSolicit { source_mac }, now, fx);
    }

    /// Another host has, or wants, an address that this one has asked about (RFC 4862 5.4.5): it is nobody's here.
    #[cold]
    pub(crate) fn on_duplicate(&mut self, addr: Ipv6Addr) {
        if !self.autoconf.is_tentative(addr) {
            return;
        }
        let addr = IpAddr::V6(addr);
        self.autoconf.tentative.retain(|it| it.addr.addr != addr);
        self.autoconf.leases.retain(|lease| IpAddr::V6(lease.addr) != addr);
        self.remove_addr(addr);
    }

    /// RFC 4861 6.3.4: what a router says. `src` is its link-local address.
    pub(crate) fn on_router_advert(&mut self, src: Ipv6Addr, advert: &RouterAdvert, now: Instant, fx: &mut Effects) {
        self.autoconf.solicits = None;
        let everywhere = Cidr { addr: Ipv6Addr::UNSPECIFIED.into(), prefix_len: 0 };
        let until = lifetime(advert.lifetime_s.into(), now, false);
        self.learn_route(everywhere, RouteTo::Via(src.into()), METRIC_ROUTER, until, now);
        for info in &advert.prefixes {
            let valid_until = lifetime(info.valid_s, now, true);
            if info.prefix.is_unicast_link_local() || info.prefix.is_multicast() || info.len > 128 {
                continue;
            }
            let prefix = Cidr { addr: info.prefix.into(), prefix_len: info.len };
            if info.on_link {
                self.learn_route(prefix, RouteTo::Link, METRIC_ADDRCONF, valid_until, now);
            }
            if info.autonomous && info.len == 64 && info.preferred_s <= info.valid_s {
                self.lease(info, now, fx);
            }
        }
    }

    /// Adds a route until some time; one that ends now is taken back.
    fn learn_route(&mut self, prefix: Cidr, to: RouteTo, metric: u32, until: Instant, now: Instant) {
        let known = self.autoconf.learned.iter().position(|(network, hop, _)| (*network, *hop) == (prefix, to));
        if until <= now {
            if let Some(at) = known {
                self.autoconf.learned.swap_remove(at);
                self.forget_route(prefix, to);
            }
            return;
        }
        match known {
            Some(at) => self.autoconf.learned[at].2 = until,
            None if self.autoconf.learned.len() >= LEARNED_MAX => return,
            None => self.autoconf.learned.push((prefix, to, until)),
        }
        self.forget_last_route();
        let _ = self.routes.add(Route { prefix, to, metric, expires_at: Some(until) });
    }

    fn forget_route(&mut self, prefix: Cidr, to: RouteTo) {
        self.forget_last_route();
        self.routes.remove(prefix, |route| route.to == to && route.expires_at.is_some());
    }

    /// RFC 4862 5.5.3 (d) and (e): an address in the network, or another lifetime for the one that is there.
    fn lease(&mut self, info: &PrefixInfo, now: Instant, fx: &mut Effects) {
        let id = u128::from(interface_id(self.config.mac));
        let addr = Ipv6Addr::from_bits(info.prefix.to_bits() >> 64 << 64 | id);
        let preferred_until = lifetime(info.preferred_s, now, true);
        let valid_until = lifetime(info.valid_s, now, true);
        if let Some(lease) = self.autoconf.leases.iter_mut().find(|lease| lease.addr == addr) {
            let least = now.saturating_add(TWO_HOURS);
            if valid_until > least || valid_until > lease.valid_until {
                lease.valid_until = valid_until;
            } else {
                lease.valid_until = lease.valid_until.min(least);
            }
            lease.preferred_until = preferred_until.min(lease.valid_until);
            let is_deprecated = lease.preferred_until <= now;
            return self.addresses.set_deprecated(addr, is_deprecated);
        }
        let is_new = !self.addresses.is_own_v6(addr) && !self.autoconf.is_tentative(addr);
        if info.valid_s == 0 || !is_new || self.autoconf.leases.len() >= LEASES_MAX {
            return;
        }
        self.autoconf.leases.push(Lease { addr, preferred_until, valid_until });
        // The network is on the link only if the router says so.
        self.ask_about(Cidr { addr: addr.into(), prefix_len: 128 }, now, fx);
        self.addresses.set_deprecated(addr, preferred_until <= now);
    }

    /// Does what time has made due.
    pub(crate) fn on_autoconf_timer(&mut self, now: Instant, fx: &mut Effects) {
        if self.autoconf.next_deadline() > now {
            return;
        }
        self.solicit_routers(now, fx);
        let (due, tentative): (Vec<_>, Vec<_>) = self.autoconf.tentative.iter().partition(|it| it.until <= now);
        self.autoconf.tentative = tentative;
        for Tentative { addr, .. } in due {
            // Nobody has objected.
            if self.autoconf.sysctls.dad == Dad::First {
                self.add_addr(addr);
            }
        }
        let (ended, learned): (Vec<_>, Vec<_>) = self.autoconf.learned.iter().partition(|(.., until)| *until <= now);
        self.autoconf.learned = learned;
        for (prefix, to, _) in ended {
            self.forget_route(prefix, to);
        }
        for mut lease in std::mem::take(&mut self.autoconf.leases) {
            if lease.valid_until <= now {
                self.remove_addr(lease.addr.into());
                continue;
            }
            if lease.preferred_until <= now {
                self.addresses.set_deprecated(lease.addr, true);
                lease.preferred_until = Instant::FAR_FUTURE;
            }
            self.autoconf.leases.push(lease);
        }
    }
}

/// A router's word, which came with hop limit 255 to one shard (RFC 4861 6.1.2).
pub(crate) fn hear_router(src: Ipv6Addr, advert: &RouterAdvert, lower: &mut Lower<'_>) {
    if !src.is_unicast_link_local() || !lower.ip.autoconf.accepts_ra() || lower.ip.is_own(src.into()) {
        return;
    }
    if let Some(mac) = advert.source_mac.filter(|mac| !mac.is_multicast()) {
        let word = Word { mac, kind: WordKind::Unsolicited, may_override: true, create: true };
        lower.ip.hear_of_neighbour(src.into(), word, lower.now, lower.fx);
    }
    if lower.ip.config.shard.count > 1 {
        lower.fx.facts.push(Fact::Router(src, Box::new(advert.clone())));
    }
    lower.ip.on_router_advert(src, advert, lower.now, lower.fx);
}

/// Somebody else has, or asks about, an address that this host asks about.
pub(crate) fn hear_of_duplicate(addr: Ipv6Addr, lower: &mut Lower<'_>) {
    if lower.ip.config.shard.count > 1 {
        lower.fx.facts.push(Fact::Duplicate(addr));
    }
    lower.ip.on_duplicate(addr);
}

/// When so many seconds from now are over. A router itself is never one without end.
fn lifetime(seconds: u32, now: Instant, may_be_infinite: bool) -> Instant {
    if seconds == INFINITE_S && may_be_infinite {
        return Instant::FAR_FUTURE;
    }
    now.saturating_add(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_are_known_by_linuxs_names() {
        let check = |settings: &[(&str, u32)], expected: Option<(Dad, bool)>| {
            let mut sysctls = Ipv6Sysctls::OFF;
            let known = settings.iter().all(|&(name, value)| sysctls.set(name, value));
            assert_eq!(known.then_some((sysctls.dad, sysctls.accept_ra)), expected, "{settings:?}");
        };
        check(&[("accept_ra", 1)], Some((Dad::Off, true)));
        check(&[("accept_dad", 1)], Some((Dad::First, false)));
        check(&[("optimistic_dad", 1)], Some((Dad::Optimistic, false)));
        check(&[("optimistic_dad", 1), ("accept_dad", 1)], Some((Dad::Optimistic, false)));
        check(&[("optimistic_dad", 1), ("optimistic_dad", 0)], Some((Dad::First, false)));
        check(&[("accept_dad", 1), ("accept_dad", 0)], Some((Dad::Off, false)));
        check(&[("accept_ra", 2)], None);
        check(&[("autoconf", 1)], None);
    }
}
