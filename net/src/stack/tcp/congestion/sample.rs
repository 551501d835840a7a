//! What the control block tells congestion control about one acknowledgement, and about one transmission.

use crate::wire::tcp::SeqNumber;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What one acknowledgement has brought. Bytes are bytes of text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    pub(crate) now: Instant,
    /// How far SND.UNA has advanced.
    pub(crate) acked: u32,
    /// What is newly known to have arrived, acknowledged or selectively acknowledged (RFC 6937's `DeliveredData`);
    /// without SACK a segment for each duplicate acknowledgement, and not again when that is acknowledged.
    pub(crate) delivered: u32,
    /// What is newly taken for lost.
    pub(crate) lost: u32,
    /// The pipe (RFC 6675) before this acknowledgement and after it.
    pub(crate) prior_in_flight: u32,
    pub(crate) in_flight: u32,
    /// The round trip of the newest segment that has arrived, if that was sent only once.
    pub(crate) rtt: Option<Duration>,
    pub(crate) srtt: Option<Duration>,
    /// SND.UNA and SND.NXT after this acknowledgement; algorithms count rounds by them.
    pub(crate) una: SeqNumber,
    pub(crate) nxt: SeqNumber,
    /// How fast text has arrived lately, if the segments' records tell.
    pub(crate) rate: Option<RateSample>,
}

/// How much has arrived in which time: a sample of the delivery rate (draft-cheng-iccrg-delivery-rate-estimation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// Bytes delivered between the sending of the newest delivered segment and now.
    pub(crate) delivered: u64,
    /// In which time: the longer of sending and acknowledging them.
    pub(crate) interval: Duration,
    /// The connection's count of delivered bytes when that segment was sent, and now.
    pub(crate) prior_delivered: u64,
    pub(crate) total_delivered: u64,
    /// Whether the program, not the path, set the pace.
    pub(crate) is_app_limited: bool,
}

/// What has been sent. One call for each segment with text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transmitted {
    pub(crate) now: Instant,
    pub(crate) len: u32,
    /// The pipe, this segment included.
    pub(crate) in_flight: u32,
    /// How long nothing had been sent before it.
    pub(crate) idle: Duration,
    pub(crate) una: SeqNumber,
    pub(crate) nxt: SeqNumber,
}
