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
    /// Frames that were in the ring, or waited before it, when it was taken down for another size.
    pub rx_dropped: u64,
    /// Descriptors that held the beginning or the middle of a frame, not its end.
    pub rx_non_eop_descs: u64,
    /// Segments that the device has put together with others (`rx-gro-hw`).
    pub rx_gro_packets: u64,
    /// Their bytes, with one set of headers for all that are together.
    pub rx_gro_bytes: u64,
    /// What it has made of them; each is one of `rx_packets`.
    pub rx_gro_skbs: u64,
    /// How often there was no memory for a buffer to give to the device.
    pub alloc_rx_buff_failed: u64,
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
    /// Adds another queue's counts.
    pub(crate) fn add(&mut self, other: &NicStats) {
        let NicStats {
            rx_packets,
            rx_bytes,
            rx_no_buffer_count,
            rx_missed_errors,
            rx_length_errors,
            rx_csum_offload_errors,
            rx_dropped,
            rx_non_eop_descs,
            rx_gro_packets,
            rx_gro_bytes,
            rx_gro_skbs,
            alloc_rx_buff_failed,
            tx_packets,
            tx_bytes,
            tx_dropped,
            rx_tail_writes,
        } = self;
        *rx_packets += other.rx_packets;
        *rx_bytes += other.rx_bytes;
        *rx_no_buffer_count += other.rx_no_buffer_count;
        *rx_missed_errors += other.rx_missed_errors;
        *rx_length_errors += other.rx_length_errors;
        *rx_csum_offload_errors += other.rx_csum_offload_errors;
        *rx_dropped += other.rx_dropped;
        *rx_non_eop_descs += other.rx_non_eop_descs;
        *rx_gro_packets += other.rx_gro_packets;
        *rx_gro_bytes += other.rx_gro_bytes;
        *rx_gro_skbs += other.rx_gro_skbs;
        *alloc_rx_buff_failed += other.alloc_rx_buff_failed;
        *tx_packets += other.tx_packets;
        *tx_bytes += other.tx_bytes;
        *tx_dropped += other.tx_dropped;
        *rx_tail_writes += other.rx_tail_writes;
    }

    /// Each with its name, in the order of drivers.
    pub(crate) fn named(&self) -> [(&'static str, u64); 15] {
        [
            ("rx_packets", self.rx_packets),
            ("tx_packets", self.tx_packets),
            ("rx_bytes", self.rx_bytes),
            ("tx_bytes", self.tx_bytes),
            ("rx_dropped", self.rx_dropped),
            ("tx_dropped", self.tx_dropped),
            ("rx_length_errors", self.rx_length_errors),
            ("rx_missed_errors", self.rx_missed_errors),
            ("rx_no_buffer_count", self.rx_no_buffer_count),
            ("rx_csum_offload_errors", self.rx_csum_offload_errors),
            ("non_eop_descs", self.rx_non_eop_descs),
            ("alloc_rx_buff_failed", self.alloc_rx_buff_failed),
            ("rx_gro_packets", self.rx_gro_packets),
            ("rx_gro_bytes", self.rx_gro_bytes),
            ("rx_gro_skbs", self.rx_gro_skbs),
        ]
    }

    /// The device's losses by reason.
    pub(crate) fn drops(&self) -> [(DropReason, u64); 4] {
        [
            (DropReason::RxMissed, self.rx_missed_errors),
            (DropReason::PktTooBig, self.rx_length_errors),
            (DropReason::DevReady, self.rx_dropped),
            (DropReason::TxRingFull, self.tx_dropped),
        ]
    }
}
