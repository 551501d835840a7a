//! Which of the segments that are out have arrived, are lost, or were sent again (RFC 6675's scoreboard).
//!
//! The marks stand at the segments; here are the tables that find them without a search, and the sums. An acknowledgement
//! costs the logarithm of what is out for each of its blocks, and a step for each segment whose mark changes; a block that
//! tells what is known already costs no more, however large it is. Why something is lost is decided elsewhere.

use crate::stack::tcp::news::{Amount, News, is_sent_after};
use crate::stack::tcp::range_set::RangeSet;
use crate::stack::tcp::sent_queue::{Marks, Sent, SentQueue};
use crate::wire::tcp::SeqNumber;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self). Segments are named by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    /// Arrived out of order.
    pub(crate) sacked: Amount,
    /// Taken for lost, those included that were sent again.
    pub(crate) lost: Amount,
    /// Sent again, and taken to be under way.
    pub(crate) again: Amount,
    arrived: RangeSet,
    /// Lost and to be sent again. An entry that has become wrong is passed over when its turn comes.
    due: BinaryHeap<Reverse<u64>>,
    /// What was sent again, in the order of time; here, too, entries may be stale.
    sent_again: VecDeque<(u64, Instant)>,
    /// Below this number every segment that was sent once has arrived or is lost.
    examined: u64,
}

impl Scoreboard {
    /// The pipe (RFC 6675 section 4), when `out` bytes lie between SND.UNA and SND.NXT.
    #[inline]
    pub(crate) fn in_flight(&self, out: u32) -> u32 {
        (out + self.again.bytes).saturating_sub(self.sacked.bytes + self.lost.bytes)
    }

    /// Whether nothing is known to be amiss.
    pub(crate) fn is_clear(&self) -> bool {
        (self.sacked.segments, self.lost.segments, self.again.segments) == (0, 0, 0)
    }

    /// The number after the highest that has arrived out of order; `base` when none has.
    pub(crate) fn highest(&self, base: u64) -> u64 {
        self.arrived.end().unwrap_or(base).max(base)
    }

    /// A block says that everything from `from` to `to` has arrived. What it covers only in part does not count.
    pub(crate) fn take_block(&mut self, queue: &mut SentQueue, from: SeqNumber, to: SeqNumber, news: &mut News) {
        let first = queue.ending_after(from);
        let first = if queue.start_of(first).is_before(from) { first + 1 } else { first };
        let last = queue.ending_after(to);
        let mut at = first;
        while let Some((gap, end)) = self.arrived.first_gap(at, last) {
            for number in gap..end {
                self.arrive(queue, number, news);
            }
            at = end;
        }
        self.arrived.insert(first, last);
    }

    /// `tcp_sacktag_one`
    fn arrive(&mut self, queue: &mut SentQueue, number: u64, news: &mut News) {
        let highest = self.arrived.end().unwrap_or(0);
        let len = queue.len_of(number);
        let Some(sent) = queue.get_mut(number) else { return };
        news.deliver(sent, len);
        news.is_sacked = true;
        if !sent.marks.contains(Marks::REPEATED) {
            news.sack_original(sent);
            if number < highest {
                // It was sent once, and others that were sent after it came first: it was overtaken.
                news.overtaken = Some(news.overtaken.map_or(number, |lowest| lowest.min(number)));
            }
        }
        if sent.marks.contains(Marks::LOST) {
            self.lost.sub(len);
            if sent.marks.contains(Marks::AGAIN) {
                self.again.sub(len);
                sent.marks.remove(Marks::AGAIN);
            }
        }
        sent.marks.remove(Marks::LOST);
        sent.marks |= Marks::SACKED;
        self.sacked.add(len);
    }

    /// SND.UNA has passed a segment of `len` bytes that is marked.
    pub(crate) fn forget(&mut self, marks: Marks, len: u32) {
        for (mark, amount) in
            [(Marks::SACKED, &mut self.sacked), (Marks::LOST, &mut self.lost), (Marks::AGAIN, &mut self.again)]
        {
            if marks.contains(mark) {
                amount.sub(len);
            }
        }
    }

