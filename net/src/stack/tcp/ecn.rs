//! Explicit congestion notification (RFC 3168 section 6): marks of the network are echoed to their sender, and echoes taken
//! for a congestion that has lost nothing yet.

use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::{AckDue, Flags};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::loss::CaState;
use crate::stack::tcp::options::Features;
use crate::wire::tcp::TcpFlags;
use wakeline_runtime::clock::Instant;

/// This packet's ends know ECN.
const ECT_0: u8 = 0b10;
/// A router has seen congestion.
const CE: u8 = 0b11;

impl ControlBlock {
    /// What the IP header says of a segment with text (6.1.3; `tcp_ecn_accept_cwr`, `tcp_data_ecn_check`). The mark is
    /// echoed until the sender says that its window has shrunk.
    #[inline]
    pub(super) fn note_mark(&mut self, at: &Arrival<'_>) {
        if !self.features.contains(Features::ECN) {
            return;
        }
        if at.header.flags.contains(TcpFlags::CWR) {
            self.flags.remove(Flags::ECN_ECHO);
            // Its window may be a single segment now.
            self.ack = AckDue::Now;
        }
        match at.ecn {
            CE => {
                if !self.flags.contains(Flags::ECN_ECHO) {
                    self.quicken();
                }
                self.flags |= Flags::ECN_ECHO | Flags::ECN_SEEN;
            }
            // A peer that marked its segments and has not marked this one sends it again.
            0 if self.flags.contains(Flags::ECN_SEEN) => self.quicken(),
            0 => {}
            _ => self.flags |= Flags::ECN_SEEN,
        }
    }

    /// Whether an acknowledgement echoes a mark of one of our segments.
    #[inline]
    pub(super) fn is_echo(&self, flags: TcpFlags) -> bool {
        flags & (TcpFlags::ECE | TcpFlags::SYN) == TcpFlags::ECE && self.features.contains(Features::ECN)
    }

    /// The bits of a segment that is sent: what stands in its TCP header, and in its IP header. Only new text may be
    /// marked (6.1.5), and only it says that the window has shrunk.
    #[inline]
    pub(super) fn ecn_bits(&mut self, is_new_text: bool) -> (TcpFlags, u8) {
        let mut flags = TcpFlags::empty();
        if !self.features.contains(Features::ECN) {
            return (flags, 0);
        }
        flags.set(TcpFlags::ECE, self.flags.contains(Flags::ECN_ECHO));
        if is_new_text {
            flags.set(TcpFlags::CWR, self.flags.contains(Flags::CWR_DUE));
            self.flags.remove(Flags::CWR_DUE);
        }
        (flags, if is_new_text { ECT_0 } else { 0 })
    }

    /// `tcp_enter_cwr`: once for each window of data.
    pub(super) fn enter_cwr(&mut self, now: Instant) {
        if self.ca_state >= CaState::Cwr {
            return;
        }
        self.loss_mut().undo.marker = None;
        self.begin_reduction();
        self.congestion.on_ecn(now);
        self.ca_state = CaState::Cwr;
    }
}
