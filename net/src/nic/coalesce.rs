//! Interrupt moderation: how long, and for how many frames, the device waits before it interrupts.

use crate::nic::dim::{Dim, PROFILE_FRAMES, Sample, usecs};
use crate::nic::model::Limits;
use std::fmt;
use std::io;
use wakeline_runtime::clock::Instant;

/// What `ethtool -c` shows and `ethtool -C` sets: an interrupt comes `rx_usecs` after the first frame that none has told of
/// yet, or with the `rx_frames`th, whichever is first.
///
/// By default there is no moderation: every frame is a cause (`rx_usecs` 0, `rx_frames` 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalesce {
    /// How long the first frame may wait, in microseconds; 0: time does not matter.
    pub rx_usecs: u32,
    /// How many frames may wait; 0: their number does not matter.
    pub rx_frames: u32,
    /// The driver finds `rx_usecs` by itself (`net_dim`), between 1 and 256 us; the two above are not used.
    pub adaptive_rx: bool,
}

impl Default for Coalesce {
    fn default() -> Coalesce {
        Coalesce { rx_usecs: 0, rx_frames: 1, adaptive_rx: false }
    }
}

impl Coalesce {
    /// # Errors
    /// `EINVAL` when both are 0, because no interrupt would ever come; that or `ERANGE`, by the driver, when the device can not count so
    /// far.
    pub(crate) fn check(self, limits: &Limits) -> io::Result<()> {
        let never = self.rx_usecs == 0 && self.rx_frames == 0 && !self.adaptive_rx;
        let error = if never {
            libc::EINVAL
        } else if self.rx_usecs > limits.rx_usecs_max {
            limits.rx_usecs_error
        } else {
            return Ok(());
        };
        Err(io::Error::from_raw_os_error(error))
    }

    /// Whether every frame interrupts at once.
    pub(crate) fn is_off(self) -> bool {
        !self.adaptive_rx && self.rx_frames == 1
    }
}

/// As `ethtool -c` prints it, less what a device of ours does not have.
impl fmt::Display for Coalesce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adaptive = if self.adaptive_rx { "on" } else { "off" };
        writeln!(f, "Coalesce parameters for eth0:")?;
        writeln!(f, "Adaptive RX: {adaptive}  TX: n/a")?;
        writeln!(f, "\nrx-usecs:\t{}\nrx-frames:\t{}", self.rx_usecs, self.rx_frames)?;
        writeln!(f, "rx-usecs-irq:\tn/a\nrx-frames-irq:\tn/a")
    }
}

/// One queue's moderation.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    set: Coalesce,
    fire_at: Option<Instant>,
    dim: Option<Box<Dim>>,
}

/// What the device does about the frames that wait.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moderated {
    /// It interrupts.
    Fire,
    /// Its timer is started.
    Arm(Instant),
    /// The timer runs.
    Wait,
}

impl Moderation {
    pub(crate) fn set(&mut self, set: Coalesce) {
        *self = Moderation { set, fire_at: None, dim: set.adaptive_rx.then(Box::default) };
    }

    /// What was set, with the microseconds that are in use.
    pub(crate) fn get(&self) -> Coalesce {
        match &self.dim {
            Some(dim) => Coalesce { rx_usecs: dim.usecs(), rx_frames: PROFILE_FRAMES, ..self.set },
            None => self.set,
        }
    }

    /// `waiting` frames are there that no interrupt has told of.
    pub(crate) fn on_frames(&mut self, waiting: u32, now: Instant) -> Moderated {
        let Coalesce { rx_usecs, rx_frames, .. } = self.get();
        if rx_frames > 0 && waiting >= rx_frames {
            self.fire_at = None;
            return Moderated::Fire;
        }
        match self.fire_at {
            Some(at) if at <= now => {
                self.fire_at = None;
                Moderated::Fire
            }
            Some(_) => Moderated::Wait,
            None if rx_usecs == 0 => Moderated::Wait,
            None => Moderated::Arm(*self.fire_at.insert(now + usecs(rx_usecs))),
        }
    }

    /// The timer has run out: whether that was its time, which moves when the driver finds frames by itself.
    pub(crate) fn on_timer(&mut self, waiting: u32, now: Instant) -> bool {
        let is_time = waiting > 0 && self.fire_at.is_some_and(|at| at <= now);
        if is_time {
            self.fire_at = None;
        }
        is_time
    }

    /// The driver has found all frames by itself.
    pub(crate) fn on_found(&mut self) {
        self.fire_at = None;
    }

    /// The driver has finished a round of polls: where it is adaptive, it counts.
    pub(crate) fn sample(&mut self, sample: impl FnOnce() -> Sample) {
        if let Some(dim) = &mut self.dim {
            dim.sample(sample());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nic::model::NicModel;

    fn at(us: u64) -> Instant {
        Instant::from_virtual_ns(us * 1000)
    }

    /// Row 7: the first of both.
    #[test]
    fn the_first_of_time_and_frames_fires() {
        let mut moderation = Moderation::default();
        moderation.set(Coalesce { rx_usecs: 50, rx_frames: 8, ..Coalesce::default() });
        assert_eq!(moderation.on_frames(1, at(0)), Moderated::Arm(at(50)));
        assert_eq!(moderation.on_frames(7, at(10)), Moderated::Wait);
        assert_eq!(moderation.on_frames(8, at(11)), Moderated::Fire);
        assert!(!moderation.on_timer(0, at(50)), "they have been told of");
        assert_eq!(moderation.on_frames(1, at(60)), Moderated::Arm(at(110)));
        assert!(!moderation.on_timer(1, at(109)) && moderation.on_timer(1, at(110)));
        assert_eq!(moderation.on_frames(1, at(120)), Moderated::Arm(at(170)));
        moderation.on_found();
        assert!(!moderation.on_timer(0, at(170)));
    }

    #[test]
    fn time_or_frames_alone() {
        let mut moderation = Moderation::default();
        moderation.set(Coalesce { rx_usecs: 0, rx_frames: 3, ..Coalesce::default() });
        assert_eq!(
            [1, 2, 3].map(|n| moderation.on_frames(n, at(n.into()))),
            [Moderated::Wait, Moderated::Wait, Moderated::Fire]
        );
        moderation.set(Coalesce { rx_usecs: 10, rx_frames: 0, ..Coalesce::default() });
        assert_eq!(moderation.on_frames(1000, at(0)), Moderated::Arm(at(10)));
        assert_eq!(moderation.on_frames(2000, at(10)), Moderated::Fire);
    }

    #[test]
    fn what_would_never_fire_is_refused() {
        let limits = NicModel::Ixgbe.limits();
        let check = |rx_usecs, rx_frames, adaptive_rx| {
            let error = Coalesce { rx_usecs, rx_frames, adaptive_rx }.check(limits).err()?;
            error.raw_os_error()
        };
        assert_eq!(check(0, 0, false), Some(libc::EINVAL));
        assert_eq!(check(1023, 1, false), Some(libc::EINVAL));
        assert_eq!((check(1022, 0, false), check(0, 1, false), check(0, 0, true)), (None, None, None));
        let far = Coalesce { rx_usecs: 4096, ..Coalesce::default() }.check(NicModel::Mlx5.limits()).unwrap_err();
        assert_eq!(far.raw_os_error(), Some(libc::ERANGE));
    }
}
