//! The names of the algorithms, as TCP_CONGESTION has them.

use std::fmt;

/// Which algorithm decides about a connection's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionChoice {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// NewReno (RFC 5681, RFC 6582): one segment more a round trip, half at a loss.
    Reno,
    /// BBR, version 1: paced by the measured bandwidth, and hardly disturbed by loss.
    Bbr,
}

impl CongestionChoice {
    /// All of them, in the order of `tcp_available_congestion_control`.
    pub const ALL: &'static [CongestionChoice] =
        &[CongestionChoice::Reno, CongestionChoice::Cubic, CongestionChoice::Bbr];

    /// Linux's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CongestionChoice::Cubic => "cubic",
            CongestionChoice::Reno => "reno",
            CongestionChoice::Bbr => "bbr",
        }
    }

    /// The one of that name, if there is one.
    #[must_use]
    pub fn by_name(name: &str) -> Option<CongestionChoice> {
        CongestionChoice::ALL.iter().copied().find(|choice| choice.name() == name)
    }
}

impl fmt::Display for CongestionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
