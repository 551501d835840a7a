//! What several rounds of one contestant give: a median, a spread, and ratios between contestants of the same round.

/// One value a round, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<f64>);

/// A spread beyond this is noise: the figure must not be quoted without saying so.
pub const NOISY_SPREAD: f64 = 0.30;

impl Samples {
    /// Adds the value of one more round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many rounds there were.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.0.len()
    }

    /// The middle value; not a number when there is none.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The distance between the largest and the smallest value, as a part of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.0.is_empty() { f64::NAN } else { (self.max() - self.min()) / self.median() }
    }

    /// The distance between the quartiles, as a part of the median: what one bad round can not enlarge.
    #[must_use]
    pub fn quartile_spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }

    /// The value below which `part` of all lie, between two values on the line through them; not a number when there is
    /// none.
    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let at = part * last as f64;
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + (above - below) * at.fract()
    }

    /// The smallest value; infinite when there is none.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest value; minus infinity when there is none.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Each round's value divided by that of `other` in the same round: what a slow minute of the machine does to both
    /// cancels out.
    #[must_use]
    pub fn over(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// The larger of both in each round.
    #[must_use]
    pub fn larger(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours.max(*theirs)).collect())
    }
}

/// The mean of ratios: twice as fast here and half as fast there is 1. Not a number when there is none.
#[must_use]
pub fn geometric_mean(ratios: &[f64]) -> f64 {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (logarithms / ratios.len() as f64).exp()
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Samples {
        Samples(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_relative() {
        let check = |values: &[f64], median: f64, spread: f64| {
            let samples = samples(values);
            assert_eq!((samples.median(), samples.spread()), (median, spread), "{values:?}");
        };
        check(&[2.0], 2.0, 0.0);
        check(&[9.0, 1.0, 2.0], 2.0, 4.0);
        check(&[4.0, 1.0, 3.0, 5.0], 3.5, 4.0 / 3.5);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn one_bad_round_does_not_move_the_quartiles() {
        let check = |values: &[f64], spread: f64| assert_eq!(samples(values).quartile_spread(), spread, "{values:?}");
        check(&[5.0], 0.0);
        check(&[10.0, 12.0, 8.0, 9.0, 11.0], 0.2);
        check(&[10.0, 12.0, 8.0, 9.0, 1100.0], 0.3);
        check(&[1.0, 2.0, 3.0, 4.0], 1.5 / 2.5);
        assert!(samples(&[]).quartile_spread().is_nan());
    }

    #[test]
    fn the_geometric_mean_weighs_both_directions_alike() {
        let check = |ratios: &[f64], mean: f64| {
            assert!((geometric_mean(ratios) - mean).abs() < 1e-12, "{ratios:?} {}", geometric_mean(ratios));
        };
        check(&[0.5, 2.0], 1.0);
        check(&[0.7], 0.7);
        check(&[0.1, 1.0, 10.0, 16.0], 2.0);
        assert!(geometric_mean(&[]).is_nan());
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let ratio = samples(&[10.0, 100.0, 40.0]).over(&samples(&[5.0, 50.0, 10.0]));
        assert_eq!(ratio, samples(&[2.0, 2.0, 4.0]));
        assert_eq!(ratio.larger(&samples(&[1.0, 3.0, 4.0])), samples(&[2.0, 3.0, 4.0]));
    }
}
