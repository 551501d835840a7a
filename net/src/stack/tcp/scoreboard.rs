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
    /// What was sent more than once and is under way, in the order of time; here, too, entries may be stale.
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

    /// Whether it is [clear](Self::is_clear), and no table has an entry either.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_clear() && self.arrived.first().is_none() && self.due.is_empty() && self.sent_again.is_empty()
    }

    /// The number after the highest that has arrived out of order; `base` when none has.
    pub(crate) fn highest(&self, base: u64) -> u64 {
        self.arrived.end().unwrap_or(base).max(base)
    }

    /// A block says that everything from `from` to `to` has arrived. What it covers only in part does not count.
    pub(crate) fn take_block(&mut self, queue: &mut SentQueue, from: SeqNumber, to: SeqNumber, news: &mut News) {
        let first = queue.ending_after(from);
        let first = if queue.start_of(first).is_before(from) { first + 1 } else { first };
        let last = queue.ending_by(to);
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
        let Some(sent) = queue.get_mut(number).filter(|_| len > 0) else { return };
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
        while self.due.peek().is_some_and(|&Reverse(number)| number < base) {
            self.due.pop();
        }
        while self.sent_again.front().is_some_and(|&(number, _)| number < base) {
            self.sent_again.pop_front();
        }
    }

    /// `tcp_mark_skb_lost`: a segment, or what it was sent again as, is lost.
    pub(crate) fn mark_lost(&mut self, queue: &mut SentQueue, number: u64, news: &mut News) {
        let len = queue.len_of(number);
        let Some(sent) = queue.get_mut(number).filter(|_| len > 0) else { return };
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

    /// `tcp_collapse_retrans`: the next segment, which has not arrived, becomes part of this one, and is what this one is.
    /// Where `duplicates` are counted, one may have stood for it.
    pub(crate) fn join_next(&mut self, queue: &mut SentQueue, number: u64, duplicates: bool) {
        let (Some(first), Some(next)) = (queue.get(number), queue.get(number + 1)) else { return };
        let (marks, len) = (first.marks, queue.len_of(number + 1));
        self.forget(next.marks, len);
        for (mark, amount) in [(Marks::LOST, &mut self.lost), (Marks::AGAIN, &mut self.again)] {
            if marks.contains(mark) {
                amount.bytes += len;
            }
        }
        if duplicates {
            self.sacked.sub(len);
        }
        queue.join_next(number);
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
            if !sent.marks.intersects(Marks::TROUBLED) {
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
            let sent = queue.get(number).filter(|sent| is_under_way(sent.marks) && sent.sent_at == at);
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
            self.arrived.clear();
            self.sacked = Amount::default();
            self.rebuild(queue);
        }
        reneged
    }

    /// Nothing was lost after all.
    pub(crate) fn unmark_lost(&mut self, queue: &mut SentQueue) {
        for &(number, _) in &self.sent_again {
            if let Some(sent) = queue.get_mut(number) {
                sent.marks.remove(Marks::LOST);
            }
        }
        for Reverse(number) in std::mem::take(&mut self.due) {
            let Some(sent) = queue.get_mut(number) else { continue };
            if sent.marks & Marks::COUNTED == Marks::LOST && sent.marks.contains(Marks::REPEATED) {
                self.sent_again.push_back((number, sent.sent_at));
            }
            sent.marks.remove(Marks::LOST);
            self.examined = self.examined.min(number);
        }
        self.sent_again.make_contiguous().sort_by_key(|&(_, at)| at);
        self.lost = Amount::default();
    }

    /// The tables and sums anew from the marks: all numbers have changed. What was sent again is taken to be sent in the
    /// order of its numbers, if at the same moment.
    pub(crate) fn rebuild(&mut self, queue: &SentQueue) {
        let duplicates = if self.arrived.first().is_none() { self.sacked } else { Amount::default() };
        self.clear();
        let (base, end) = queue.numbers();
        self.examined = base;
        for number in base..end {
            let Some(sent) = queue.get(number) else { break };
            let len = queue.len_of(number);
            for (mark, amount) in
                [(Marks::SACKED, &mut self.sacked), (Marks::LOST, &mut self.lost), (Marks::AGAIN, &mut self.again)]
            {
                if sent.marks.contains(mark) {
                    amount.add(len);
                }
            }
            if sent.marks.contains(Marks::SACKED) {
                self.arrived.insert(number, number + 1);
            } else if is_under_way(sent.marks) && sent.marks.contains(Marks::REPEATED) {
                self.sent_again.push_back((number, sent.sent_at));
            } else if sent.marks.contains(Marks::LOST) {
                self.due.push(Reverse(number));
            }
        }
        self.sent_again.make_contiguous().sort_by_key(|&(_, at)| at);
        if self.sacked.segments == 0 {
            self.sacked = duplicates;
        }
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
        let arrived = self.arrived.iter().flat_map(|(from, to)| from..to);
        let arrived: Vec<u64> = arrived.filter(|&n| queue.len_of(n) > 0).collect();
        let marked: Vec<u64> =
            (base..end).filter(|&n| queue.get(n).expect("it is outstanding").marks.contains(Marks::SACKED)).collect();
        assert_eq!(arrived, marked);
        for n in base..end {
            let lost = queue.get(n).expect("it is outstanding").marks & Marks::COUNTED == Marks::LOST;
            assert!(!lost || self.due.iter().any(|due| due.0 == n), "{n} is forgotten");
        }
    }
}

