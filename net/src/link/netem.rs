//! Impairments, after Linux's `netem`: what a link does to a frame, by a seeded verdict.

use crate::event::{DropReason, Drops};
use crate::link::delay::DelayLine;
use crate::packet::{PacketBuf, Pool, RxMeta};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::rng::Rng;

/// How one host's link treats frames, in each direction. The default is a perfect link.
///
/// The names are `tc-netem(8)`'s. Unlike there, the impairments apply to both directions, unless the host is built with
/// one link for each: a delay of 5 ms adds 10 ms to a round trip. Verdicts come from the LAN's seed, one sequence per
/// direction.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_net::emulated::Netem;
///
/// let link = Netem::new().delay(Duration::from_millis(5)).loss(0.01);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Netem {
    delay: Duration,
    jitter: Duration,
    loss: f64,
    duplicate: f64,
    corrupt: f64,
    reorder: f64,
    limit: usize,
    /// Bits a second; 0 for no bound.
    rate: u64,
    queue_bytes: usize,
}

/// How many frames a delaying link holds in each direction, `tc-netem`'s default `limit`.
const LIMIT: usize = 1000;

impl Netem {
    /// A perfect link: no delay, no loss, no bound on its rate, room for 1000 delayed frames.
    #[must_use]
    pub const fn new() -> Netem {
        Netem {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            reorder: 0.0,
            limit: LIMIT,
            rate: 0,
            queue_bytes: usize::MAX,
        }
    }

    /// Delays each frame by this much, one way.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Netem {
        self.delay = delay;
        self
    }

    /// Varies the delay of each frame by up to this much in either direction, all variations equally likely. Frames may
    /// overtake each other.
    #[must_use]
    pub const fn jitter(mut self, jitter: Duration) -> Netem {
        self.jitter = jitter;
        self
    }

    /// Loses each frame with this probability, from 0.0 to 1.0.
    ///
    /// # Panics
    /// When `probability` is not a number from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn loss(mut self, probability: f64) -> Netem {
        self.loss = checked(probability);
        self
    }

    /// Delivers each frame twice with this probability, from 0.0 to 1.0.
    ///
    /// # Panics
    /// When `probability` is not a number from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn duplicate(mut self, probability: f64) -> Netem {
        self.duplicate = checked(probability);
        self
    }

    /// Turns one bit of each frame with this probability, from 0.0 to 1.0.
    ///
    /// # Panics
    /// When `probability` is not a number from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn corrupt(mut self, probability: f64) -> Netem {
        self.corrupt = checked(probability);
        self
    }

    /// Sends each frame without delay with this probability, from 0.0 to 1.0, so that it overtakes others.
    ///
    /// # Panics
    /// When `probability` is not a number from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn reorder(mut self, probability: f64) -> Netem {
        self.reorder = checked(probability);
        self
    }

    /// Lets this many bits a second pass in each direction; 0, the default, for no bound. A frame counts with its Ethernet
    /// header, without preamble, checksum and gap. What comes faster waits in the link's [queue](Self::queue).
    #[must_use]
    pub const fn rate(mut self, bits_per_second: u64) -> Netem {
        self.rate = bits_per_second;
        self
    }

    /// How many bytes may wait for a link with a [rate](Self::rate); what comes to a full queue is lost and counted.
    #[must_use]
    pub const fn queue(mut self, bytes: usize) -> Netem {
        self.queue_bytes = bytes;
        self
    }

    /// How many frames may be under way in each direction; more are lost and counted.
    #[must_use]
    pub const fn limit(mut self, frames: usize) -> Netem {
        self.limit = frames;
        self
    }

    /// Whether frames take time on this link.
    pub(crate) fn delays(&self) -> bool {
        self.rate > 0 || !(self.delay.is_zero() && self.jitter.is_zero())
    }
}

#[track_caller]
fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "a probability lies between 0 and 1, not {probability}");
    probability
}

impl Default for Netem {
    fn default() -> Self {
        Netem::new()
    }
}

/// What a link does in each of its directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    /// From the device.
    pub(crate) up: Netem,
    /// Towards the device.
    pub(crate) down: Netem,
}

