//! The seeded generator: the one source of chance below the API, so that a seed repeats a run.
//!
//! The numbers come from the `fastrand` crate (wyrand). They are fast and well spread, not secret: keys that a hostile
//! peer must not guess are drawn from a seed that the operating system gave ([`Rng::from_entropy`]).

/// A small generator of pseudo-random numbers, the same sequence for the same seed on every machine.
///
/// # Examples
/// ```
/// use wakeline_runtime::rng::Rng;
///
/// let (mut a, mut b) = (Rng::seeded(7), Rng::seeded(7));
/// assert_eq!(a.next_u64(), b.next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Rng(fastrand::Rng);

impl Rng {
    /// The generator that `seed` decides.
    #[must_use]
    pub fn seeded(seed: u64) -> Rng {
        Rng(fastrand::Rng::with_seed(seed))
    }

    /// A generator that no seed repeats.
    #[must_use]
    pub fn from_entropy() -> Rng {
        Rng(fastrand::Rng::new())
    }

    /// An independent generator, itself decided by this one's state.
    #[must_use]
    pub fn fork(&mut self) -> Rng {
        Rng(self.0.fork())
    }

    /// Any `u64`, all equally likely.
    pub fn next_u64(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Any `u32`, all equally likely.
    pub fn next_u32(&mut self) -> u32 {
        self.0.u32(..)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 { 0 } else { self.0.u32(..bound) }
    }

    /// True with the given probability, a number from 0.0 (never) to 1.0 (always).
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }
}