/// Whether the last copy of a segment may still arrive.
fn is_under_way(marks: Marks) -> bool {
    !marks.contains(Marks::SACKED) && (marks.contains(Marks::AGAIN) || !marks.contains(Marks::LOST))
}

/// Nothing when a segment is lost now; otherwise when it will be, or never.
fn judge(sent: &Sent, newest: (Instant, SeqNumber), window: Duration, now: Instant) -> Option<Option<Instant>> {
    if !is_sent_after(newest, (sent.sent_at, sent.end)) {
        return Some(None);
    }
    let lost_at = sent.sent_at.saturating_add(window);
    (lost_at > now).then_some(Some(lost_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::tcp::sent_queue::Progress;
    use proptest::prelude::*;

    const START: SeqNumber = SeqNumber(u32::MAX - 3000);

    fn at(ms: u64) -> Instant {
        Instant::from_virtual_ns(ms * 1_000_000)
    }

    /// A queue and its scoreboard, driven as a control block drives them.
    struct Bench {
        queue: SentQueue,
        board: Scoreboard,
        una: SeqNumber,
        nxt: SeqNumber,
        ms: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let (queue, board) = (SentQueue::new(START), Scoreboard::default());
            Bench { queue, board, una: START, nxt: START, ms: 0 }
        }

        fn news(&self) -> News {
            News::new(at(self.ms), self.nxt, Duration::ZERO)
        }

        fn send(&mut self, len: u32) {
            self.nxt = self.nxt + len;
            let progress = Progress { delivered: 0, delivered_at: at(0), first_sent_at: at(0) };
            self.queue.push(Sent { end: self.nxt, marks: Marks::empty(), sent_at: at(self.ms), progress });
        }

        /// As `settle_records` does it.
        fn acknowledge(&mut self, ack: SeqNumber) {
            while let Some((start, front)) = self.queue.front() {
                let (end, marks) = (front.end, front.marks);
                if end.is_after(ack) {
                    self.board.shorten(marks, ack - start);
                    self.queue.trim_front(ack);
                    break;
                }
                self.queue.pop_front();
                self.board.forget(marks, end - start);
            }
            self.una = ack;
            self.board.release(self.queue.numbers().0);
            if self.queue.is_empty() {
                self.board.clear();
            }
        }

        fn resend(&mut self, number: u64) {
            self.board.on_sent_again(&mut self.queue, number, true, at(self.ms));
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send(u32),
        Acknowledge(u32),
        Block(u32, u32),
        Detect(u64),
        Resend(usize),
        ResendJoint(usize),
        ResendLast,
        Timeout(u64),
        Undo,
        Cut(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1u32..150).prop_map(Step::Send),
            2 => (0u32..400).prop_map(Step::Acknowledge),
            6 => (0u32..3000, 0u32..800).prop_map(|(from, len)| Step::Block(from, len)),
            3 => (0u64..30).prop_map(Step::Detect),
            3 => (1usize..5).prop_map(Step::Resend),
            2 => (1usize..5).prop_map(Step::ResendJoint),
            1 => Just(Step::ResendLast),
            1 => (0u64..30).prop_map(Step::Timeout),
            1 => Just(Step::Undo),
            1 => (20u32..100).prop_map(Step::Cut),
        ]
    }

    proptest! {
        /// The tables and sums are always those of the marks, nothing that is lost is forgotten, and what is delivered
        /// is delivered once.
        #[test]
        fn tables_follow_the_marks(steps in prop::collection::vec(step(), 1..150)) {
            let mut bench = Bench::new();
            for step in steps {
                bench.ms += 3;
                let out = bench.nxt - bench.una;
                let mut news = bench.news();
                match step {
                    Step::Send(len) => bench.send(len),
                    Step::Acknowledge(n) => bench.acknowledge(bench.una + n.min(out)),
                    Step::Block(from, len) => {
                        let (from, to) = (bench.una + from, bench.una + from + len);
                        if from.is_before(to) && !to.is_after(bench.nxt) {
                            let before = bench.board.sacked;
                            bench.board.take_block(&mut bench.queue, from, to, &mut news);
                            prop_assert_eq!(bench.board.sacked.bytes - before.bytes, news.delivered.bytes);
                            bench.board.take_block(&mut bench.queue, from, to, &mut news);
                            prop_assert_eq!(bench.board.sacked.bytes - before.bytes, news.delivered.bytes);
                        }
                    }
                    Step::Detect(window) => {
                        let newest = (at(bench.ms), bench.nxt);
                        let window = Duration::from_millis(window);
                        let next = bench.board.detect(&mut bench.queue, newest, window, &mut news);
                        prop_assert!(next.is_none_or(|next| next > at(bench.ms)));
                        // Nobody is overdue. What was cut has its place among what was sent again by its time alone.
                        let (base, end) = bench.queue.numbers();
                        for number in base..end {
                            let sent = bench.queue.get(number).unwrap();
                            let under_way = !sent.marks.intersects(Marks::SACKED) && (!sent.marks.contains(Marks::LOST) || sent.marks.contains(Marks::AGAIN));
                            let under_way = under_way && bench.queue.len_of(number) > 0;
                            prop_assert!(!under_way || sent.sent_at.saturating_add(window) > at(bench.ms), "{}", number);
                        }
                    }
                    Step::Resend(n) => {
                        for _ in 0..n {
                            if let Some(number) = bench.board.next_due(&bench.queue) {
                                bench.resend(number);
                            }
                        }
                    }
                    Step::ResendJoint(n) => {
                        let Some(first) = bench.board.next_due(&bench.queue) else { continue };
                        let open = |queue: &SentQueue, number| {
                            queue.next_alone(number).is_some_and(|next| !next.marks.contains(Marks::SACKED))
                        };
                        let last = (first..first + n as u64).find(|&number| !open(&bench.queue, number));
                        let last = last.unwrap_or(first + n as u64);
                        let (start, end) = (bench.queue.start_of(first), bench.queue.get(last).unwrap().end);
                        (first..last).for_each(|number| bench.board.join_next(&mut bench.queue, number, false));
                        prop_assert_eq!((bench.queue.start_of(last), bench.queue.get(last).unwrap().end), (start, end));
                        bench.resend(last);
                    }
                    Step::ResendLast => {
                        let (base, end) = bench.queue.numbers();
                        if base != end && !bench.queue.get(end - 1).unwrap().marks.contains(Marks::SACKED) {
                            bench.resend(end - 1);
                        }
                    }
                    Step::Timeout(fresh) => {
                        let fresh = at(bench.ms.saturating_sub(fresh));
                        bench.board.on_timeout(&mut bench.queue, |sent| sent.sent_at > fresh, &mut news);
                    }
                    Step::Undo => bench.board.unmark_lost(&mut bench.queue),
                    Step::Cut(most) => {
                        bench.queue.cut(most);
                        bench.board.rebuild(&bench.queue);
                    }
                }
                bench.board.assert_matches(&bench.queue, false);
                let out = bench.nxt - bench.una;
                prop_assert!(bench.board.in_flight(out) <= 2 * out);
                prop_assert_eq!(bench.queue.is_empty(), out == 0);
            }
        }
    }
}
