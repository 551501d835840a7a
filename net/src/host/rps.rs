//! Receive packet steering and receive flow steering: which CPU a packet is handed to.
//!
//! Pure: hashes and CPUs come in, a CPU comes out. RPS takes a CPU of its map by the hash. RFS prefers the CPU on which the flow's
//! reader has run last, but only moves a flow once nothing of it waits at the old CPU any more, so that nothing is overtaken. A
//! flow limit says which packets a CPU that has fallen behind does without.

use smallvec::SmallVec;

/// The CPUs that packets are handed to (`rps_cpus`); none: packets stay where they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RpsMap(SmallVec<[u16; 8]>);

impl RpsMap {
    /// The CPUs with a bit in `mask`.
    pub(crate) fn of(mask: u64) -> RpsMap {
        RpsMap((0..64).filter(|cpu| mask & 1 << cpu != 0).collect())
    }

    /// The mask again.
    pub(crate) fn mask(&self) -> u64 {
        self.0.iter().fold(0, |mask, cpu| mask | 1 << cpu)
    }

    /// `map[(hash * len) >> 32]`
    pub(crate) fn cpu_of(&self, hash: u32) -> Option<usize> {
        let at = (u64::from(hash) * self.0.len() as u64) >> 32;
        self.0.get(at as usize).map(|&cpu| usize::from(cpu))
    }
}

/// The tables of RFS: where each flow's reader runs (`rps_sock_flow_entries`), and where its packets go (`rps_flow_cnt`).
#[derive(Debug)]
pub(crate) struct FlowTable {
    /// By the hash's low bits, the hash's high bits and the CPU.
    wanted: Box<[Option<(u32, u16)>]>,
    flows: Box<[Flow]>,
}

/// `rps_dev_flow`
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    cpu: Option<u16>,
    /// What that CPU's backlog had been given when the flow's last packet was put into it.
    last_qtail: u64,
}

impl FlowTable {
    /// Tables of `entries`, rounded up to a power of two.
    pub(crate) fn new(entries: usize) -> FlowTable {
        let entries = entries.clamp(1, ENTRIES_MAX).next_power_of_two();
        FlowTable { wanted: vec![None; entries].into(), flows: vec![Flow::default(); entries].into() }
    }

    /// `rps_record_sock_flow`: the reader of the flow with this hash runs on `cpu`.
    pub(crate) fn record(&mut self, hash: u32, cpu: usize) {
        let (at, high) = self.place(hash);
        self.wanted[at] = Some((high, cpu as u16));
    }

    /// `get_rps_cpu`: where the next packet of a flow goes that has come to `here`; `by_rps` without a reader. `head_of` says how
    /// much of what a CPU's backlog was given has been taken out.
    pub(crate) fn cpu_of(
        &mut self,
        hash: u32,
        here: usize,
        by_rps: Option<usize>,
        head_of: impl Fn(usize) -> u64,
    ) -> usize {
        let (at, high) = self.place(hash);
        let Some((_, wanted)) = self.wanted[at].filter(|&(other, _)| other == high) else {
            return by_rps.unwrap_or(here);
        };
        let flow = &mut self.flows[at];
        let is_drained = |cpu: u16, tail: u64| head_of(usize::from(cpu)) >= tail;
        match flow.cpu {
            Some(old) if old != wanted && !is_drained(old, flow.last_qtail) => usize::from(old),
            _ => {
                flow.cpu = Some(wanted);
                usize::from(wanted)
            }
        }
    }

    /// A packet of the flow was put into the backlog of the CPU that [`cpu_of`](FlowTable::cpu_of) gave, which has been given
    /// `tail` in all.
    pub(crate) fn queued(&mut self, hash: u32, tail: u64) {
        let (at, _) = self.place(hash);
        self.flows[at].last_qtail = tail;
    }

    fn place(&self, hash: u32) -> (usize, u32) {
        let low = self.wanted.len() - 1;
        (hash as usize & low, hash & !(low as u32))
    }
}

/// Which flows have sent the last packets to a backlog (`sd_flow_limit`).
#[derive(Debug)]
pub(crate) struct FlowLimit {
    /// The buckets of the last packets, a ring.
    history: [u16; FlowLimit::HISTORY],
    head: usize,
    /// How many of them each bucket has.
    buckets: Box<[u8]>,
}

impl FlowLimit {
    /// `FLOW_LIMIT_HISTORY`
    const HISTORY: usize = 128;
    /// As many as `history` can name.
    pub(crate) const BUCKETS_MAX: u32 = 1 << 16;

