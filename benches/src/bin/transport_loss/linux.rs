//! Linux's figures: its TCP over the same link in the same conditions, measured once; not part of the run.

use wakeline::net::emulated::CongestionChoice;

/// Loss of data packets, in percent.
const LOSS: [f64; 7] = [0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0];
const CUBIC: [f64; 7] = [94.7, 89.8, 24.8, 9.6, 5.9, 3.9, 2.1];
const RENO: [f64; 7] = [94.6, 82.0, 23.2, 9.8, 6.1, 4.0, 2.4];
const BBR: [f64; 7] = [93.1, 93.0, 93.1, 92.2, 90.6, 91.3, 89.1];

/// Goodput in Mbit/s for each loss rate.
pub(crate) fn figures(choice: CongestionChoice) -> impl Iterator<Item = (f64, f64)> {
    let figures = match choice {
        CongestionChoice::Reno => RENO,
        CongestionChoice::Bbr => BBR,
        _ => CUBIC,
    };
    LOSS.into_iter().zip(figures)
}
