//! Who is meant by a packet: exact 4-tuple, then a listener on the address, then one on any address.
//!
//! Every step is one look into a hash table with secret keys, so the cost does not depend on how many sockets there are
//! and a peer cannot make it so. The tables are never iterated.
//!
//! A socket of IPv6 that is bound to any address and open to IPv4 stands in the table twice, under each family's "any".

use crate::stack::endpoint::{Endpoint, Family, halves, word_of};
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
    exact: HashMap<FourTuple, T, RandomState>,
    bound: HashMap<Endpoint, Group, RandomState>,
    ports: HashMap<u16, Port, RandomState>,
    hasher: RandomState,
}

/// How a socket is bound: in which family, and with whom it shares its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) family: Family,
    /// SO_REUSEPORT: the sockets that all have it share the flows.
    pub(crate) reuse_port: bool,
    /// SO_REUSEADDR, where it lets two sockets have one address: of UDP, not of TCP listeners.
    pub(crate) reuse_addr: bool,
}

impl Binding {
    /// A socket that shares its place with nobody.
    pub(crate) fn alone(family: Family) -> Binding {
        Binding { family, reuse_port: false, reuse_addr: false }
    }

    fn shares_with(&self, other: &Binding) -> bool {
        (self.reuse_port && other.reuse_port) || (self.reuse_addr && other.reuse_addr)
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
}

/// The users of one local port (`inet_bind_bucket`).
#[derive(Debug, Default)]
struct Port {
    /// How many flows and bound sockets there are.
    uses: u32,
    /// The addresses at which sockets are bound.
    addrs: SmallVec<[IpAddr; 2]>,
}

/// The places at which a socket stands.
type Places = SmallVec<[Endpoint; 2]>;

const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl<T: Copy> Demux<T> {
    /// Empty tables.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Demux<T> {
        let hasher = RandomState::with_seeds(a, b, c, d);
        let (exact, bound) = (HashMap::with_hasher(hasher.clone()), HashMap::with_hasher(hasher.clone()));
        Demux { exact, bound, ports: HashMap::with_hasher(hasher.clone()), hasher }
    }

    /// What belongs to exactly this flow.
    #[inline]
    pub(crate) fn exact(&self, flow: &FourTuple) -> Option<T> {
        self.exact.get(flow).copied()
    }

    /// The socket that is bound to the flow's local address, or else to its port on any address.
    pub(crate) fn bound(&self, flow: &FourTuple) -> Option<u32> {
        let any = Endpoint::new(if flow.is_v4() { ANY_V4 } else { ANY_V6 }, flow.local.port());
        let group = self.bound.get(&flow.local).or_else(|| self.bound.get(&any))?;
        let members = if group.native.is_empty() { &group.dual } else { &group.native };
        match members.as_slice() {
            [only] => Some(only.socket),
            [.., newest] if !newest.binding.reuse_port => Some(newest.socket),
            // `reciprocal_scale(hash, num_socks)`
            many => {
                let hash = self.hasher.hash_one(flow) & 0xffff_ffff;
                many.get(((hash * many.len() as u64) >> 32) as usize).map(|bound| bound.socket)
            }
        }
    }

    /// Adds a flow; `false` when it is there already.
    pub(crate) fn insert(&mut self, flow: FourTuple, target: T) -> bool {
        if self.exact.contains_key(&flow) {
            return false;
        }
        self.exact.insert(flow, target);
        self.ports.entry(flow.local.port()).or_default().uses += 1;
        true
    }

    /// Lets a flow that is there lead to something else.
    pub(crate) fn redirect(&mut self, flow: &FourTuple, target: T) {
        if let Some(place) = self.exact.get_mut(flow) {
            *place = target;
        }
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, flow: &FourTuple) {
        if self.exact.remove(flow).is_some() {
            self.release_port(flow.local.port());
        }
    }

    /// Binds `socket`; `false` when the address is taken: by a socket on the same one, or on any where one of the two is
    /// on any, unless both share it.
    pub(crate) fn bind(&mut self, local: Endpoint, socket: u32, binding: Binding) -> bool {
        let places = places(local, binding.family);
        if places.iter().any(|place| self.is_taken(*place, &binding)) {
            return false;
        }
        let port = self.ports.entry(local.port()).or_default();
        port.uses += 1;
        for place in places {
            if !port.addrs.contains(&place.ip()) {
                port.addrs.push(place.ip());
            }
            let group = self.bound.entry(place).or_default();
            group.side(place, binding.family).push(Bound { socket, binding });
        }
        true
    }

    /// Whether a socket that does not share stands where `place` is, in the way of `binding`.
    fn is_taken(&self, place: Endpoint, binding: &Binding) -> bool {
        let Some(port) = self.ports.get(&place.port()) else { return false };
        let overlaps = |ip: &IpAddr| {
            let same_family = ip.is_ipv4() == place.ip().is_ipv4();
            same_family && (*ip == place.ip() || ip.is_unspecified() || place.ip().is_unspecified())
        };
        let groups = port.addrs.iter().filter(|&ip| overlaps(ip));
        let mut groups = groups.filter_map(|&ip| self.bound.get(&Endpoint::new(ip, place.port())));
        groups.any(|group| group.members().any(|other| !binding.shares_with(&other.binding)))
    }

