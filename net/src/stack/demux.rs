//! Who is meant by a packet: exact 4-tuple, then a listener on the address, then one on any address.
//!
//! Every step is one look into a hash table with secret keys, so the cost does not depend on how many sockets there are
//! and a peer cannot make it so. The tables are never iterated.
//!
//! A socket of IPv6 that is bound to any address and open to IPv4 stands in the table twice, under each family's "any".

use crate::stack::endpoint::{Endpoint, Family, halves, word_of};
use crate::stack::flow_table::FlowTable;
use crate::stack::hears::{Hears, Ingress};
use ahash::RandomState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The ends of a flow, as this host sees them. Both are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FourTuple {
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
}

impl FourTuple {
    /// The tuple as words, for hashing: two of IPv4, five of IPv6.
    #[inline]
    pub(crate) fn words(&self) -> SmallVec<[u64; 5]> {
        let (local, remote) = (self.local, self.remote);
        match (local.ip(), remote.ip()) {
            (IpAddr::V4(local_ip), IpAddr::V4(remote_ip)) => {
                SmallVec::from_slice(&[word_of(local_ip, local.port()), word_of(remote_ip, remote.port())])
            }
            (local_ip, remote_ip) => {
                let [a, b] = halves(as_v6(local_ip));
                let [c, d] = halves(as_v6(remote_ip));
                SmallVec::from_slice(&[a, b, c, d, u64::from(local.port()) << 16 | u64::from(remote.port())])
            }
        }
    }

    /// Whether it is one of IPv4.
    #[inline]
    pub(crate) fn is_v4(&self) -> bool {
        self.local.ip().is_ipv4()
    }
}

impl Hash for FourTuple {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                state.write_u64(word_of(local, self.local.port()));
                state.write_u64(word_of(remote, self.remote.port()));
            }
            _ => self.words().iter().for_each(|&word| state.write_u64(word)),
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Where a segment goes. The numbers are places in the tables that own these things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A connection, in the table of sockets.
    Connection(u32),
    /// A half-open connection (`NEW_SYN_RECV`), in the table of requests.
    Request(u32),
    /// An entry in TIME-WAIT.
    TimeWait(u32),
}

/// The keyed tables of one protocol. `T` is what an exact match leads to.
#[derive(Debug)]
pub(crate) struct Demux<T> {
    exact: FlowTable<T>,
    bound: HashMap<Endpoint, Group, RandomState>,
    /// How many flows and bound sockets use a local port.
    uses: HashMap<u16, u32, RandomState>,
    /// The addresses at which sockets are bound to a local port (`inet_bind_bucket`).
    addrs: HashMap<u16, SmallVec<[IpAddr; 2]>, RandomState>,
    hasher: RandomState,
    /// How often something has changed.
    version: u64,
}

/// How a socket is bound: in which family, and with whom it shares its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) family: Family,
    /// SO_REUSEPORT: the sockets that all have it share the flows.
    pub(crate) reuse_port: bool,
    /// SO_REUSEADDR: two sockets may have one address, unless one of them is a TCP listener.
    pub(crate) reuse_addr: bool,
    /// Whether segments and datagrams go to it that belong to no flow. A socket of TCP is bound before it listens; one of
    /// UDP no longer hears strangers when it has a peer.
    pub(crate) listens: bool,
    /// Whether it is one of TCP.
    pub(crate) is_tcp: bool,
    pub(crate) hears: Hears,
}

impl Binding {
    /// A socket of UDP that shares its place with nobody.
    pub(crate) fn alone(family: Family) -> Binding {
        Binding { family, reuse_port: false, reuse_addr: false, listens: true, is_tcp: false, hears: Hears::new() }
    }

    /// A socket of TCP, which does not listen yet.
    pub(crate) fn tcp(family: Family, reuse_addr: bool, reuse_port: bool) -> Binding {
        Binding { family, reuse_port, reuse_addr, listens: false, is_tcp: true, hears: Hears::new() }
    }

    /// `inet_bind_conflict`, seen from the one that comes.
    fn shares_with(&self, other: &Binding) -> bool {
        let by_addr = self.reuse_addr && other.reuse_addr && !(other.is_tcp && other.listens);
        by_addr || (self.reuse_port && other.reuse_port) || self.hears.is_apart_from(&other.hears)
    }

