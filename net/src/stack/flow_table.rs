//! The table of flows (`ehash`): from a 4-tuple to what belongs to it, in as few bytes a flow as Linux's chain needs.
//!
//! An entry does not hold its flow: what it leads to does, and is asked. It holds half of the flow's hash, so that other
//! flows are hardly ever asked, and so that growing asks nobody.

use crate::stack::demux::FourTuple;
use ahash::RandomState;
use hashbrown::HashTable;

/// See the [module](self). `T` names what a flow leads to.
#[derive(Debug)]
pub(crate) struct FlowTable<T> {
    table: HashTable<Entry<T>>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    tag: u32,
    target: T,
}

impl<T: Copy + PartialEq> FlowTable<T> {
    /// An empty table with the keys of `hasher`.
    pub(crate) fn new(hasher: RandomState) -> FlowTable<T> {
        FlowTable { table: HashTable::new(), hasher }
    }

    /// What belongs to a flow; `has_flow` says whether a target is of this flow.
    #[inline]
    pub(crate) fn get(&self, flow: &FourTuple, has_flow: impl Fn(T) -> bool) -> Option<T> {
        let tag = self.tag(flow);
        let is_it = |entry: &Entry<T>| entry.tag == tag && has_flow(entry.target);
        self.table.find(spread(tag), is_it).map(|entry| entry.target)
    }

    /// Adds a flow, which the caller has not found in the table.
    pub(crate) fn insert(&mut self, flow: &FourTuple, target: T) {
        let tag = self.tag(flow);
        self.table.insert_unique(spread(tag), Entry { tag, target }, |entry| spread(entry.tag));
    }

    /// Lets a flow that leads to `from` lead to something else.
    pub(crate) fn redirect(&mut self, flow: &FourTuple, from: T, to: T) {
        let tag = self.tag(flow);
        if let Some(entry) = self.table.find_mut(spread(tag), |entry| entry.tag == tag && entry.target == from) {
            entry.target = to;
        }
    }

    /// Removes a flow that leads to `target`; `false` when there is none.
    pub(crate) fn remove(&mut self, flow: &FourTuple, target: T) -> bool {
        let tag = self.tag(flow);
        match self.table.find_entry(spread(tag), |entry| entry.tag == tag && entry.target == target) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }

    #[inline]
    fn tag(&self, flow: &FourTuple) -> u32 {
        self.hasher.hash_one(flow) as u32
    }
}

/// Spreads the half over a whole hash: the table looks at the lowest bits and at the highest.
#[inline]
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What an entry costs when the table has just grown, which is when half of its seven eighths are in use.
#[cfg(test)]
pub(crate) const ENTRY_COST_MAX: usize = (size_of::<Entry<crate::stack::demux::Target>>() + 1) * 16 / 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::endpoint::Endpoint;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    fn flow(n: u16) -> FourTuple {
        let end = |port| Endpoint::new(IpAddr::from([10, 0, 0, 1]), port);
        FourTuple { local: end(80), remote: end(n) }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(ENTRY_COST_MAX, 29);
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..4u8, 0..60u16, 0..9u32), 0..300)) {
            let flows: Vec<FourTuple> = (0..1000).map(flow).collect();
            // A target is the flow's number and a version.
            let has = |target: u32, flow: &FourTuple| &flows[(target >> 8) as usize] == flow;
            let hasher = RandomState::with_seeds(1, 2, 3, 4);
            let (mut table, mut map) = (FlowTable::new(hasher), BTreeMap::new());
            for (step, n, version) in steps {
                let (flow, target) = (&flows[usize::from(n)], u32::from(n) << 8 | version);
                match (step, map.get(&n).copied()) {
                    (0 | 1, None) => {
                        table.insert(flow, target);
                        map.insert(n, target);
                    }
                    (2, Some(old)) => {
                        table.redirect(flow, old, target);
                        map.insert(n, target);
                    }
                    (3, Some(old)) => {
                        prop_assert!(table.remove(flow, old));
                        map.remove(&n);
                    }
                    _ => prop_assert!(!table.remove(flow, u32::MAX)),
                }
                for n in 0..60 {
                    let flow = &flows[usize::from(n)];
                    prop_assert_eq!(table.get(flow, |target| has(target, flow)), map.get(&n).copied());
                }
            }
        }
    }
}
