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
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The distance between the largest and the smallest value, as a part of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let max = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        if self.0.is_empty() { f64::NAN } else { (max - min) / self.median() }
    }

    /// Each round's value divided by that of `other` in the same round: what a slow minute of the machine does to both
    /// cancels out.
    #[must_use]
    pub fn over(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }
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
    fn ratios_are_taken_within_a_round() {
        let ratio = samples(&[10.0, 100.0, 40.0]).over(&samples(&[5.0, 50.0, 10.0]));
        assert_eq!(ratio, samples(&[2.0, 2.0, 4.0]));
    }
}
