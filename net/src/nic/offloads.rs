//! What a device does for its driver, by the names of `ethtool -k`.

use std::str::FromStr;

bitflags::bitflags! {
    /// The work that a host leaves to its device, or does in software at its edge. A host has what is done
    /// [in software](Offloads::SOFTWARE) unless it is built otherwise; Linux has what its device can do, too.
    ///
    /// # Examples
    /// ```
    /// use wakeline_net::emulated::Offloads;
    ///
    /// let offloads = Offloads::TX_CHECKSUMMING | "tcp-segmentation-offload".parse()?;
    /// assert!(Offloads::all().contains(offloads));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Offloads: u8 {
        /// `tx-checksumming`: the device makes the checksums of TCP and UDP.
        const TX_CHECKSUMMING = 1 << 0;
        /// `rx-checksumming`: the device verifies them, and the stack believes it.
        const RX_CHECKSUMMING = 1 << 1;
        /// `tcp-segmentation-offload`: the stack hands down super-segments of up to 64 KiB, and the device cuts them. Without
        /// `TX_CHECKSUMMING` it is off, as in Linux.
        const TCP_SEGMENTATION = 1 << 2;
        /// `generic-receive-offload`: NAPI puts the segments of a flow that arrive together into one.
        const GENERIC_RECEIVE = 1 << 3;
        /// `rx-gro-hw`: the device does, by the same rules, with what arrives before it interrupts. Without `RX_CHECKSUMMING` it is
        /// off.
        const RX_GRO_HW = 1 << 4;
        /// `generic-segmentation-offload`: the stack makes super-segments where the device does not cut them, and cuts them
        /// itself on the way out, so that each costs one way through the stack.
        const GENERIC_SEGMENTATION = 1 << 5;
        /// What needs no device and is on by default (`NETIF_F_SOFT_FEATURES`): `generic-segmentation-offload` and
        /// `generic-receive-offload`. Every frame on the wire is a real one all the same.
        const SOFTWARE = Offloads::GENERIC_SEGMENTATION.bits() | Offloads::GENERIC_RECEIVE.bits();
    }
}

impl Offloads {
    /// What a receiver with `self` can take of the work of a sender's device that has `sender`. What is done in software is
    /// done before the wire.
    #[must_use]
    pub(crate) fn taking_over_from(mut self, sender: Offloads) -> Offloads {
        self.set(
            Offloads::RX_GRO_HW,
            self.contains(Offloads::RX_GRO_HW) && sender.contains(Offloads::TCP_SEGMENTATION),
        );
        let sums = self.contains(Offloads::RX_CHECKSUMMING) && sender.contains(Offloads::TX_CHECKSUMMING);
        self.set(Offloads::RX_CHECKSUMMING, sums);
        self
    }

    /// With either of these the stack makes super-segments.
    pub(crate) const SEGMENTATION: Offloads = Offloads::TCP_SEGMENTATION.union(Offloads::GENERIC_SEGMENTATION);

    /// Without those that need others that are off (`netdev_fix_features`).
    #[must_use]
    pub(crate) fn fixed(mut self) -> Offloads {
        if !self.contains(Offloads::TX_CHECKSUMMING) {
            self.remove(Offloads::TCP_SEGMENTATION);
        }
        if !self.contains(Offloads::RX_CHECKSUMMING) {
            self.remove(Offloads::RX_GRO_HW);
        }
        self
    }
}

/// Reads one of `ethtool -k`'s names.
///
/// # Errors
/// `InvalidInput` for any other.
impl FromStr for Offloads {
    type Err = std::io::Error;

    fn from_str(name: &str) -> std::io::Result<Offloads> {
        match name {
            "tx-checksumming" => Ok(Offloads::TX_CHECKSUMMING),
            "rx-checksumming" => Ok(Offloads::RX_CHECKSUMMING),
            "tcp-segmentation-offload" => Ok(Offloads::TCP_SEGMENTATION),
            "generic-receive-offload" => Ok(Offloads::GENERIC_RECEIVE),
            "rx-gro-hw" => Ok(Offloads::RX_GRO_HW),
            "generic-segmentation-offload" => Ok(Offloads::GENERIC_SEGMENTATION),
            other => {
                Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("a device has no feature {other:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segmentation_needs_checksums() {
        assert_eq!((Offloads::TCP_SEGMENTATION | Offloads::GENERIC_RECEIVE).fixed(), Offloads::GENERIC_RECEIVE);
        assert_eq!(Offloads::RX_GRO_HW.fixed(), Offloads::empty());
        assert_eq!(Offloads::all().fixed(), Offloads::all());
        let taken = Offloads::all().taking_over_from(Offloads::GENERIC_SEGMENTATION);
        assert!(!taken.intersects(Offloads::RX_GRO_HW | Offloads::RX_CHECKSUMMING));
        assert_eq!(Offloads::all().taking_over_from(Offloads::all()), Offloads::all());
        assert!("large-receive-offload".parse::<Offloads>().is_err());
    }
}
