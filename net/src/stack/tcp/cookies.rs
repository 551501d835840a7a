//! SYN cookies: a half-open connection that is remembered by the peer instead of by us (RFC 4987 3.6), as Linux makes
//! them.
//!
//! The number of the SYN-ACK is a keyed hash of the flow, the peer's number, the minute, and which of four segment sizes
//! the peer can take. What else its SYN said stands in the lowest bits of the timestamp that it will echo; without
//! timestamps it is lost.

use crate::stack::demux::FourTuple;
use crate::stack::keyed_hash::keyed_hash;
use crate::stack::tcp::options::{Agreed, Features};
use crate::wire::tcp::SeqNumber;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// The keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    keys: [[u64; 2]; 2],
}

/// The sizes that a cookie can say, for IPv4 and for IPv6 (`msstab`).
const SIZES_V4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_V6: [u16; 4] = [1220, 1420, 1440, 8940];
/// How many minutes a cookie is good for (`MAX_SYNCOOKIE_AGE`).
const AGE_MAX: u32 = 2;
const MINUTE: u64 = 60_000_000_000;
/// `COOKIEMASK`: below it stands the size, above it the minute.
const DATA_MASK: u32 = 0xff_ffff;
/// How long after the last cookie was given out one is still believed (`TCP_SYNCOOKIE_VALID`).
pub(crate) const VALID: Duration = Duration::from_secs(120);

/// The bits of a timestamp that say what the SYN offered (`TS_OPT_*`): the shift of its window, or none.
const STAMP_BITS: u32 = 6;
const STAMP_MASK: u32 = (1 << STAMP_BITS) - 1;
const STAMP_WSCALE: u32 = 0xf;
const STAMP_SACK: u32 = 1 << 4;
const STAMP_ECN: u32 = 1 << 5;

impl Cookies {
    /// Keys of their own from a host's secret.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Cookies {
        let key = |n| [keyed_hash([a, c], &[n]), keyed_hash([b, d], &[n])];
        Cookies { keys: [key(1), key(2)] }
    }

    /// The number of a SYN-ACK to a peer that has said `irs` and can take segments of `mss` bytes
    /// (`secure_tcp_syn_cookie`).
    pub(crate) fn make(&self, flow: &FourTuple, irs: SeqNumber, mss: u16, now: Instant) -> SeqNumber {
        let index = sizes(flow).iter().rposition(|&size| size <= mss).unwrap_or(0) as u32;
        let minute = minute(now);
        let data = self.hash(1, flow, minute).wrapping_add(index) & DATA_MASK;
        let base = self.hash(0, flow, 0).wrapping_add(irs.0);
        SeqNumber(base.wrapping_add(minute << 24).wrapping_add(data))
    }

    /// The size that a cookie says, if it is one of ours and not too old (`check_tcp_syn_cookie`).
    pub(crate) fn check(&self, flow: &FourTuple, irs: SeqNumber, cookie: SeqNumber, now: Instant) -> Option<u16> {
        let rest = cookie.0.wrapping_sub(self.hash(0, flow, 0)).wrapping_sub(irs.0);
        let minute = minute(now);
        let age = minute.wrapping_sub(rest >> 24) & 0xff;
        if age >= AGE_MAX {
            return None;
        }
        let index = rest.wrapping_sub(self.hash(1, flow, minute.wrapping_sub(age))) & DATA_MASK;
        sizes(flow).get(index as usize).copied()
    }

    fn hash(&self, key: usize, flow: &FourTuple, minute: u32) -> u32 {
        let mut words = flow.words().to_vec();
        words.push(minute.into());
        keyed_hash(self.keys[key], &words) as u32
    }
}

/// A timestamp, not later than `clock`, that also says what was agreed on (`cookie_init_timestamp`).
pub(crate) fn stamp(clock: u32, agreed: &Agreed) -> u32 {
    let mut bits = agreed.snd_wscale.map_or(STAMP_WSCALE, |shift| u32::from(shift) & STAMP_WSCALE);
    if agreed.features.contains(Features::SACK) {
        bits |= STAMP_SACK;
    }
    if agreed.features.contains(Features::ECN) {
        bits |= STAMP_ECN;
    }
    let stamp = (clock & !STAMP_MASK) | bits;
    if stamp > clock { stamp.wrapping_sub(1 << STAMP_BITS) } else { stamp }
}

/// What the SYN offered, by the echo of [`stamp`]: the shift of its window, whether SACK, and whether ECN
/// (`cookie_timestamp_decode`).
pub(crate) fn unstamp(echo: u32) -> (Option<u8>, bool, bool) {
    let shift = (echo & STAMP_WSCALE) as u8;
    let shift = Some(shift).filter(|&shift| u32::from(shift) != STAMP_WSCALE);
    (shift, echo & STAMP_SACK != 0, echo & STAMP_ECN != 0)
}

fn sizes(flow: &FourTuple) -> &'static [u16; 4] {
    if flow.local.ip().is_ipv6() { &SIZES_V6 } else { &SIZES_V4 }
}

fn minute(now: Instant) -> u32 {
    (now.as_nanos() / MINUTE) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::endpoint::Endpoint;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn flow(remote: &str) -> FourTuple {
        let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().unwrap());
        FourTuple { local: end("10.0.0.1:80"), remote: end(remote) }
    }

    fn at(s: u64) -> Instant {
        Instant::from_virtual_ns(s * 1_000_000_000)
    }

    proptest! {
        #[test]
        fn a_cookie_is_good_for_its_flow_for_a_minute_or_two(irs: u32, mss in 1..9000u16, start in 0..100_000u64, later in 0..60u64) {
            let cookies = Cookies::new([1, 2, 3, 4]);
            let (irs, flow, other) = (SeqNumber(irs), flow("10.0.0.2:1000"), flow("10.0.0.2:1001"));
            let cookie = cookies.make(&flow, irs, mss, at(start));
            let said = SIZES_V4.iter().copied().rfind(|&size| size <= mss).unwrap_or(536);
            prop_assert_eq!(cookies.check(&flow, irs, cookie, at(start + later)), Some(said));
            prop_assert_eq!(cookies.check(&flow, irs, cookie, at(start + 180)), None);
            // Three of these are wrong in 24 bits; that they match by chance is one in four million.
            prop_assert_eq!(cookies.check(&other, irs, cookie, at(start)), None);
            prop_assert_eq!(cookies.check(&flow, irs + 1000, cookie, at(start)), None);
            prop_assert_eq!(Cookies::new([9, 2, 3, 4]).check(&flow, irs, cookie, at(start)), None);
        }

        #[test]
        fn a_stamp_says_what_was_offered_and_is_never_ahead(
            clock: u32,
            shift in prop::option::of(0..15u8),
            sack: bool,
            ecn: bool,
        ) {
            let mut features = Features::TIMESTAMPS;
            features.set(Features::SACK, sack);
            features.set(Features::ECN, ecn);
            let agreed = Agreed { snd_mss: 1448, snd_wscale: shift, features, ts_recent: 0 };
            let stamp = stamp(clock, &agreed);
            prop_assert_eq!(unstamp(stamp), (shift, sack, ecn));
            prop_assert!(clock.wrapping_sub(stamp) < 128, "{} {}", clock, stamp);
        }
    }
}
