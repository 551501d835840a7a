//! TCP (RFC 9293), without a clock and without a socket.
//!
//! [`ControlBlock`](control_block::ControlBlock) is one connection's state machine: segments and calls go in, `now`
//! with them; [`poll_transmit`](control_block::ControlBlock::poll_transmit) says what is to be sent, and
//! `next_timer` when it wants to be called again. [`TcpLayer`](layer::TcpLayer) owns the tables around it: who is
//! meant by a segment, half-open connections, TIME-WAIT, timers. A [`Connection`](connection::Connection) joins a
//! control block to those who wait for it.

pub(crate) mod acknowledge;
pub(crate) mod calls;
pub(crate) mod challenge;
pub(crate) mod chrono;
pub(crate) mod congestion;
pub(crate) mod connection;
pub(crate) mod control_block;
pub(crate) mod cookies;
pub(crate) mod cut;
pub(crate) mod defer;
pub(crate) mod delivery_rate;
pub(crate) mod ecn;
pub(crate) mod emit;
pub(crate) mod flags;
pub(crate) mod header;
pub(crate) mod info;
pub(crate) mod input;
pub(crate) mod isn;
pub(crate) mod keepalive;
pub(crate) mod layer;
pub(crate) mod listen;
pub(crate) mod listing;
pub(crate) mod loss;
pub(crate) mod loss_probe;
pub(crate) mod memory;
pub(crate) mod min_rtt;
pub(crate) mod news;
pub(crate) mod options;
pub(crate) mod out_of_order;
pub(crate) mod output;
pub(crate) mod passive;
pub(crate) mod patience;
pub(crate) mod rack;
pub(crate) mod range_set;
pub(crate) mod recovery;
pub(crate) mod recv_queue;
pub(crate) mod requests;
pub(crate) mod rto;
pub(crate) mod sack_list;
pub(crate) mod scoreboard;
pub(crate) mod segment_size;
pub(crate) mod send_queue;
pub(crate) mod sent_queue;
pub(crate) mod settings;
pub(crate) mod short_queue;
pub(crate) mod sockopt;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod sysctl;
pub(crate) mod text;
pub(crate) mod timeouts;
pub(crate) mod timestamps;
pub(crate) mod timewait;
pub(crate) mod tuning;
pub(crate) mod undo;
pub(crate) mod user;
