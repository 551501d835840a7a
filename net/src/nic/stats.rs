//! What a device counts.

use crate::event::DropReason;

/// The device's counters, with the names that drivers give them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NicStats {
    /// Frames that reached the driver.
    pub rx_packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub rx_bytes: u64,
    /// Frames that found the ring empty and went into the on-chip FIFO first (`RNBC`).
    pub rx_no_buffer_count: u64,
    /// Frames lost because the FIFO was full too (`MPC`).
    pub rx_missed_errors: u64,
    /// Frames lost because they were longer than the interface's MTU allows.
    pub rx_length_errors: u64,
    /// Frames whose transport checksum the device found wrong; it passes them on, and the stack drops them.
    pub rx_csum_offload_errors: u64,
    /// Frames put on the wire, and super-segments that the device cuts.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames lost because the transmit queue before the ring was full.
    pub tx_dropped: u64,
    /// How often the driver told the device of new receive descriptors.
    pub rx_tail_writes: u64,
}

impl NicStats {
    /// The device's losses by reason.
    pub(crate) fn drops(&self) -> [(DropReason, u64); 3] {
        [
            (DropReason::RxMissed, self.rx_missed_errors),
            (DropReason::PktTooBig, self.rx_length_errors),
            (DropReason::TxRingFull, self.tx_dropped),
        ]
    }
}
