//! Whose device it is: the numbers that drivers have, and their limits.

use std::fmt;
use std::io;

/// The driver whose numbers a device has: ring sizes, queues, the size of the indirection table, and how it interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NicModel {
    /// An 8254x: one queue, and one level-triggered line that it may share. Rings of 48 to 4096, 256 by default.
    E1000,
    /// An 82576: 8 queues, rings of 64 to 4096, 256 by default.
    Igb,
    /// An 82599: 64 queues, rings of 64 to 4096, 512 by default.
    #[default]
    Ixgbe,
    /// An E810: 64 queues, rings of 64 to 8160 in steps of 32, 2048 by default.
    Ice,
    /// A ConnectX: 64 queues, rings of 2 to 8192 that are rounded up to a power of two, 1024 by default. It sums whatever arrives and
    /// leaves the comparison to the stack (`CHECKSUM_COMPLETE`).
    Mlx5,
    /// A virtual machine's: 64 queues; rings of 64, 128 or 256, 256 by default.
    Virtio,
}

/// A model's numbers.
#[derive(Debug)]
pub(crate) struct Limits {
    /// As `ethtool -i` shows it.
    pub(crate) driver: &'static str,
    pub(crate) ring_default: usize,
    pub(crate) ring_min: usize,
    pub(crate) ring_max: usize,
    pub(crate) ring_step: RingStep,
    pub(crate) queues_max: usize,
    /// The entries of its indirection table; 0 without RSS.
    pub(crate) indirection: usize,
    /// The longest `rx-usecs`, and how the driver calls a longer one.
    pub(crate) rx_usecs_max: u32,
    pub(crate) rx_usecs_error: i32,
    /// It sums whatever arrives, and compares nothing.
    pub(crate) sums_all: bool,
    /// One level line instead of a vector for each queue.
    pub(crate) is_legacy: bool,
}

/// Which ring sizes there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RingStep {
    /// Others are rounded up to a multiple of this.
    Multiple(usize),
    /// Others are rounded up to a power of two.
    UpToPower,
    /// Powers of two, and no others.
    Power,
}

impl NicModel {
    pub(crate) const fn limits(self) -> &'static Limits {
        match self {
            NicModel::E1000 => &E1000,
            NicModel::Igb => &IGB,
            NicModel::Ixgbe => &IXGBE,
            NicModel::Ice => &ICE,
            NicModel::Mlx5 => &MLX5,
            NicModel::Virtio => &VIRTIO,
        }
    }
}

const E1000: Limits = Limits {
    driver: "e1000",
    ring_default: 256,
    ring_min: 48,
    ring_max: 4096,
    ring_step: RingStep::Multiple(8),
    queues_max: 1,
    indirection: 0,
    rx_usecs_max: 10_000,
    rx_usecs_error: libc::EINVAL,
    sums_all: false,
    is_legacy: true,
};
const IGB: Limits = Limits { driver: "igb", ring_min: 64, queues_max: 8, indirection: 128, is_legacy: false, ..E1000 };
const IXGBE: Limits = Limits { driver: "ixgbe", ring_default: 512, queues_max: 64, rx_usecs_max: 1022, ..IGB };
const ICE: Limits = Limits {
    driver: "ice",
    ring_default: 2048,
    ring_max: 8160,
    ring_step: RingStep::Multiple(32),
    indirection: 512,
    rx_usecs_max: 8160,
    ..IXGBE
};
const MLX5: Limits = Limits {
    driver: "mlx5_core",
    ring_default: 1024,
    ring_min: 2,
    ring_max: 8192,
    ring_step: RingStep::UpToPower,
    indirection: 256,
    rx_usecs_max: 4095,
    rx_usecs_error: libc::ERANGE,
    sums_all: true,
    ..IXGBE
};
const VIRTIO: Limits = Limits {
    driver: "virtio_net",
    ring_default: 256,
    ring_max: 256,
    ring_step: RingStep::Power,
    indirection: 128,
    rx_usecs_max: u32::MAX,
    ..ICE
};

/// The driver's name, as `ethtool -i` shows it.
impl fmt::Display for NicModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.limits().driver)
    }
}

impl Limits {
    /// The size that a ring of `count` descriptors gets (`ethtool -G`).
    ///
    /// # Errors
    /// `EINVAL` out of bounds. Some drivers take what is too small for their smallest instead, silently.
    pub(crate) fn ring(&self, count: usize) -> io::Result<usize> {
        if !(self.ring_min..=self.ring_max).contains(&count) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        match self.ring_step {
            RingStep::Multiple(multiple) => Ok(count.next_multiple_of(multiple)),
            RingStep::UpToPower => Ok(count.next_power_of_two()),
            RingStep::Power if count.is_power_of_two() => Ok(count),
            RingStep::Power => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_sizes_are_rounded_up_within_limits() {
        let check = |model: NicModel, asked: usize, got: Option<usize>| {
            assert_eq!(model.limits().ring(asked).ok(), got, "{model:?} {asked}");
        };
        for (model, smallest, largest) in [
            (NicModel::E1000, 48, 4096),
            (NicModel::Igb, 64, 4096),
            (NicModel::Ixgbe, 64, 4096),
            (NicModel::Ice, 64, 8160),
            (NicModel::Mlx5, 2, 8192),
            (NicModel::Virtio, 64, 256),
        ] {
            check(model, smallest - 1, None);
            check(model, smallest, Some(smallest));
            check(model, largest, Some(largest));
            check(model, largest + 1, None);
        }
        check(NicModel::Ixgbe, 100, Some(104));
        check(NicModel::Ice, 100, Some(128));
        check(NicModel::Mlx5, 100, Some(128));
        check(NicModel::Virtio, 100, None);
        let error = NicModel::Igb.limits().ring(0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
