//! What a connection counts.

/// What is counted for `tcp_info`, by its names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stats {
    pub(super) segs_in: u32,
    pub(super) segs_out: u32,
    pub(super) data_segs_in: u32,
    pub(super) data_segs_out: u32,
    pub(super) bytes_sent: u64,
    pub(super) delivered: u32,
    pub(super) delivered_ce: u32,
    pub(super) rcv_ooopack: u32,
}
