//! What is done about loss: the states of `tcp_fastretrans_alert`, and F-RTO (RFC 5682).
//!
//! With SACK, RACK (RFC 8985) tells what is lost; without it, duplicates do (RFC 5681, RFC 6582).

use crate::stack::counters::{Counters, Mib};
use crate::stack::tcp::acknowledge::Before;
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::{Flags, Timer};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::loss::{CaState, Frto, Loss, Undo};
use crate::stack::tcp::news::News;
use crate::stack::tcp::options::Features;
use crate::stack::tcp::sent_queue::{Marks, Sent};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// How long a peer is given that has not acknowledged its own first block, before that is taken for lost
/// (`tcp_check_sack_reneging`).
const RENEGING_MIN: Duration = Duration::from_millis(10);

impl ControlBlock {
    /// Everything that is remembered about loss, from now on.
    pub(super) fn loss_mut(&mut self) -> &mut Loss {
        self.loss.get_or_insert_with(|| Box::new(Loss::new()))
    }

    pub(super) fn has_sack(&self) -> bool {
        self.features.contains(Features::SACK)
    }

    /// After an acknowledgement, when something is amiss or was. Says whether it has set the timer itself.
    #[cold]
    pub(super) fn look_for_loss(&mut self, at: &mut Arrival<'_>, before: &Before, news: &mut News) -> bool {
        let timer = (self.timer, self.timer_at);
        self.update_rack(at, news);
        self.settle_probe(at, before, news);
        let fields = before.is_duplicate || news.is_sacked || news.is_duplicate || news.is_echo;
        let dubious = fields || self.ca_state != CaState::Open;
        if dubious {
            self.react(at, before, news);
        }
        self.timer == Timer::Reorder && (self.timer, self.timer_at) != timer
    }

    fn update_rack(&mut self, at: &mut Arrival<'_>, news: &News) {
        let delivered = self.delivery.delivered;
        let Some(loss) = &mut self.loss else { return };
        if let Some(newest) = news.newest_sure {
            loss.rack.advance(newest, at.now);
        }
        if let Some(overtaken) = news.overtaken.filter(|_| !news.is_repeated) {
            let distance = loss.board.highest(self.sent.numbers().0).saturating_sub(overtaken + 1);
            if loss.rack.on_reordering(distance) {
                at.counters.count(Mib::TcpExtTCPSACKReorder);
            }
        }
        if let Some(newest) = &news.newest {
            loss.rack.adapt(newest.progress.delivered, delivered);
        }
    }

    /// `tcp_fastretrans_alert`, by its letters.
    fn react(&mut self, at: &mut Arrival<'_>, before: &Before, news: &mut News) {
        // B. Reneging.
        if self.is_reneging(before, at.now) {
            return;
        }
        // D. The end of a state: everything is acknowledged that was out when it began.
        let over = !self.snd_una.is_before(self.high_seq);
        match self.ca_state {
            CaState::Open => {
                if let Some(loss) = &mut self.loss {
                    loss.undo.stamp = None;
                }
            }
            CaState::Cwr if over && self.snd_una != self.high_seq => {
                self.congestion.on_recovery_exit(at.now);
                self.ca_state = CaState::Open;
            }
            CaState::Recovery if over => {
                if self.try_undo_recovery(at) {
                    return;
                }
                self.congestion.on_recovery_exit(at.now);
            }
            _ => {}
        }
        // E. In each state.
        match self.ca_state {
            CaState::Recovery => self.in_recovery(at, before, news),
            CaState::Loss => self.in_loss(at, before, news),
            CaState::Open | CaState::Disorder | CaState::Cwr => self.in_order(at, before, news),
        }
    }

    fn in_recovery(&mut self, at: &mut Arrival<'_>, before: &Before, news: &mut News) {
        if before.is_advancing && self.try_undo_partial(at) {
            return;
        }
        if self.try_undo_duplicates(at) {
            self.try_to_open(at.now, news.is_echo);
        }
        self.identify_loss(before, news, at.counters);
        if self.ca_state != CaState::Recovery && self.has_loss() {
            self.enter_recovery(at.now, news.is_echo, at.counters);
        }
    }

    fn in_loss(&mut self, at: &mut Arrival<'_>, before: &Before, news: &mut News) {
        self.process_loss(at, before, news);
        self.identify_loss(before, news, at.counters);
        if self.ca_state == CaState::Open || news.lost_again > 0 {
            self.in_order_after_look(at, news);
        }
    }

