//! Linux's figures: its TCP over the same link in the same conditions; constants, not part of the run.

use wakeline::net::emulated::CongestionChoice;

/// Goodput in Mbit/s at one loss rate.
pub(crate) struct Linux {
    /// Of data packets, in percent.
    pub(crate) loss: f64,
    /// The mean of four runs of a minute by Linux 6.18.44, by [`kernel`](crate::kernel); none was made for BBR.
    pub(crate) mean: Option<f64>,
    /// A single finite run, made elsewhere.
    pub(crate) once: f64,
}

const LOSS: [f64; 7] = [0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0];

/// For each loss rate.
pub(crate) fn figures(choice: CongestionChoice) -> impl Iterator<Item = Linux> {
    let (mean, once) = match choice {
        CongestionChoice::Reno => {
            ([93.32, 68.79, 22.23, 9.72, 6.02, 4.48, 2.52].map(Some), [94.6, 82.0, 23.2, 9.8, 6.1, 4.0, 2.4])
        }
        CongestionChoice::Bbr => ([None; 7], [93.1, 93.0, 93.1, 92.2, 90.6, 91.3, 89.1]),
        _ => ([94.89, 69.86, 21.97, 8.79, 5.87, 3.58, 1.94].map(Some), [94.7, 89.8, 24.8, 9.6, 5.9, 3.9, 2.1]),
    };
    LOSS.into_iter().zip(mean).zip(once).map(|((loss, mean), once)| Linux { loss, mean, once })
}
