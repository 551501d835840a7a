//! The largest of the last some rounds (Kathleen Nichols' windowed maximum, Linux's `lib/win_minmax.c`).

/// Keeps the three best of a window, in order of time: enough to know the best of what remains when it moves on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MaxFilter {
    best: [Sample; 3],
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    round: u32,
    value: u64,
}

impl MaxFilter {
    /// The largest value of the window.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.best[0].value
    }

    /// Takes a value of `round`; those older than `window` rounds are forgotten.
    pub(crate) fn update(&mut self, window: u32, round: u32, value: u64) {
        let new = Sample { round, value };
        if value >= self.best[0].value || round.wrapping_sub(self.best[2].round) > window {
            self.best = [new; 3];
            return;
        }
        if value >= self.best[1].value {
            (self.best[1], self.best[2]) = (new, new);
        } else if value >= self.best[2].value {
            self.best[2] = new;
        }
        self.age(window, new);
    }

    /// As the window moves on, the second best takes the place of the best.
    fn age(&mut self, window: u32, new: Sample) {
        let age = new.round.wrapping_sub(self.best[0].round);
        if age > window {
            self.best = [self.best[1], self.best[2], new];
            if new.round.wrapping_sub(self.best[0].round) > window {
                self.best = [self.best[1], self.best[2], new];
            }
        } else if self.best[1].round == self.best[0].round && age > window / 4 {
            // A quarter of the window has passed without a second choice.
            (self.best[1], self.best[2]) = (new, new);
        } else if self.best[2].round == self.best[1].round && age > window / 2 {
            self.best[2] = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Between the largest of the window and the largest of a part of it: the filter keeps three, not all.
        #[test]
        fn it_is_near_the_largest_of_the_window(values in prop::collection::vec((0u32..3, 1u64..1000), 1..200)) {
            let (mut filter, mut round, mut all) = (MaxFilter::default(), 0, Vec::new());
            for (step, value) in values {
                round += step;
                filter.update(10, round, value);
                all.push((round, value));
                let most = |rounds: u32| all.iter().filter(|(at, _)| round - at <= rounds).map(|(_, v)| *v).max();
                prop_assert!(filter.get() <= most(10).unwrap());
                prop_assert!(filter.get() >= most(2).unwrap());
            }
        }
    }

    #[test]
    fn an_old_maximum_is_forgotten() {
        let mut filter = MaxFilter::default();
        filter.update(10, 0, 100);
        for round in 1..=10 {
            filter.update(10, round, 50);
            assert_eq!(filter.get(), 100);
        }
        filter.update(10, 11, 50);
        assert_eq!(filter.get(), 50);
        filter.update(10, 12, 70);
        assert_eq!(filter.get(), 70);
    }
}
