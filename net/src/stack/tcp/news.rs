//! What one acknowledgement has brought to light about the segments that were sent.

use crate::stack::tcp::sent_queue::{Marks, Sent};
use crate::stack::tcp::timestamps::{Timestamps, is_before};
use crate::wire::tcp::SeqNumber;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// So many segments, so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) segments: u32,
    pub(crate) bytes: u32,
}

impl Amount {
    #[inline]
    pub(crate) fn add(&mut self, bytes: u32) {
        self.segments += 1;
        self.bytes += bytes;
    }

    #[inline]
    pub(crate) fn sub(&mut self, bytes: u32) {
        self.segments = self.segments.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) now: Instant,
    /// What was out until now; RFC 5682 asks whether an original of it has arrived.
    high_seq: SeqNumber,
    min_rtt: Duration,
    /// Our clock, and its value that the peer has echoed; a block's echo tells nothing, for it is that of text in order.
    pub(crate) echo: Option<(Timestamps, u32)>,
    /// Newly known to have arrived.
    pub(crate) delivered: Amount,
    /// How many segments were acknowledged in order.
    pub(crate) acked_segments: u32,
    /// Newly taken for lost.
    pub(crate) lost: Amount,
    /// How many of those had been sent again.
    pub(crate) lost_again: u32,
    /// Something has newly arrived out of order (`FLAG_DATA_SACKED`).
    pub(crate) is_sacked: bool,
    /// Something that was sent once, before recovery, has arrived (`FLAG_ORIG_SACK_ACKED`).
    pub(crate) is_original: bool,
    /// Something that was sent more than once is acknowledged (`FLAG_RETRANS_DATA_ACKED`).
    pub(crate) is_repeated: bool,
    /// The peer has got something twice (RFC 2883).
    pub(crate) is_duplicate: bool,
    /// It echoes a mark of the network's (`FLAG_ECE`).
    pub(crate) is_echo: bool,
    /// When the first and the last were sent that are acknowledged and were sent once.
    pub(crate) acked: Option<(Instant, Instant)>,
    /// The same of those that have arrived out of order.
    pub(crate) sacked: Option<(Instant, Instant)>,
    /// The one that was sent last of all that have arrived.
    pub(crate) newest: Option<Sent>,
    /// The same without those that came too soon to be what was sent again: it was the original that came.
    pub(crate) newest_sure: Option<(Instant, SeqNumber)>,
    /// The lowest number of one that was sent once and has arrived behind others.
    pub(crate) overtaken: Option<u64>,
}

impl News {
    /// No news.
    #[inline]
    pub(crate) fn new(now: Instant, high_seq: SeqNumber, min_rtt: Duration) -> News {
        News {
            now,
            high_seq,
            min_rtt,
            echo: None,
            delivered: Amount::default(),
            acked_segments: 0,
            lost: Amount::default(),
            lost_again: 0,
            is_sacked: false,
            is_original: false,
            is_repeated: false,
            is_duplicate: false,
            is_echo: false,
            acked: None,
            sacked: None,
            newest: None,
            newest_sure: None,
            overtaken: None,
        }
    }

    /// `sent` has arrived.
    #[inline]
    pub(crate) fn deliver(&mut self, sent: &Sent, len: u32) {
        self.delivered.add(len);
        let at = (sent.sent_at, sent.end);
        if self.newest.is_none_or(|newest| is_sent_after(at, (newest.sent_at, newest.end))) {
            self.newest = Some(*sent);
        }
        let doubtful = sent.marks.contains(Marks::REPEATED) && self.is_too_soon(sent);
        if !doubtful && self.newest_sure.is_none_or(|newest| is_sent_after(at, newest)) {
            self.newest_sure = Some(at);
        }
    }

    /// RFC 8985 6.2 step 2: what has arrived is not the last copy, for it came sooner than any segment can, or its
    /// timestamp is older.
    #[cold]
    fn is_too_soon(&self, sent: &Sent) -> bool {
        let rtt = self.now.saturating_duration_since(sent.sent_at);
        let older = |&(ts, echo): &(Timestamps, u32)| echo != 0 && is_before(echo, ts.value(sent.sent_at));
        rtt < self.min_rtt || self.echo.as_ref().is_some_and(older)
    }

    /// One that was sent once, and had not arrived out of order, is acknowledged.
    #[inline]
    pub(crate) fn acknowledge_original(&mut self, sent: &Sent) {
        let (first, _) = self.acked.unwrap_or((sent.sent_at, sent.sent_at));
        self.acked = Some((first, sent.sent_at));
        self.is_original |= !sent.end.is_after(self.high_seq);
    }

    /// One that was sent once has arrived out of order.
    pub(crate) fn sack_original(&mut self, sent: &Sent) {
        let (first, _) = self.sacked.unwrap_or((sent.sent_at, sent.sent_at));
        self.sacked = Some((first, sent.sent_at));
        self.is_original |= !sent.end.is_after(self.high_seq);
    }
}

/// RFC 8985 5.2, `RACK_sent_after`: of two sent at once, the one that lies later in the stream was sent later.
#[inline]
pub(crate) fn is_sent_after((at, end): (Instant, SeqNumber), (other_at, other_end): (Instant, SeqNumber)) -> bool {
    at > other_at || (at == other_at && end.is_after(other_end))
}
