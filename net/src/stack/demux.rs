//! Who is meant by a packet: exact 4-tuple, then a listener on the address, then one on any address.
//!
//! Every step is one look into a hash table with secret keys, so the cost does not depend on how many sockets there are
//! and a peer cannot make it so. The tables are never iterated.

use ahash::RandomState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The ends of a flow, as this host sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FourTuple {
    pub(crate) local: SocketAddrV4,
    pub(crate) remote: SocketAddrV4,
}

impl FourTuple {
    /// The tuple as two words, for hashing.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 2] {
        let word = |end: SocketAddrV4| u64::from(end.ip().to_bits()) << 16 | u64::from(end.port());
        [word(self.local), word(self.remote)]
    }
}

impl Hash for FourTuple {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [local, remote] = self.words();
        state.write_u64(local);
        state.write_u64(remote);
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
    bound: HashMap<SocketAddrV4, Group, RandomState>,
    /// How many flows and bound sockets use a local port.
    ports: HashMap<u16, u32, RandomState>,
    hasher: RandomState,
}

/// The sockets that are bound to one address and port; more than one only with SO_REUSEPORT.
type Group = SmallVec<[Bound; 1]>;

#[derive(Clone, Copy, Debug)]
struct Bound {
    socket: u32,
    reuse_port: bool,
}

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
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, flow.local.port());
        let group = self.bound.get(&flow.local).or_else(|| self.bound.get(&any))?;
        match group.as_slice() {
            [only] => Some(only.socket),
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
        *self.ports.entry(flow.local.port()).or_default() += 1;
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

    /// Binds `socket`; `false` when the address is taken: by a socket on the same one, or on any where this is one of
    /// its addresses, unless both allow it (SO_REUSEPORT).
    pub(crate) fn bind(&mut self, local: SocketAddrV4, socket: u32, reuse_port: bool, own: Ipv4Addr) -> bool {
        let conflicts = |group: &Group| group.iter().any(|other| !(reuse_port && other.reuse_port));
        let overlapping = if local.ip().is_unspecified() {
            [Ipv4Addr::UNSPECIFIED, own, Ipv4Addr::LOCALHOST]
        } else {
            [Ipv4Addr::UNSPECIFIED, *local.ip(), *local.ip()]
        };
        let mut groups = overlapping.iter().filter_map(|&ip| self.bound.get(&SocketAddrV4::new(ip, local.port())));
        if groups.any(conflicts) {
            return false;
        }
        self.bound.entry(local).or_default().push(Bound { socket, reuse_port });
        *self.ports.entry(local.port()).or_default() += 1;
        true
    }

    /// Undoes [`bind`](Self::bind).
    pub(crate) fn unbind(&mut self, local: SocketAddrV4, socket: u32) {
        let Some(group) = self.bound.get_mut(&local) else { return };
        let before = group.len();
        group.retain(|bound| bound.socket != socket);
        let removed = before - group.len();
        if group.is_empty() {
            self.bound.remove(&local);
        }
        (0..removed).for_each(|_| self.release_port(local.port()));
    }

    /// Whether any flow or bound socket uses a local port.
    pub(crate) fn port_in_use(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// Whether a socket is bound to a local port, whatever its address.
    pub(crate) fn port_is_bound(&self, port: u16, own: Ipv4Addr) -> bool {
        [Ipv4Addr::UNSPECIFIED, own, Ipv4Addr::LOCALHOST]
            .iter()
            .any(|&ip| self.bound.contains_key(&SocketAddrV4::new(ip, port)))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.exact.clear();
        self.bound.clear();
        self.ports.clear();
    }

    fn release_port(&mut self, port: u16) {
        if let Some(uses) = self.ports.get_mut(&port) {
            *uses -= 1;
            if *uses == 0 {
                self.ports.remove(&port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn end(ip: Ipv4Addr, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(ip, port)
    }

    fn flow(port: u16, remote_port: u16) -> FourTuple {
        FourTuple { local: end(OWN, port), remote: end(Ipv4Addr::new(10, 0, 0, 2), remote_port) }
    }

    /// RXPATH row 30.
    #[test]
    fn exact_before_address_before_any() {
        let mut demux = Demux::new([1, 2, 3, 4]);
        assert!(demux.bind(end(Ipv4Addr::UNSPECIFIED, 80), 1, true, OWN));
        assert_eq!(demux.bound(&flow(80, 5)), Some(1));
        assert!(demux.bind(end(OWN, 80), 2, true, OWN));
        assert!(demux.insert(flow(80, 5), 3u32));
        assert!(!demux.insert(flow(80, 5), 4));
        assert_eq!((demux.exact(&flow(80, 5)), demux.exact(&flow(80, 6))), (Some(3), None));
        assert_eq!((demux.bound(&flow(80, 6)), demux.bound(&flow(81, 6))), (Some(2), None));
    }

    #[test]
    fn binding_conflicts_as_in_linux() {
        let any = Ipv4Addr::UNSPECIFIED;
        let check = |first: (Ipv4Addr, bool), second: (Ipv4Addr, bool), allowed: bool| {
            let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
            assert!(demux.bind(end(first.0, 80), 1, first.1, OWN));
            assert_eq!(demux.bind(end(second.0, 80), 2, second.1, OWN), allowed, "{first:?} {second:?}");
            assert!(demux.bind(end(second.0, 81), 2, second.1, OWN));
        };
        check((any, false), (any, false), false);
        check((any, false), (OWN, false), false);
        check((OWN, false), (any, false), false);
        check((OWN, false), (OWN, true), false);
        check((OWN, true), (OWN, true), true);
        check((OWN, false), (Ipv4Addr::LOCALHOST, false), true);
    }

    #[test]
    fn ports_are_free_again_when_their_last_user_is_gone() {
        let mut demux = Demux::new([1, 2, 3, 4]);
        assert!(demux.bind(end(OWN, 80), 1, false, OWN));
        assert!(demux.insert(flow(80, 5), 2));
        demux.unbind(end(OWN, 80), 1);
        assert!(demux.port_in_use(80) && !demux.port_is_bound(80, OWN));
        demux.remove(&flow(80, 5));
        demux.remove(&flow(80, 5));
        assert!(!demux.port_in_use(80));
    }

    /// RXPATH row 32.
    #[test]
    fn a_group_shares_its_flows_and_keeps_each_with_one_member() {
        let mut demux = Demux::<u32>::new([1, 2, 3, 4]);
        (0..4).for_each(|n| assert!(demux.bind(end(OWN, 80), n, true, OWN)));
        let chosen: Vec<_> = (0..400).map(|port| demux.bound(&flow(80, port)).unwrap()).collect();
        assert_eq!(chosen, (0..400).map(|port| demux.bound(&flow(80, port)).unwrap()).collect::<Vec<_>>());
        for n in 0..4 {
            let share = chosen.iter().filter(|&&member| member == n).count();
            assert!((60..140).contains(&share), "member {n}: {share}");
        }
    }
}