    /// SND.UNA lies within a marked segment now, `bytes` further on.
    pub(crate) fn shorten(&mut self, marks: Marks, bytes: u32) {
        for (mark, amount) in
            [(Marks::SACKED, &mut self.sacked), (Marks::LOST, &mut self.lost), (Marks::AGAIN, &mut self.again)]
        {
            if marks.contains(mark) {
                amount.bytes = amount.bytes.saturating_sub(bytes);
            }
        }
    }

    /// Everything below `base` is acknowledged.
    pub(crate) fn release(&mut self, base: u64) {
        self.arrived.remove_below(base);
    }

    /// `tcp_mark_skb_lost`: a segment, or what it was sent again as, is lost.
    pub(crate) fn mark_lost(&mut self, queue: &mut SentQueue, number: u64, news: &mut News) {
        let len = queue.len_of(number);
        let Some(sent) = queue.get_mut(number) else { return };
        let (again, lost) = (sent.marks.contains(Marks::AGAIN), sent.marks.contains(Marks::LOST));
        if sent.marks.contains(Marks::SACKED) || (lost && !again) {
            return;
        }
        if again {
            sent.marks.remove(Marks::AGAIN);
            self.again.sub(len);
            news.lost_again += 1;
        }
        if !lost {
            sent.marks |= Marks::LOST;
            self.lost.add(len);
        }
        news.lost.add(len);
        self.due.push(Reverse(number));
    }

    /// The first segment that is lost and was not sent again.
    pub(crate) fn next_due(&mut self, queue: &SentQueue) -> Option<u64> {
        while let Some(&Reverse(number)) = self.due.peek() {
            if queue.get(number).is_some_and(|sent| sent.marks & Marks::COUNTED == Marks::LOST) {
                return Some(number);
            }
            self.due.pop();
        }
        None
    }

    /// Whether something is lost and was not sent again.
    #[inline]
    pub(crate) fn has_due(&self) -> bool {
        self.lost.segments > self.again.segments || !self.due.is_empty()
    }

    /// A segment is sent again; `timed` says whether its loss can be noticed by time.
    pub(crate) fn on_sent_again(&mut self, queue: &mut SentQueue, number: u64, timed: bool, now: Instant) {
        let len = queue.len_of(number);
        let Some(sent) = queue.get_mut(number) else { return };
        if !sent.marks.contains(Marks::AGAIN) {
            self.again.add(len);
        }
        sent.marks |= Marks::AGAIN | Marks::REPEATED;
        sent.sent_at = now;
        if timed {
            self.sent_again.push_back((number, now));
        }
    }