    /// Among those that would hear what arrives there (`inet_lookup`'s `compute_score`, and UDP's): how well it fits. `is_native`: it is
    /// of the packet's family.
    fn score(&self, at: Ingress, is_native: bool) -> u32 {
        let device = if self.is_tcp { 1 } else { 4 };
        1 + u32::from(is_native) + device * u32::from(self.hears.has_device()) + u32::from(self.hears.prefers(at))
    }
}

/// The sockets that are bound to one address and port, in the order in which they were; more than one only when they
/// share it.
#[derive(Debug, Default)]
struct Group {
    /// Those of the address's own family.
    native: SmallVec<[Bound; 1]>,
    /// Those of IPv6, on any address of IPv4. They come after the others (`compute_score`).
    dual: SmallVec<[Bound; 1]>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    socket: u32,
    binding: Binding,
    /// Who was bound later has more.
    order: u64,
}

/// The places at which a socket stands.
type Places = SmallVec<[Endpoint; 2]>;

const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl<T: Copy + PartialEq> Demux<T> {
    /// Empty tables.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Demux<T> {
        let hasher = RandomState::with_seeds(a, b, c, d);
        Demux {
            exact: FlowTable::new(hasher.clone()),
            bound: HashMap::with_hasher(hasher.clone()),
            uses: HashMap::with_hasher(hasher.clone()),
            addrs: HashMap::with_hasher(hasher.clone()),
            hasher,
            version: 0,
        }
    }

    /// Another number after every change: what was found before it may have another answer.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What belongs to exactly this flow. The table does not hold flows: `has_flow` says whether a target is of this one.
    #[inline]
    pub(crate) fn exact(&self, flow: &FourTuple, has_flow: impl Fn(T) -> bool) -> Option<T> {
        self.exact.get(flow, has_flow)
    }

    /// The socket that is bound to the flow's local address, or else to its port on any address, and hears what arrives there.
    pub(crate) fn bound(&self, flow: &FourTuple, at: Ingress) -> Option<u32> {
        let any = Endpoint::new(if flow.is_v4() { ANY_V4 } else { ANY_V6 }, flow.local.port());
        [flow.local, any]
            .iter()
            .filter_map(|place| self.bound.get(place))
            .find_map(|group| self.chosen(group, flow, at))
    }

    /// Which of those that share a place (`inet_lhash2_lookup`, `udp4_lib_lookup2`): the one that fits best, of several the newest; and
    /// where it shares the flows with others, the one that this flow belongs to.
    fn chosen(&self, group: &Group, flow: &FourTuple, at: Ingress) -> Option<u32> {
        // A socket of TCP that is bound and does not listen is not there for anybody, nor is one of UDP that has a peer.
        let hears = |bound: &&Bound| bound.binding.listens && bound.binding.hears.admits(at);
        if let ([only], []) | ([], [only]) = (&group.native[..], &group.dual[..]) {
            return Some(only).filter(hears).map(|bound| bound.socket);
        }
        let sides = [(&group.native, true), (&group.dual, false)];
        let scored = sides.into_iter().flat_map(|(side, is_native)| {
            side.iter().filter(hears).map(move |bound| (bound.binding.score(at, is_native), bound.order, bound, side))
        });
        let (_, _, best, side) = scored.max_by_key(|&(score, order, ..)| (score, order))?;
        if !best.binding.reuse_port {
            return Some(best.socket);
        }
        self.of_those_that_share(side, best, flow, at)
    }

    /// `reuseport_select_sock_by_hash`: by the flow, and where some ask for a CPU, from there on the first that asks for this one.
    fn of_those_that_share(&self, side: &[Bound], best: &Bound, flow: &FourTuple, at: Ingress) -> Option<u32> {
        let shares = |bound: &&Bound| {
            let Binding { listens, reuse_port, hears, .. } = bound.binding;
            listens && reuse_port && hears.has_device_of(&best.binding.hears)
        };
        let members = side.iter().filter(shares);
        let many = members.clone().count();
        // `reciprocal_scale(hash, num_socks)`
        let first = (((self.hasher.hash_one(flow) & 0xffff_ffff) * many as u64) >> 32) as usize;
        let mut from_there = members.clone().cycle().skip(first).take(many);
        let prefers = |bound: &&Bound| bound.binding.hears.prefers(at);
        let preferred = members
            .clone()
            .any(|bound| bound.binding.hears.has_cpu())
            .then(|| from_there.clone().find(prefers))
            .flatten();
        preferred.or_else(|| from_there.next()).map(|bound| bound.socket)
    }

    /// Every socket that is bound to an address, or to its port on any address: those that hear what is for many.
    pub(crate) fn all_bound(&self, local: Endpoint) -> SmallVec<[u32; 4]> {
        let any = Endpoint::new(if local.ip().is_ipv4() { ANY_V4 } else { ANY_V6 }, local.port());
        let groups = [local, any].into_iter().filter_map(|place| self.bound.get(&place));
        groups.flat_map(|group| group.members().map(|bound| bound.socket)).collect()
    }

    /// Adds a flow that is not there.
    pub(crate) fn insert(&mut self, flow: &FourTuple, target: T) {
        self.version += 1;
        self.exact.insert(flow, target);
        *self.uses.entry(flow.local.port()).or_default() += 1;
    }

    /// Lets a flow that leads to `from` lead to something else.
    pub(crate) fn redirect(&mut self, flow: &FourTuple, from: T, to: T) {
        self.version += 1;
        self.exact.redirect(flow, from, to);
    }

    /// Removes a flow, if it leads to `target`.
    pub(crate) fn remove(&mut self, flow: &FourTuple, target: T) {
        self.version += 1;
        if self.exact.remove(flow, target) {
            self.release_port(flow.local.port());
        }
    }

    /// Binds `socket`; `false` when the address is taken: by a socket on the same one, or on any where one of the two is
    /// on any, unless both share it.
    pub(crate) fn bind(&mut self, local: Endpoint, socket: u32, binding: Binding) -> bool {
        self.version += 1;
        let places = places(local, binding.family);
        if places.iter().any(|place| self.is_taken(*place, &binding, socket)) {
            return false;
        }
        *self.uses.entry(local.port()).or_default() += 1;
        let addrs = self.addrs.entry(local.port()).or_default();
        for place in places {
            if !addrs.contains(&place.ip()) {
                addrs.push(place.ip());
            }
            let group = self.bound.entry(place).or_default();
            group.side(place, binding.family).push(Bound { socket, binding, order: self.version });
        }
        true
    }

    /// Lets a bound socket listen; `false` when another one that does not share it listens where it stands.
    pub(crate) fn listen(&mut self, local: Endpoint, socket: u32, binding: Binding) -> bool {
        self.version += 1;
        let places = places(local, binding.family);
        let binding = Binding { listens: true, ..binding };
        if places.iter().any(|place| self.is_taken(*place, &binding, socket)) {
            return false;
        }
        for place in places {
            let Some(group) = self.bound.get_mut(&place) else { continue };
            for bound in group.side(place, binding.family).iter_mut().filter(|bound| bound.socket == socket) {
                bound.binding = binding;
            }
        }
        true
    }

    /// A bound socket hears from elsewhere.
    pub(crate) fn rebind(&mut self, local: Endpoint, socket: u32, binding: Binding) {
        self.version += 1;
        for place in places(local, binding.family) {
            let Some(group) = self.bound.get_mut(&place) else { continue };
            for bound in group.side(place, binding.family).iter_mut().filter(|bound| bound.socket == socket) {
                bound.binding.hears = binding.hears;
            }
        }
    }

    /// From now on only what belongs exactly to one of its flows, or is for many, goes to a bound socket.
    pub(crate) fn hush(&mut self, local: Endpoint, socket: u32, family: Family) {
        self.version += 1;
        for place in places(local, family) {
            let Some(group) = self.bound.get_mut(&place) else { continue };
            for bound in group.side(place, family).iter_mut().filter(|bound| bound.socket == socket) {
                bound.binding.listens = false;
            }
        }
    }

    /// Whether flows use a local port that no bound socket accounts for: connections that have outlived their listener,
    /// or were opened from that port.
    pub(crate) fn port_has_flows(&self, port: u16) -> bool {
        let addrs = self.addrs.get(&port).map_or(&[][..], |addrs| addrs.as_slice());
        let groups = addrs.iter().filter_map(|&ip| self.bound.get(&Endpoint::new(ip, port)));
        // One that stands in two families' groups is one user.
        let bound: usize = groups.map(|group| group.native.len()).sum();
        self.uses.get(&port).is_some_and(|&uses| uses as usize > bound)
    }

    /// Whether another socket that does not share stands where `place` is, in the way of `binding`.
    fn is_taken(&self, place: Endpoint, binding: &Binding, socket: u32) -> bool {
        let Some(addrs) = self.addrs.get(&place.port()) else { return false };
        let overlaps = |ip: &IpAddr| {
            let same_family = ip.is_ipv4() == place.ip().is_ipv4();
            same_family && (*ip == place.ip() || ip.is_unspecified() || place.ip().is_unspecified())
        };
        let groups = addrs.iter().filter(|&ip| overlaps(ip));
        let mut groups = groups.filter_map(|&ip| self.bound.get(&Endpoint::new(ip, place.port())));
        groups.any(|group| group.members().any(|other| other.socket != socket && !binding.shares_with(&other.binding)))
    }

    /// Undoes [`bind`](Self::bind).
    pub(crate) fn unbind(&mut self, local: Endpoint, socket: u32, family: Family) {
        self.version += 1;
        let mut removed = false;
        for place in places(local, family) {
            let Some(group) = self.bound.get_mut(&place) else { continue };
            let side = group.side(place, family);
            if let Some(at) = side.iter().position(|bound| bound.socket == socket) {
                side.remove(at);
                removed = true;
            }
            if group.members().next().is_none() {
                self.bound.remove(&place);
                if let Some(addrs) = self.addrs.get_mut(&place.port()) {
                    addrs.retain(|ip| *ip != place.ip());
                    if addrs.is_empty() {
                        self.addrs.remove(&place.port());
                    }
                }
            }
        }
        if removed {
            self.release_port(local.port());
        }
    }

    /// Whether any flow or bound socket uses a local port.
    pub(crate) fn port_in_use(&self, port: u16) -> bool {
        self.uses.contains_key(&port)
    }

    /// Whether a socket is bound to a local port, whatever its address.
    pub(crate) fn port_is_bound(&self, port: u16) -> bool {
        self.addrs.contains_key(&port)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.version += 1;
        self.exact.clear();
        self.bound.clear();
        self.uses.clear();
        self.addrs.clear();
    }

    fn release_port(&mut self, port: u16) {
        if let Some(uses) = self.uses.get_mut(&port) {
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&port);
            }
        }
    }
}