    /// Undoes [`bind`](Self::bind).
    pub(crate) fn unbind(&mut self, local: Endpoint, socket: u32, family: Family) {
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
                if let Some(port) = self.ports.get_mut(&place.port()) {
                    port.addrs.retain(|ip| *ip != place.ip());
                }
            }
        }
        if removed {
            self.release_port(local.port());
        }
    }

    /// Whether any flow or bound socket uses a local port.
    pub(crate) fn port_in_use(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// Whether a socket is bound to a local port, whatever its address.
    pub(crate) fn port_is_bound(&self, port: u16) -> bool {
        self.ports.get(&port).is_some_and(|port| !port.addrs.is_empty())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.exact.clear();
        self.bound.clear();
        self.ports.clear();
    }

    fn release_port(&mut self, port: u16) {
        if let Some(users) = self.ports.get_mut(&port) {
            users.uses -= 1;
            if users.uses == 0 {
                self.ports.remove(&port);
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

    const OWN: &str = "10.0.0.1:80";

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

    /// RXPATH row 30.
    #[test]
    fn exact_before_address_before_any() {
        for (any, own, other) in [("0.0.0.0:80", OWN, "10.0.0.1:81"), ("[::]:80", "[fd00::1]:80", "[fd00::1]:81")] {
            let mut demux = Demux::new([1, 2, 3, 4]);
            assert!(demux.bind(end(any), 1, binding(any, true)));
            assert_eq!(demux.bound(&flow(own, 5)), Some(1));
            assert!(demux.bind(end(own), 2, binding(own, true)));
            assert!(demux.insert(flow(own, 5), 3u32));
            assert!(!demux.insert(flow(own, 5), 4));
            assert_eq!((demux.exact(&flow(own, 5)), demux.exact(&flow(own, 6))), (Some(3), None));
            assert_eq!((demux.bound(&flow(own, 6)), demux.bound(&flow(other, 6))), (Some(2), None));
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
        assert_eq!(demux.bound(&flow(OWN, 5)), None);
        assert!(demux.bind(end("0.0.0.0:80"), 2, Binding::alone(Family::V4)));
        assert_eq!((demux.bound(&flow(OWN, 5)), demux.bound(&flow("[fd00::1]:80", 5))), (Some(2), Some(1)));
    }

    #[test]
    fn a_dual_socket_takes_what_no_socket_of_ipv4_does() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        assert!(demux.bind(end("[::]:80"), 1, binding("[::]:80", true)));
        assert_eq!((demux.bound(&flow(OWN, 5)), demux.bound(&flow("[fd00::1]:80", 5))), (Some(1), Some(1)));
        assert!(demux.bind(end("0.0.0.0:80"), 2, binding("0.0.0.0:80", true)));
        assert_eq!((demux.bound(&flow(OWN, 5)), demux.bound(&flow("[fd00::1]:80", 5))), (Some(2), Some(1)));
        demux.unbind(end("0.0.0.0:80"), 2, Family::V4);
        assert_eq!(demux.bound(&flow(OWN, 5)), Some(1));
        demux.unbind(end("[::]:80"), 1, Family::V6 { only: false });
        assert!(!demux.port_in_use(80));
    }

    #[test]
    fn ports_are_free_again_when_their_last_user_is_gone() {
        let mut demux = Demux::new([1, 2, 3, 4]);
        assert!(demux.bind(end(OWN), 1, binding(OWN, false)));
        assert!(demux.insert(flow(OWN, 5), 2));
        demux.unbind(end(OWN), 1, Family::V4);
        assert!(demux.port_in_use(80) && !demux.port_is_bound(80));
        demux.remove(&flow(OWN, 5));
        demux.remove(&flow(OWN, 5));
        assert!(!demux.port_in_use(80));
    }

    /// RXPATH row 32.
    #[test]
    fn a_group_shares_its_flows_and_keeps_each_with_one_member() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        (0..4).for_each(|n| assert!(demux.bind(end(OWN), n, binding(OWN, true))));
        let chosen: Vec<_> = (0..400).map(|port| demux.bound(&flow(OWN, port)).unwrap()).collect();
        assert_eq!(chosen, (0..400).map(|port| demux.bound(&flow(OWN, port)).unwrap()).collect::<Vec<_>>());
        for n in 0..4 {
            let share = chosen.iter().filter(|&&member| member == n).count();
            assert!((60..140).contains(&share), "member {n}: {share}");
        }
    }

    #[test]
    fn with_the_same_address_the_newest_hears() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        let shared = Binding { reuse_addr: true, ..Binding::alone(Family::V4) };
        (0..3).for_each(|n| assert!(demux.bind(end(OWN), n, shared)));
        assert_eq!(demux.bound(&flow(OWN, 5)), Some(2));
        demux.unbind(end(OWN), 2, Family::V4);
        assert_eq!(demux.bound(&flow(OWN, 5)), Some(1));
    }
}