    /// A limit that remembers nothing yet. `buckets` is a power of two.
    pub(crate) fn new(buckets: u32) -> FlowLimit {
        debug_assert!(buckets.is_power_of_two() && buckets <= FlowLimit::BUCKETS_MAX, "as its sysctl has been checked");
        FlowLimit { history: [0; FlowLimit::HISTORY], head: 0, buckets: vec![0; buckets as usize].into() }
    }

    /// `skb_flow_limit`: whether the flow with this hash has had more than half of the last packets, with this one.
    pub(crate) fn exceeds(&mut self, hash: u32) -> bool {
        // `hash_32`: the high bits of the product.
        let high = u64::from(hash.wrapping_mul(0x61c8_8647));
        let new = ((high * self.buckets.len() as u64) >> 32) as u16;
        let old = std::mem::replace(&mut self.history[self.head], new);
        self.head = (self.head + 1) % FlowLimit::HISTORY;
        let of_old = &mut self.buckets[usize::from(old)];
        *of_old = of_old.saturating_sub(1);
        let of_new = &mut self.buckets[usize::from(new)];
        *of_new += 1;
        usize::from(*of_new) > FlowLimit::HISTORY / 2
    }
}

/// The kernel's own bound is larger, by as much as it has more memory.
const ENTRIES_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn a_map_shares_hashes_evenly() {
        let map = RpsMap::of(0b1011);
        assert_eq!((map.mask(), RpsMap::of(0).cpu_of(7)), (0b1011, None));
        let share = |cpu: usize| (0..3000_u32).filter(|n| map.cpu_of(n * (u32::MAX / 3000 + 1)) == Some(cpu)).count();
        assert_eq!([share(0), share(1), share(2), share(3)], [1000, 1000, 0, 1000]);
    }

    /// Row 27: while a reader wanders over four CPUs whose backlogs drain at their own pace, its packets are taken out in order.
    #[test]
    fn a_wandering_reader_sees_its_flow_in_order() {
        let mut moved = 0;
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut table = FlowTable::new(64);
            let mut backlogs: [VecDeque<(u32, u32)>; 4] = Default::default();
            let (mut heads, mut tails) = ([0_u64; 4], [0_u64; 4]);
            let (mut sent, mut seen, mut last) = ([0_u32; 3], [0_u32; 3], [usize::MAX; 3]);
            // Before a flow has a reader it goes by RPS, and its first move looks at nothing, in the kernel as well.
            (0..3).for_each(|flow| table.record(0x1234_5600 + flow, 0));
            for _step in 0..2000 {
                let flow = rng.u32(0..3);
                let hash = 0x1234_5600 + flow;
                match rng.u8(0..10) {
                    0 => table.record(hash, rng.usize(0..4)),
                    1..=3 => {
                        let cpu = table.cpu_of(hash, 0, Some(1), |cpu| heads[cpu]);
                        backlogs[cpu].push_back((flow, sent[flow as usize]));
                        sent[flow as usize] += 1;
                        tails[cpu] += 1;
                        table.queued(hash, tails[cpu]);
                        moved += usize::from(std::mem::replace(&mut last[flow as usize], cpu) != cpu);
                    }
                    _ => {
                        for cpu in 0..4 {
                            if rng.u8(0..4) == 0 {
                                continue;
                            }
                            if let Some((flow, number)) = backlogs[cpu].pop_front() {
                                heads[cpu] += 1;
                                let expected = &mut seen[flow as usize];
                                assert_eq!(number, *expected, "seed {seed}: flow {flow} is out of order");
                                *expected += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(moved > 1000, "the flows have moved {moved} times");
    }

    #[test]
    fn a_flow_may_have_half_of_the_last_packets() {
        let mut limit = FlowLimit::new(4096);
        let alone: Vec<bool> = (0..300).map(|_| limit.exceeds(7)).collect();
        assert_eq!(alone.iter().position(|&exceeds| exceeds), Some(64));
        assert!(alone[64..].iter().all(|&exceeds| exceeds));
        // Of two in turn neither has more than half, once the flood is forgotten.
        let shared: Vec<bool> = (0..300).map(|n| limit.exceeds(7 + n % 2)).collect();
        assert!(shared[128..].iter().all(|&exceeds| !exceeds));
        // Two thirds are too much, and only for the one that has them.
        let thirds: Vec<bool> = (0..600).map(|n| limit.exceeds(u32::from(n % 3 == 0))).collect();
        assert!((300..600).all(|n| thirds[n] == (n % 3 != 0)));
    }

    #[test]
    fn who_shares_an_entry_is_told_apart_by_the_rest_of_the_hash() {
        let mut table = FlowTable::new(4);
        table.record(0x10, 3);
        assert_eq!(table.cpu_of(0x10, 0, None, |_| 0), 3);
        assert_eq!(table.cpu_of(0x20, 0, Some(1), |_| 0), 1);
    }
}
