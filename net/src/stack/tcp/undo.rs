//! Recoveries that were for nothing: what was taken for lost had only been late.
//!
//! Three things tell: an echo from before the first segment was sent again (Eifel, RFC 3522), word that everything that was
//! sent again arrived twice (RFC 2883), and, after a timeout, an original that arrives (F-RTO, in `recovery`).

use crate::stack::counters::Mib;
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::Flags;
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::loss::{CaState, Frto};
use crate::stack::tcp::timestamps::is_before;

impl ControlBlock {
    /// `tcp_may_undo`
    fn may_undo(&self, at: &Arrival<'_>) -> bool {
        let Some(loss) = &self.loss else { return false };
        loss.undo.marker.is_some() && (loss.undo.retrans == Some(0) || self.is_delayed(at))
    }

    /// `tcp_packet_delayed`: what is acknowledged was sent before anything was sent again.
    fn is_delayed(&self, at: &Arrival<'_>) -> bool {
        let stamp = self.loss.as_ref().and_then(|loss| loss.undo.stamp);
        match (at.header.options.timestamps, stamp) {
            (Some((_, echo)), Some(stamp)) => echo != 0 && is_before(echo, stamp),
            _ => false,
        }
    }

    /// `tcp_undo_cwnd_reduction`
    fn undo_reduction(&mut self, at: &Arrival<'_>, unmark: bool) {
        let queue = &mut self.sent;
        if let Some(loss) = &mut self.loss {
            if unmark {
                loss.board.unmark_lost(queue);
            }
            loss.undo.marker = None;
            // What is lost after all is found again.
            loss.rack.is_advanced = true;
        }
        self.flags.remove(Flags::CWR_DUE);
        self.congestion.undo(at.now);
    }

    /// Everything that was out when recovery began is acknowledged. Without SACK the state is held until more is, lest
    /// duplicates of that be taken for a new loss (RFC 6582 section 4); says whether so.
    pub(super) fn try_undo_recovery(&mut self, at: &mut Arrival<'_>) -> bool {
        if self.may_undo(at) {
            let in_loss = self.ca_state == CaState::Loss;
            at.counters.count(if in_loss { Mib::TcpExtTCPLossUndo } else { Mib::TcpExtTCPFullUndo });
            self.undo_reduction(at, false);
        } else if let Some(loss) = &mut self.loss {
            loss.rack.on_recovered();
        }
        if self.snd_una == self.high_seq && !self.has_sack() {
            return true;
        }
        self.ca_state = CaState::Open;
        if let Some(loss) = &mut self.loss {
            loss.frto = Frto::Off;
        }
        false
    }

    /// Everything that was sent again arrived twice.
    pub(super) fn try_undo_duplicates(&mut self, at: &mut Arrival<'_>) -> bool {
        let all = self.loss.as_ref().is_some_and(|loss| loss.undo.marker.is_some() && loss.undo.retrans == Some(0));
        if all {
            self.undo_reduction(at, false);
            at.counters.count(Mib::TcpExtTCPDSACKUndo);
        }
        all
    }

    /// After a timeout; `by_frto` says that RFC 5682 tells it.
    pub(super) fn try_undo_loss(&mut self, at: &mut Arrival<'_>, by_frto: bool) -> bool {
        if !by_frto && !self.may_undo(at) {
            return false;
        }
        self.undo_reduction(at, true);
        at.counters.count(Mib::TcpExtTCPLossUndo);
        if by_frto {
            at.counters.count(Mib::TcpExtTCPSpuriousRTOs);
        }
        self.retries = 0;
        if by_frto || self.has_sack() {
            self.ca_state = CaState::Open;
            self.loss_mut().frto = Frto::Off;
        }
        true
    }

    /// An acknowledgement within recovery is of an original: reordering reaches further than was thought
    /// (`tcp_try_undo_partial`). Linux holds back retransmissions while one is out; here what is lost already still goes,
    /// as the window allows, which costs a copy or two more of what was only late.
    pub(super) fn try_undo_partial(&mut self, at: &mut Arrival<'_>) -> bool {
        let delayed = self.is_delayed(at);
        let Some(loss) = self.loss.as_mut().filter(|loss| loss.undo.marker.is_some() && delayed) else { return false };
        loss.rack.reordering_seen = loss.rack.reordering_seen.saturating_add(1);
        if loss.board.again.segments > 0 {
            // While something is out again nothing more is taken for lost.
            return true;
        }
        at.counters.count(Mib::TcpExtTCPPartialUndo);
        self.undo_reduction(at, true);
        self.keep_open();
        true
    }
}