impl Group {
    fn side(&mut self, place: Endpoint, family: Family) -> &mut SmallVec<[Bound; 1]> {
        let native = place.ip().is_ipv4() == (family == Family::V4) || !place.ip().is_unspecified();
        if native { &mut self.native } else { &mut self.dual }
    }

    fn members(&self) -> impl Iterator<Item = &Bound> {
        self.native.iter().chain(&self.dual)
    }
}

/// Where a socket stands that is bound to `local`. A socket of IPv6 on any address is bound to IPv6's or, as a mapped
/// address, to IPv4's.
fn places(local: Endpoint, family: Family) -> Places {
    let mut places = Places::from_slice(&[local]);
    if local.ip() == ANY_V6 && family == (Family::V6 { only: false }) {
        places.push(Endpoint::new(ANY_V4, local.port()));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockopt::{Opt, Value};
    use crate::stack::hears::{DEVICE, LOOPBACK};

    const OWN: &str = "10.0.0.1:80";
    const HERE: Ingress = Ingress { device: DEVICE, cpu: 0 };

    fn end(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    fn flow(local: &str, remote_port: u16) -> FourTuple {
        let remote = if local.starts_with('[') { "[fd00::2]:9" } else { "10.0.0.2:9" };
        FourTuple { local: end(local), remote: Endpoint::new(end(remote).ip(), remote_port) }
    }

    fn binding(text: &str, reuse_port: bool) -> Binding {
        Binding { reuse_port, ..Binding::alone(Family::of(&text.parse().unwrap())) }
    }

    /// docs/rxpath.md, row 30.
    #[test]
    fn exact_before_address_before_any() {
        for (any, own, other) in [("0.0.0.0:80", OWN, "10.0.0.1:81"), ("[::]:80", "[fd00::1]:80", "[fd00::1]:81")] {
            let mut demux = Demux::new([1, 2, 3, 4]);
            assert!(demux.bind(end(any), 1, binding(any, true)));
            assert_eq!(demux.bound(&flow(own, 5), HERE), Some(1));
            assert!(demux.bind(end(own), 2, binding(own, true)));
            let there = flow(own, 5);
            demux.insert(&there, 3u32);
            let exact = |demux: &Demux<u32>, flow: &FourTuple| demux.exact(flow, |_| *flow == there);
            assert_eq!((exact(&demux, &there), exact(&demux, &flow(own, 6))), (Some(3), None));
            assert_eq!((demux.bound(&flow(own, 6), HERE), demux.bound(&flow(other, 6), HERE)), (Some(2), None));
        }
    }

    #[test]
    fn binding_conflicts_as_in_linux() {
        let check = |first: (&str, bool), second: (&str, bool), allowed: bool| {
            let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
            assert!(demux.bind(end(first.0), 1, binding(first.0, first.1)));
            assert_eq!(demux.bind(end(second.0), 2, binding(second.0, second.1)), allowed, "{first:?} {second:?}");
            let next = Endpoint::new(end(second.0).ip(), 81);
            assert!(demux.bind(next, 2, binding(second.0, second.1)));
            demux.unbind(end(first.0), 1, binding(first.0, first.1).family);
            assert_eq!(demux.bind(end(second.0), 3, binding(second.0, true)), !allowed || second.1);
        };
        check(("0.0.0.0:80", false), ("0.0.0.0:80", false), false);
        check(("0.0.0.0:80", false), (OWN, false), false);
        check((OWN, false), ("0.0.0.0:80", false), false);
        check((OWN, false), (OWN, true), false);
        check((OWN, true), (OWN, true), true);
        check((OWN, false), ("127.0.0.1:80", false), true);
        check(("[::]:80", false), ("0.0.0.0:80", false), false);
        check(("0.0.0.0:80", false), ("[::]:80", false), false);
        check(("[::]:80", false), (OWN, false), false);
        check(("[::]:80", false), ("[fd00::1]:80", false), false);
        check(("[fd00::1]:80", false), (OWN, false), true);
        check(("[fd00::1]:80", false), ("0.0.0.0:80", false), true);
        check(("[::1]:80", false), ("[fd00::1]:80", false), true);
        check(("[::ffff:10.0.0.1]:80", false), (OWN, false), false);
        check(("[::ffff:10.0.0.1]:80", false), ("[fd00::1]:80", false), true);
        check(("[::]:80", true), ("0.0.0.0:80", true), true);
    }

    #[test]
    fn ipv6_only_leaves_ipv4_to_others() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        assert!(demux.bind(end("[::]:80"), 1, Binding::alone(Family::V6 { only: true })));
        assert_eq!(demux.bound(&flow(OWN, 5), HERE), None);
        assert!(demux.bind(end("0.0.0.0:80"), 2, Binding::alone(Family::V4)));
        assert_eq!((demux.bound(&flow(OWN, 5), HERE), demux.bound(&flow("[fd00::1]:80", 5), HERE)), (Some(2), Some(1)));
    }

    #[test]
    fn a_dual_socket_takes_what_no_socket_of_ipv4_does() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        assert!(demux.bind(end("[::]:80"), 1, binding("[::]:80", true)));
        assert_eq!((demux.bound(&flow(OWN, 5), HERE), demux.bound(&flow("[fd00::1]:80", 5), HERE)), (Some(1), Some(1)));
        assert!(demux.bind(end("0.0.0.0:80"), 2, binding("0.0.0.0:80", true)));
        assert_eq!((demux.bound(&flow(OWN, 5), HERE), demux.bound(&flow("[fd00::1]:80", 5), HERE)), (Some(2), Some(1)));
        demux.unbind(end("0.0.0.0:80"), 2, Family::V4);
        assert_eq!(demux.bound(&flow(OWN, 5), HERE), Some(1));
        demux.unbind(end("[::]:80"), 1, Family::V6 { only: false });
        assert!(!demux.port_in_use(80));
    }

    #[test]
    fn ports_are_free_again_when_their_last_user_is_gone() {
        let mut demux = Demux::new([1, 2, 3, 4]);
        assert!(demux.bind(end(OWN), 1, binding(OWN, false)));
        demux.insert(&flow(OWN, 5), 2);
        demux.unbind(end(OWN), 1, Family::V4);
        assert!(demux.port_in_use(80) && !demux.port_is_bound(80));
        assert!(demux.port_has_flows(80));
        demux.remove(&flow(OWN, 5), 2);
        demux.remove(&flow(OWN, 5), 2);
        assert!(!demux.port_in_use(80));
    }

    /// docs/rxpath.md, row 32.
    #[test]
    fn a_group_shares_its_flows_and_keeps_each_with_one_member() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        (0..4).for_each(|n| assert!(demux.bind(end(OWN), n, binding(OWN, true))));
        let chosen: Vec<_> = (0..400).map(|port| demux.bound(&flow(OWN, port), HERE).unwrap()).collect();
        assert_eq!(chosen, (0..400).map(|port| demux.bound(&flow(OWN, port), HERE).unwrap()).collect::<Vec<_>>());
        for n in 0..4 {
            let share = chosen.iter().filter(|&&member| member == n).count();
            assert!((60..140).contains(&share), "member {n}: {share}");
        }
    }

    /// docs/rxpath.md, row 32: members have contiguous ranges of the hash, so one member more moves half of the flows, each to its
    /// neighbour's.
    #[test]
    fn a_group_that_grows_keeps_half_of_its_flows_in_place() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        (0..4).for_each(|n| assert!(demux.bind(end(OWN), n, binding(OWN, true))));
        let of_all = |demux: &Demux<u32>| -> Vec<_> {
            (0..2000).map(|port| demux.bound(&flow(OWN, port), HERE).unwrap()).collect()
        };
        let four = of_all(&demux);
        assert!(demux.bind(end(OWN), 4, binding(OWN, true)));
        let five = of_all(&demux);
        assert!(four.iter().zip(&five).all(|(before, after)| (0..=1).contains(&(after - before))));
        let stayed = four.iter().zip(&five).filter(|(before, after)| before == after).count();
        assert!((900..=1100).contains(&stayed), "{stayed} of 2000");
    }

    #[test]
    fn with_the_same_address_the_newest_hears() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        let shared = Binding { reuse_addr: true, ..Binding::alone(Family::V4) };
        (0..3).for_each(|n| assert!(demux.bind(end(OWN), n, shared)));
        assert_eq!(demux.bound(&flow(OWN, 5), HERE), Some(2));
        demux.unbind(end(OWN), 2, Family::V4);
        assert_eq!(demux.bound(&flow(OWN, 5), HERE), Some(1));
    }

    /// `inet_csk_bind_conflict`
    #[test]
    fn sockets_of_tcp_share_an_address_until_one_listens() {
        let tcp = Binding::tcp(Family::V4, true, false);
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        assert!(demux.bind(end(OWN), 1, tcp) && demux.bind(end(OWN), 2, tcp));
        assert!(!demux.bind(end(OWN), 3, Binding::tcp(Family::V4, false, false)));
        assert_eq!(demux.bound(&flow(OWN, 5), HERE), None, "nobody listens");
        assert!(demux.listen(end(OWN), 1, tcp) && !demux.listen(end(OWN), 2, tcp));
        assert!(!demux.bind(end(OWN), 3, tcp));
        assert_eq!(demux.bound(&flow(OWN, 5), HERE), Some(1));
        assert!(demux.listen(end(OWN), 1, tcp), "again");
    }

    /// docs/rxpath.md, row 31: the device counts, then the CPU, and at last who was bound last. Sockets 1, 2, .. in the order in
    /// which they were bound, each with its device and its CPU.
    #[test]
    fn device_before_cpu_before_age() {
        const NONE: (u8, u32) = (0, u32::MAX);
        let check =
            |binding: fn(Family) -> Binding, sockets: &[(&str, (u8, u32))], at: (u8, u8), heard: Option<u32>| {
                let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
                for (&(local, (device, cpu)), socket) in sockets.iter().zip(1..) {
                    let mut binding = Binding { reuse_addr: true, ..binding(Family::of(&local.parse().unwrap())) };
                    assert!(demux.bind(end(local), socket, binding), "{sockets:?}");
                    // Set afterwards, as most programs do.
                    binding.hears.set(Opt::BoundDevice, Value::Number(device.into())).unwrap();
                    binding.hears.set(Opt::IncomingCpu, Value::Number(cpu)).unwrap();
                    demux.rebind(end(local), socket, binding);
                }
                let at = Ingress { device: at.0, cpu: at.1 };
                assert_eq!(demux.bound(&flow(OWN, 5), at), heard, "{sockets:?} {at:?}");
            };
        let udp: fn(Family) -> Binding = Binding::alone;
        // Listeners of TCP on one address share the port, or their devices differ.
        let tcp: fn(Family) -> Binding = |family| Binding { listens: true, ..Binding::tcp(family, true, true) };
        let (any, dual) = ("0.0.0.0:80", "[::]:80");
        let (eth, lo, cpu) = ((DEVICE, u32::MAX), (LOOPBACK, u32::MAX), (0, 3));
        let here = (DEVICE, 3);
        for binding in [udp, tcp] {
            check(binding, &[(any, NONE)], here, Some(1));
            check(binding, &[(any, lo)], here, None);
            check(binding, &[(any, lo)], (LOOPBACK, 3), Some(1));
            check(binding, &[(any, NONE), (any, lo)], here, Some(1));
            check(binding, &[(any, eth), (any, lo)], (LOOPBACK, 3), Some(2));
        }
        check(tcp, &[(any, NONE), (any, eth), (any, NONE)], here, Some(2));
        check(tcp, &[(any, NONE), (any, cpu), (any, eth)], here, Some(3));
        check(udp, &[(any, NONE), (any, NONE)], here, Some(2));
        check(udp, &[(any, cpu), (any, NONE)], here, Some(1));
        check(udp, &[(any, cpu), (any, NONE)], (DEVICE, 2), Some(2));
        check(udp, &[(any, eth), (any, cpu)], here, Some(1));
        check(udp, &[(any, cpu), (any, eth), (any, (DEVICE, 3)), (any, eth)], here, Some(3));
        check(udp, &[(any, (LOOPBACK, 3)), (any, NONE)], here, Some(2));
        // The address counts more than all of these, and its own family as much as a CPU, or to TCP as a device.
        check(udp, &[(OWN, NONE), (any, (DEVICE, 3))], here, Some(1));
        check(udp, &[(any, NONE), (dual, NONE)], here, Some(1));
        check(udp, &[(any, NONE), (dual, cpu)], here, Some(2));
        check(udp, &[(dual, cpu), (any, NONE)], here, Some(2));
        check(udp, &[(dual, eth), (any, NONE)], here, Some(1));
    }

    /// Of those that share a port and the flow, the one that asks for the CPU, wherever the hash begins (`reuseport_select_sock`).
    #[test]
    fn those_that_share_a_port_may_have_a_cpu_each() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        let bind = |demux: &mut Demux<u32>, socket: u32, cpu: u32| {
            let mut binding = binding(OWN, true);
            binding.hears.set(Opt::IncomingCpu, Value::Number(cpu)).unwrap();
            assert!(demux.bind(end(OWN), socket, binding));
        };
        (0..4).for_each(|cpu| bind(&mut demux, cpu, cpu));
        for (port, cpu) in (1..100).flat_map(|port| (0..4).map(move |cpu| (port, cpu))) {
            assert_eq!(demux.bound(&flow(OWN, port), Ingress { device: DEVICE, cpu }), Some(cpu.into()));
        }
        // For whom nobody asks, the hash decides.
        let chosen: std::collections::BTreeSet<_> =
            (1..100).map(|port| demux.bound(&flow(OWN, port), Ingress { device: DEVICE, cpu: 9 })).collect();
        assert_eq!(chosen.len(), 4, "{chosen:?}");
    }
}