    /// RFC 8985 6.2 step 5: what was sent before `newest`, which has arrived, and did not arrive in the `window` since it
    /// was sent, is lost. Returns when the next one will be.
    pub(crate) fn detect(
        &mut self,
        queue: &mut SentQueue,
        newest: (Instant, SeqNumber),
        window: Duration,
        news: &mut News,
    ) -> Option<Instant> {
        let originals = self.detect_originals(queue, newest, window, news);
        let again = self.detect_sent_again(queue, newest, window, news);
        match (originals, again) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Those that were sent once were sent in the order of their numbers, so each is passed once.
    fn detect_originals(
        &mut self,
        queue: &mut SentQueue,
        newest: (Instant, SeqNumber),
        window: Duration,
        news: &mut News,
    ) -> Option<Instant> {
        let (base, end) = queue.numbers();
        self.examined = self.examined.max(base);
        while self.examined < end {
            let number = self.examined;
            let sent = queue.get(number)?;
            if sent.marks.contains(Marks::SACKED) {
                self.examined = self.arrived.containing(number).map_or(number + 1, |(_, end)| end);
                continue;
            }
            if !sent.marks.intersects(Marks::COUNTED) {
                if let Some(verdict) = judge(sent, newest, window, news.now) {
                    return verdict;
                }
                self.mark_lost(queue, number, news);
            }
            self.examined += 1;
        }
        None
    }

    fn detect_sent_again(
        &mut self,
        queue: &mut SentQueue,
        newest: (Instant, SeqNumber),
        window: Duration,
        news: &mut News,
    ) -> Option<Instant> {
        while let Some(&(number, at)) = self.sent_again.front() {
            let sent = queue
                .get(number)
                .filter(|sent| sent.marks & (Marks::AGAIN | Marks::SACKED) == Marks::AGAIN && sent.sent_at == at);
            if let Some(sent) = sent {
                if let Some(verdict) = judge(sent, newest, window, news.now) {
                    return verdict;
                }
                self.mark_lost(queue, number, news);
            }
            self.sent_again.pop_front();
        }
        None
    }

    /// `tcp_timeout_mark_lost`: everything is lost but what has arrived, and what `is_fresh`. A peer that has not
    /// acknowledged its own first block has thrown it away (RFC 2018 section 8): no block is believed any more. Says
    /// whether that is so.
    pub(crate) fn on_timeout(
        &mut self,
        queue: &mut SentQueue,
        is_fresh: impl Fn(&Sent) -> bool,
        news: &mut News,
    ) -> bool {
        let (base, end) = queue.numbers();
        let reneged = queue.get(base).is_some_and(|sent| sent.marks.contains(Marks::SACKED));
        for number in base..end {
            let Some(sent) = queue.get_mut(number) else { break };
            if reneged {
                sent.marks.remove(Marks::SACKED);
            }
            if number == base || !is_fresh(sent) {
                self.mark_lost(queue, number, news);
            }
        }
        if reneged {
            self.sacked = Amount::default();
            self.arrived.clear();
        }
        reneged
    }

    /// Nothing was lost after all.
    pub(crate) fn unmark_lost(&mut self, queue: &mut SentQueue) {
        let due = std::mem::take(&mut self.due).into_iter().map(|Reverse(number)| number);
        for number in due.chain(self.sent_again.iter().map(|&(number, _)| number)) {
            if let Some(sent) = queue.get_mut(number) {
                sent.marks.remove(Marks::LOST);
                self.examined = self.examined.min(number);
            }
        }
        self.lost = Amount::default();
    }

    /// Without SACK: so many duplicate acknowledgements stand for as many segments of `mss` bytes.
    pub(crate) fn set_duplicates(&mut self, segments: u32, mss: u32, out: u32) {
        self.sacked = Amount { segments, bytes: segments.saturating_mul(mss).min(out) };
    }

    /// Everything is acknowledged; memory is given back.
    pub(crate) fn clear(&mut self) {
        *self = Scoreboard { examined: self.examined, ..Scoreboard::default() };
    }

    /// The sums from the marks, for tests.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_matches(&self, queue: &SentQueue, duplicates: bool) {
        let (base, end) = queue.numbers();
        let sum = |mark: Marks| {
            let mut amount = Amount::default();
            (base..end)
                .filter(|&n| queue.get(n).expect("it is outstanding").marks.contains(mark))
                .for_each(|n| amount.add(queue.len_of(n)));
            amount
        };
        assert!(duplicates || self.sacked == sum(Marks::SACKED), "{:?}", self.sacked);
        assert_eq!((self.lost, self.again), (sum(Marks::LOST), sum(Marks::AGAIN)));
        let arrived: Vec<u64> = self.arrived.iter().flat_map(|(from, to)| from..to).collect();
        let marked: Vec<u64> =
            (base..end).filter(|&n| queue.get(n).expect("it is outstanding").marks.contains(Marks::SACKED)).collect();
        assert_eq!(arrived, marked);
        for n in base..end {
            let lost = queue.get(n).expect("it is outstanding").marks & Marks::COUNTED == Marks::LOST;
            assert!(!lost || self.due.iter().any(|due| due.0 == n), "{n} is forgotten");
        }
    }
}

/// Nothing when a segment is lost now; otherwise when it will be, or never.
fn judge(sent: &Sent, newest: (Instant, SeqNumber), window: Duration, now: Instant) -> Option<Option<Instant>> {
    if !is_sent_after(newest, (sent.sent_at, sent.end)) {
        return Some(None);
    }
    let lost_at = sent.sent_at.saturating_add(window);
    (lost_at > now).then_some(Some(lost_at))
}
