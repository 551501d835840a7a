//! What two ends agree on in their SYNs: segment size and window scale.

use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::wire::tcp::TcpHeader;
use crate::wire::tcp_options::TcpOptions;

/// What this end offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// The largest text that we take (RFC 9293 3.7.1).
    pub(crate) mss: u16,
    pub(crate) rcvbuf: u32,
    pub(crate) sndbuf: u32,
    pub(crate) out_of_order_max: u32,
    pub(crate) congestion: CongestionChoice,
}

/// The shift that we offer (RFC 7323 2.3), enough for a window of 8 MiB. Linux's with its default buffers.
pub(crate) const WINDOW_SCALE: u8 = 7;

impl Offer {
    /// The window in our SYN, which is never scaled (RFC 7323 2.2).
    pub(crate) fn syn_window(&self) -> u16 {
        syn_window(self.rcvbuf)
    }
}

/// The window in the SYN of a connection with this receive buffer.
pub(crate) fn syn_window(rcvbuf: u32) -> u16 {
    u16::try_from(rcvbuf / 2).unwrap_or(u16::MAX)
}

/// The options of our SYN; those of a SYN-ACK only hold a window scale when the peer's SYN did.
pub(crate) fn syn_options(mss: u16, window_scale: bool) -> TcpOptions {
    TcpOptions { mss: Some(mss), window_scale: window_scale.then_some(WINDOW_SCALE), ..TcpOptions::default() }
}

/// What the peer's SYN says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The largest text that we send.
    pub(crate) snd_mss: u16,
    /// How the peer scales its window; `None` when it does not scale, and then we must not either.
    pub(crate) snd_wscale: Option<u8>,
}

/// RFC 9293 3.7.1: what a peer can take that does not say.
const DEFAULT_MSS: u16 = 536;
/// `tcp_min_snd_mss`: a peer that asks for less wants us to waste our time.
const MIN_MSS: u16 = 48;

impl Agreed {
    /// Reads the peer's SYN or SYN-ACK.
    pub(crate) fn new(our_mss: u16, syn: &TcpHeader) -> Agreed {
        let mss = syn.options.mss.unwrap_or(DEFAULT_MSS);
        Agreed { snd_mss: mss.min(our_mss).max(MIN_MSS), snd_wscale: syn.options.window_scale }
    }
}
