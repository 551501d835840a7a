//! What a connection remembers once something has gone amiss: marks of segments, and what is thought about them.
//!
//! Made with the first block, duplicate or timeout, so that a connection without trouble does not carry it.

use crate::stack::tcp::rack::Rack;
use crate::stack::tcp::scoreboard::Scoreboard;
use crate::wire::tcp::SeqNumber;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) board: Scoreboard,
    pub(crate) rack: Rack,
    pub(crate) undo: Undo,
    pub(crate) frto: Frto,
    /// The loss probe that is out.
    pub(crate) probe: Option<Probe>,
    /// How many segments the peer says it got twice (`dsack_dups`).
    pub(crate) duplicates: u32,
    /// How many segments were sent again, and how much text.
    pub(crate) total_retrans: u32,
    pub(crate) bytes_retrans: u64,
}

/// What tells that a recovery was for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undo {
    /// SND.UNA when it began.
    pub(crate) marker: Option<SeqNumber>,
    /// How many of the segments that were sent again are not known to have been needless; nothing before the first.
    pub(crate) retrans: Option<u32>,
    /// TSval of the first segment that was sent again (`retrans_stamp`).
    pub(crate) stamp: Option<u32>,
}

/// Forward RTO recovery (RFC 5682): was the timeout for nothing?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frto {
    /// Nobody asks.
    Off,
    /// The first acknowledgement after the timeout decides.
    On,
    /// It has advanced: new text is sent instead of old (step 2b).
    New,
    /// New text is out, and nothing else is sent: the next acknowledgement decides (step 3).
    Wait,
}

/// A tail loss probe (RFC 8985 section 7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// SND.NXT after it was sent (`TLP.end_seq`).
    pub(crate) end: SeqNumber,
    /// It was text that had been sent before (`TLP.is_retrans`).
    pub(crate) is_again: bool,
}

impl Loss {
    pub(crate) fn new() -> Loss {
        Loss {
            board: Scoreboard::default(),
            rack: Rack::new(),
            undo: Undo::default(),
            frto: Frto::Off,
            probe: None,
            duplicates: 0,
            total_retrans: 0,
            bytes_retrans: 0,
        }
    }

    /// Whether an acknowledgement of what was sent first changes nothing here but RACK's newest: no segment is marked, and no
    /// question is open. What was learned of the path, and what was counted, may be there.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.board.is_empty() && self.probe.is_none() && self.frto == Frto::Off && !self.rack.awaits_adaption()
    }

    /// Whether it is as one that is made anew; RACK's newest, which the next segment that arrives would replace, does not count.
    pub(crate) fn is_forgettable(&self) -> bool {
        let Undo { marker, retrans, stamp } = self.undo;
        let counted = (self.duplicates, self.total_retrans) != (0, 0);
        let undoes = marker.is_some() || retrans.is_some() || stamp.is_some();
        self.is_calm() && !counted && !undoes && self.rack.has_learned_nothing()
    }
}

/// What is being done about loss (`tcp_ca_state`), in Linux's order: what is greater is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CaState {
    /// Nothing is amiss.
    Open,
    /// Something has arrived out of order.
    Disorder,
    /// The network has marked a segment: the window goes down.
    Cwr,
    /// Something is lost: fast recovery, until what was out then is acknowledged.
    Recovery,
    /// After a timeout, until what was out then is acknowledged.
    Loss,
}
