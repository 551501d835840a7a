//! What routers have said about the largest packet on the way to a destination (RFC 1191, RFC 8201).
//!
//! The caller has made sure that the router speaks of a packet of ours. What it says holds for ten minutes; a smaller
//! value than every link has to carry is not believed. The table is bounded: the oldest entry makes room.

use ahash::RandomState;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct PathMtus {
    entries: HashMap<IpAddr, Entry, RandomState>,
    /// Destinations in the order in which they came.
    order: VecDeque<IpAddr>,
    /// How often something was learnt.
    version: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mtu: u32,
    until: Instant,
}

/// How many destinations are remembered.
const ENTRIES_MAX: usize = 1024;
/// `ip_rt_mtu_expires`, and IPv6's.
const EXPIRES: Duration = Duration::from_secs(600);
/// `ip_rt_min_pmtu`
const MIN_V4: u32 = 552;
/// RFC 8200 section 5.
const MIN_V6: u32 = 1280;

impl PathMtus {
    /// An empty table.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> PathMtus {
        let hasher = RandomState::with_seeds(c, d, a, b);
        PathMtus { entries: HashMap::with_hasher(hasher), order: VecDeque::new(), version: 0 }
    }

    /// Another number after every change that is not the passing of time.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Until when what is known of `dst` holds.
    pub(crate) fn until(&self, dst: IpAddr, now: Instant) -> Instant {
        let told = self.entries.get(&dst).filter(|entry| now < entry.until);
        told.map_or(Instant::FAR_FUTURE, |entry| entry.until)
    }

    /// The largest packet to `dst`, if anybody has said so.
    #[inline]
    pub(crate) fn get(&self, dst: IpAddr, now: Instant) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&dst).filter(|entry| now < entry.until).map(|entry| entry.mtu as usize)
    }

    /// A router says that no packet larger than `mtu` gets to `dst`. Returns what is believed of it when that is news:
    /// less than `current`, or than what was known.
    pub(crate) fn learn(&mut self, dst: IpAddr, mtu: u32, current: usize, now: Instant) -> Option<usize> {
        let floor = if dst.is_ipv4() { MIN_V4 } else { MIN_V6 };
        let mtu = mtu.max(floor);
        let known = self.get(dst, now).unwrap_or(current).min(current);
        if mtu as usize >= known {
            return None;
        }
        self.version += 1;
        let entry = Entry { mtu, until: now.saturating_add(EXPIRES) };
        if self.entries.insert(dst, entry).is_none() {
            self.order.push_back(dst);
            if self.order.len() > ENTRIES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
        }
        Some(mtu as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_virtual_ns(s * 1_000_000_000)
    }

    #[test]
    fn a_path_shrinks_within_reason_and_is_forgotten_after_ten_minutes() {
        let mut paths = PathMtus::new([1, 2, 3, 4]);
        let (v4, v6): (IpAddr, IpAddr) = ("10.1.0.1".parse().unwrap(), "fd01::1".parse().unwrap());
        assert_eq!(paths.learn(v4, 1400, 1500, at(0)), Some(1400));
        assert_eq!(paths.learn(v4, 1450, 1500, at(1)), None, "never up");
        assert_eq!(paths.learn(v4, 1400, 1500, at(1)), None, "no news");
        assert_eq!(paths.learn(v4, 9, 1500, at(2)), Some(552));
        assert_eq!(paths.learn(v6, 9, 1500, at(2)), Some(1280));
        assert_eq!(paths.learn(v6, 9000, 1500, at(2)), None);
        assert_eq!((paths.get(v4, at(601)), paths.get(v4, at(602))), (Some(552), None));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut paths = PathMtus::new([1, 2, 3, 4]);
        for n in 0..5000u32 {
            assert!(paths.learn(std::net::Ipv4Addr::from_bits(n).into(), 1000, 1500, at(0)).is_some());
        }
        assert_eq!((paths.entries.len(), paths.order.len()), (1024, 1024));
    }
}