impl From<Netem> for Links {
    fn from(both: Netem) -> Links {
        Links { up: both, down: both }
    }
}

/// One direction of one link.
#[derive(Debug)]
pub(crate) struct Wire {
    netem: Netem,
    is_plain: bool,
    state: Mutex<WireState>,
}

#[derive(Debug)]
struct WireState {
    rng: Rng,
    drops: Drops,
    /// When the last bit of all that waits will have left.
    free_at: Instant,
}

/// What happens to a frame that is not lost.
struct Verdict {
    twice: bool,
    /// The place of a bit that is turned.
    corrupt: Option<(usize, u8)>,
    /// When it arrives; `None` for at once.
    arrival: Option<Instant>,
}

impl Wire {
    pub(crate) fn new(netem: Netem, rng: Rng) -> Wire {
        let free_at = Instant::from_virtual_ns(0);
        let is_plain = netem.loss == 0.0 && netem.duplicate == 0.0 && netem.corrupt == 0.0 && !netem.delays();
        Wire { netem, is_plain, state: Mutex::new(WireState { rng, drops: Drops::new(), free_at }) }
    }

    /// Whether every frame passes at once and as it is, so that no verdict is needed.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Carries a frame that enters the wire at `now`: what passes at once goes to `passed`, what takes time into `line`,
    /// the rest is lost and counted. The sender's device has finished the frame: nothing is left to another.
    pub(crate) fn carry(
        &self,
        mut frame: PacketBuf,
        now: Instant,
        pool: &Pool,
        line: &DelayLine,
        passed: &mut Vec<PacketBuf>,
    ) {
        let judged = self.state().judge(&self.netem, now, frame.len());
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(reason) => return self.count_drop(reason),
        };
        if let Some((at, bit)) = verdict.corrupt {
            frame.data_mut()[at] ^= 1 << bit;
        }
        let twin = if verdict.twice { PacketBuf::from_bytes(pool, frame.data()) } else { None };
        if verdict.twice && twin.is_none() {
            self.count_drop(DropReason::Nomem);
        }
        for mut frame in std::iter::once(frame).chain(twin) {
            match verdict.arrival {
                None => passed.push(frame),
                Some(arrival) => {
                    // What the last device knew of it.
                    frame.rx = RxMeta::default();
                    if line.enter(arrival, frame, self.netem.limit).is_err() {
                        self.count_drop(DropReason::QdiscDrop);
                    }
                }
            }
        }
    }

    /// Counts a frame that this wire lost for another reason than its verdict.
    pub(crate) fn count_drop(&self, reason: DropReason) {
        self.state().drops.count(reason);
    }

    pub(crate) fn drops(&self) -> Drops {
        self.state().drops.clone()
    }

    fn state(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WireState {
    /// Decides about one frame of `len` bytes. An impairment that is off asks for no chance, so turning one on does not
    /// change what the seed says about the others before it.
    fn judge(&mut self, netem: &Netem, now: Instant, len: usize) -> Result<Verdict, DropReason> {
        if self.happens(netem.loss) {
            return Err(DropReason::NetemLoss);
        }
        let corrupt = (self.happens(netem.corrupt) && len > 0).then(|| {
            let at = self.rng.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize;
            (at, self.rng.below(8) as u8)
        });
        let twice = self.happens(netem.duplicate);
        let arrival = if netem.delays() { Some(self.arrival(netem, now, len)?) } else { None };
        Ok(Verdict { twice, corrupt, arrival })
    }

    fn arrival(&mut self, netem: &Netem, now: Instant, len: usize) -> Result<Instant, DropReason> {
        let left_at = self.transmit(netem, now, len)?;
        if self.happens(netem.reorder) {
            return Ok(left_at);
        }
        let Ok(jitter_ns) = u64::try_from(netem.jitter.as_nanos()) else { return Ok(Instant::FAR_FUTURE) };
        if jitter_ns == 0 {
            return Ok(left_at.saturating_add(netem.delay));
        }
        // From `delay - jitter` to `delay + jitter`, in steps of 1/2^32 of the span, and never below nothing.
        let step = u128::from(self.rng.next_u32());
        let above_ns = (step * (2 * u128::from(jitter_ns))) >> 32;
        let delay = (netem.delay + Duration::from_nanos(u64::try_from(above_ns).unwrap_or(u64::MAX)))
            .saturating_sub(netem.jitter);
        Ok(left_at.saturating_add(delay))
    }

    /// When the last bit of a frame has left, behind all that waits.
    fn transmit(&mut self, netem: &Netem, now: Instant, len: usize) -> Result<Instant, DropReason> {
        if netem.rate == 0 {
            return Ok(now);
        }
        let busy = self.free_at.saturating_duration_since(now);
        let waiting_bytes = busy.as_nanos() * u128::from(netem.rate) / 8_000_000_000;
        if waiting_bytes + len as u128 > netem.queue_bytes as u128 {
            return Err(DropReason::QdiscDrop);
        }
        let takes_ns = len as u128 * 8_000_000_000 / u128::from(netem.rate);
        let takes = Duration::from_nanos(u64::try_from(takes_ns).unwrap_or(u64::MAX));
        let left_at = self.free_at.max(now).saturating_add(takes);
        self.free_at = left_at;
        Ok(left_at)
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.chance(probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::from_virtual_ns(us * 1000)
    }

    fn state(seed: u64) -> WireState {
        WireState { rng: Rng::seeded(seed), drops: Drops::new(), free_at: at(0) }
    }

    #[test]
    fn a_rate_serializes_and_a_queue_fills() {
        // 100 Mbit/s: 1250 bytes take 100 us. Three fit into the queue, the one that is being sent included.
        let netem = Netem::new().rate(100_000_000).queue(3750).delay(Duration::from_millis(1));
        let mut state = state(1);
        let mut arrivals = |now| state.judge(&netem, at(now), 1250).map(|v| v.arrival.unwrap());
        assert_eq!(arrivals(0), Ok(at(1100)));
        assert_eq!(arrivals(0), Ok(at(1200)));
        assert_eq!(arrivals(50), Ok(at(1300)));
        assert_eq!(arrivals(60), Err(DropReason::QdiscDrop));
        assert_eq!(arrivals(110), Ok(at(1400)));
        assert_eq!(arrivals(1000), Ok(at(2100)), "an idle link is free at once");
    }

    #[test]
    fn a_jitter_stays_in_its_span() {
        let netem = Netem::new().delay(Duration::from_micros(500)).jitter(Duration::from_micros(200));
        let mut state = state(2);
        let delays: Vec<_> =
            (0..1000).map(|_| state.judge(&netem, at(0), 100).unwrap_or_else(|_| panic!()).arrival.unwrap()).collect();
        let (min, max) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*min >= at(300) && *min < at(310) && *max <= at(700) && *max > at(690), "{min:?} {max:?}");
        let wild = Netem::new().jitter(Duration::from_micros(200));
        assert!((0..100).all(|_| state.judge(&wild, at(5), 100).is_ok_and(|v| v.arrival.unwrap() >= at(5))));
    }

    #[test]
    fn verdicts_come_as_often_as_asked() {
        let netem = Netem::new().loss(0.1).duplicate(0.2).corrupt(0.3).reorder(0.5).delay(Duration::from_micros(9));
        let mut state = state(3);
        let verdicts: Vec<_> = (0..10_000).map(|_| state.judge(&netem, at(0), 64)).collect();
        let count = |f: &dyn Fn(&Verdict) -> bool| verdicts.iter().flatten().filter(|v| f(v)).count();
        assert!(verdicts.iter().filter(|v| v.is_err()).count().abs_diff(1000) < 100);
        assert!(count(&|v| v.twice).abs_diff(1800) < 150);
        assert!(count(&|v| v.corrupt.is_some_and(|(at, bit)| at < 64 && bit < 8)).abs_diff(2700) < 200);
        assert!(count(&|v| v.arrival == Some(at(0))).abs_diff(4500) < 200);
    }
}