    fn in_order(&mut self, at: &mut Arrival<'_>, before: &Before, news: &mut News) {
        if self.ca_state <= CaState::Disorder {
            self.try_undo_duplicates(at);
        }
        self.identify_loss(before, news, at.counters);
        self.in_order_after_look(at, news);
    }

    fn in_order_after_look(&mut self, at: &mut Arrival<'_>, news: &News) {
        if self.has_loss() {
            self.enter_recovery(at.now, news.is_echo, at.counters);
        } else {
            self.try_to_open(at.now, news.is_echo);
        }
    }

    /// `tcp_time_to_recover`
    fn has_loss(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| loss.board.lost.segments > 0)
    }

    /// `tcp_identify_packet_loss`
    fn identify_loss(&mut self, before: &Before, news: &mut News, counters: &mut Counters) {
        if self.sent.is_empty() {
            return;
        }
        if self.has_sack() {
            self.detect_by_time(news, counters);
        } else {
            self.detect_by_duplicates(before, news);
        }
    }

    /// RFC 8985 6.2 steps 4 and 5 (`tcp_rack_mark_lost`). What may still come is waited for.
    pub(super) fn detect_by_time(&mut self, news: &mut News, counters: &mut Counters) {
        let in_recovery = self.ca_state >= CaState::Recovery;
        let min_rtt = self.min_rtt.get().unwrap_or_default();
        let srtt = self.rtt.srtt().unwrap_or_default();
        let Some(loss) = &mut self.loss else { return };
        let Some(newest) = loss.rack.newest.filter(|_| loss.rack.is_advanced) else { return };
        loss.rack.is_advanced = false;
        let window = loss.rack.rtt + loss.rack.window(loss.board.sacked.segments, in_recovery, min_rtt, srtt);
        let next = loss.board.detect(&mut self.sent, newest, window, news);
        for _ in 0..news.lost_again {
            counters.count(Mib::TcpExtTCPLostRetransmit);
        }
        if let Some(next) = next {
            (self.timer, self.timer_at) = (Timer::Reorder, next);
        }
    }

    /// `tcp_newreno_mark_lost`: three duplicates tell that the first segment is lost, and in recovery an acknowledgement
    /// that does not cover everything (RFC 6582 3.2 step 3).
    fn detect_by_duplicates(&mut self, before: &Before, news: &mut News) {
        let state = self.ca_state;
        let Some(loss) = &mut self.loss else { return };
        let many = loss.board.sacked.segments >= loss.rack.reordering;
        let lost = (state < CaState::Recovery && many) || (state == CaState::Recovery && before.is_advancing);
        if lost {
            let (first, _) = self.sent.numbers();
            loss.board.mark_lost(&mut self.sent, first, news);
        }
    }

    /// `tcp_enter_recovery`
    pub(super) fn enter_recovery(&mut self, now: Instant, is_echo: bool, counters: &mut Counters) {
        counters.count(if self.has_sack() { Mib::TcpExtTCPSackRecovery } else { Mib::TcpExtTCPRenoRecovery });
        self.begin_undo();
        if !matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            self.begin_reduction();
            if is_echo {
                self.congestion.on_ecn(now);
            } else {
                self.congestion.on_congestion_event(now);
            }
        }
        self.ca_state = CaState::Recovery;
    }

    /// `tcp_init_cwnd_reduction`, as far as it is not the window's.
    pub(super) fn begin_reduction(&mut self) {
        self.high_seq = self.snd_nxt;
        self.loss_mut().probe = None;
        self.flags |= Flags::CWR_DUE;
    }

    /// `tcp_init_undo`
    fn begin_undo(&mut self) {
        let una = self.snd_una;
        let loss = self.loss_mut();
        let retrans = Some(loss.board.again.segments).filter(|&segments| segments > 0);
        loss.undo = Undo { marker: Some(una), retrans, ..loss.undo };
    }

    /// `tcp_try_to_open`, `tcp_try_keep_open`
    fn try_to_open(&mut self, now: Instant, is_echo: bool) {
        let any_again = self.is_anything_out_again();
        if let Some(loss) = self.loss.as_mut().filter(|_| !any_again) {
            loss.undo.stamp = None;
        }
        if is_echo {
            self.enter_cwr(now);
        }
        if self.ca_state != CaState::Cwr {
            self.keep_open();
        }
    }

    pub(super) fn keep_open(&mut self) {
        let amiss = self.loss.as_ref().is_some_and(|loss| !loss.board.is_clear()) || self.is_anything_out_again();
        let state = if amiss { CaState::Disorder } else { CaState::Open };
        if state != self.ca_state {
            self.ca_state = state;
            self.high_seq = self.snd_nxt;
        }
    }

    /// `tcp_any_retrans_done`
    pub(super) fn is_anything_out_again(&self) -> bool {
        let again = self.loss.as_ref().is_some_and(|loss| loss.board.again.segments > 0);
        again || self.sent.front().is_some_and(|(_, head)| head.marks.contains(Marks::REPEATED))
    }

    /// A peer that has not acknowledged its own first block has perhaps thrown it away; it is given a moment, then the
    /// timeout forgets all blocks (`tcp_check_sack_reneging`).
    fn is_reneging(&mut self, before: &Before, now: Instant) -> bool {
        let first = self.sent.front().is_some_and(|(_, head)| head.marks.contains(Marks::SACKED));
        if !first || !before.is_advancing {
            return false;
        }
        let wait = (self.rtt.srtt().unwrap_or_default() / 2).max(RENEGING_MIN);
        (self.timer, self.timer_at) = (Timer::Retransmit, now.saturating_add(wait));
        true
    }

    // After a timeout.

    /// RFC 6298 (5.4) to (5.6), RFC 5681 3.1, `tcp_enter_loss`: everything is lost that RACK does not know to be too young
    /// for it.
    pub(super) fn enter_loss(&mut self, now: Instant, counters: &mut Counters) {
        let new_recovery = self.ca_state < CaState::Recovery;
        let again_in_loss = self.ca_state == CaState::Loss && self.retries > 1;
        let reduce = self.ca_state <= CaState::Disorder
            || !self.high_seq.is_after(self.snd_una)
            || (self.ca_state == CaState::Loss && !again_in_loss);
        let mut news = News::new(now, self.high_seq, Duration::ZERO);
        let fresh = self.freshness(now);
        let has_sack = self.has_sack();
        let loss = self.loss.get_or_insert_with(|| Box::new(Loss::new()));
        if !has_sack {
            loss.board.set_duplicates(0, 0, 0);
        }
        if loss.board.on_timeout(&mut self.sent, fresh, &mut news) {
            counters.count(Mib::TcpExtTCPSACKReneging);
        }
        loss.frto = if new_recovery || self.retries > 1 { Frto::On } else { Frto::Off };
        loss.probe = None;
        if reduce {
            self.begin_undo();
        }
        self.congestion.on_timeout(now, reduce);
        self.flags |= Flags::CWR_DUE;
        self.ca_state = CaState::Loss;
        self.high_seq = self.snd_nxt;
    }

    /// What was sent so recently that even RACK would wait for it.
    fn freshness(&self, now: Instant) -> impl Fn(&Sent) -> bool + use<> {
        let rack =
            self.loss.as_ref().filter(|_| self.has_sack()).and_then(|loss| loss.rack.newest.map(|_| loss.rack.rtt));
        move |sent| rack.is_some_and(|rtt| sent.sent_at.saturating_add(rtt) > now)
    }

    /// `tcp_process_loss`, with RFC 5682 3.1 in its form with SACK.
    fn process_loss(&mut self, at: &mut Arrival<'_>, before: &Before, news: &News) {
        let over = !self.snd_una.is_before(self.high_seq);
        if before.is_advancing && self.try_undo_loss(at, false) {
            return;
        }
        let frto = self.loss_mut().frto;
        if frto != Frto::Off {
            // Step 3b: an original has arrived, so not everything was lost.
            if news.is_original && self.try_undo_loss(at, true) {
                return;
            }
            if self.snd_nxt.is_after(self.high_seq) {
                if news.is_sacked || before.is_duplicate {
                    // Step 3a: the loss was real.
                    self.loss_mut().frto = Frto::Off;
                }
            } else if before.is_advancing && !over {
                // Step 2b, if there is new text and room for it.
                self.high_seq = self.snd_nxt;
                let can = self.has_unsent() && (self.snd_una + self.snd_wnd).is_after(self.snd_nxt);
                self.loss_mut().frto = if can { Frto::New } else { Frto::Off };
                return;
            }
            let loss = self.loss_mut();
            loss.frto = if loss.frto == Frto::Off { Frto::Off } else { Frto::On };
        }
        if over {
            // Step 2a.
            self.try_undo_recovery(at);
            self.congestion.on_recovery_exit(at.now);
        }
    }
}
