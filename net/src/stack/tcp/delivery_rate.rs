//! How fast text arrives: samples of the delivery rate (draft-cheng-iccrg-delivery-rate-estimation).

use crate::stack::tcp::congestion::sample::RateSample;
use crate::stack::tcp::news::Amount;
use crate::stack::tcp::sent_queue::{Marks, Progress, Sent};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// One connection's account of what was delivered (3.1, `C`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Bytes.
    pub(crate) delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// The last sample's bytes and microseconds.
    rate: (u32, u32),
    /// Zero, or what will have been delivered when the last byte is that was sent while the program set the pace.
    app_limited_until: u64,
}

impl Delivery {
    /// Nothing delivered.
    pub(crate) fn new(now: Instant) -> Delivery {
        Delivery { delivered: 0, delivered_at: now, first_sent_at: now, rate: (0, 0), app_limited_until: 0 }
    }

    /// 3.2: what a segment that is sent now has to remember, and whether the program sets the pace. `idle` says that
    /// nothing else is out.
    #[inline]
    pub(crate) fn on_sent(&mut self, now: Instant, idle: bool) -> (Progress, bool) {
        if idle {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        let Delivery { delivered, delivered_at, first_sent_at, .. } = *self;
        (Progress { delivered, delivered_at, first_sent_at }, self.app_limited_until > 0)
    }

    /// 3.4: the program has nothing more to send while `in_flight` bytes are out and the window has room.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// As Linux, `tcp_info` reports the last sample, unless the program set the pace and it was slower.
    #[inline]
    fn note_rate(&mut self, delivered: u64, interval_ns: u64, is_app_limited: bool) {
        let bytes = u32::try_from(delivered).unwrap_or(u32::MAX);
        let us = u32::try_from(interval_ns / 1000).unwrap_or(u32::MAX).max(1);
        let (old_bytes, old_us) = self.rate;
        let faster = u64::from(bytes) * u64::from(old_us) >= u64::from(old_bytes) * u64::from(us);
        if !is_app_limited || faster {
            self.rate = (bytes, us);
        }
    }

    /// Bytes per second that have lately arrived.
    pub(crate) fn rate(&self) -> u64 {
        let (bytes, us) = self.rate;
        u64::from(bytes) * 1_000_000 / u64::from(us.max(1))
    }

    /// 3.3: the sample of one acknowledgement that says that so much has `arrived`, the `newest` of it sent last; nothing when it tells nothing, or came sooner
    /// than any segment can have (`min_rtt_us`).
    #[inline]
    pub(crate) fn sample(
        &mut self,
        now: Instant,
        arrived: Amount,
        newest: Option<&Sent>,
        min_rtt_us: u32,
    ) -> Option<RateSample> {
        self.delivered += u64::from(arrived.bytes);
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        if arrived.segments == 0 {
            return None;
        }
        self.delivered_at = now;
        let &Sent { progress: then, sent_at, marks, .. } = newest?;
        let is_app_limited = marks.contains(Marks::APP_LIMITED);
        self.first_sent_at = sent_at;
        let (sending, acknowledging) = (sent_at.nanos_since(then.first_sent_at), now.nanos_since(then.delivered_at));
        let interval_ns = sending.max(acknowledging);
        if interval_ns < u64::from(min_rtt_us) * 1000 || interval_ns == 0 {
            return None;
        }
        let delivered = self.delivered.saturating_sub(then.delivered);
        self.note_rate(delivered, interval_ns, is_app_limited);
        let interval = Duration::from_nanos(interval_ns);
        let (prior_delivered, total_delivered) = (then.delivered, self.delivered);
        Some(RateSample { delivered, interval, prior_delivered, total_delivered, is_app_limited })
    }
}
