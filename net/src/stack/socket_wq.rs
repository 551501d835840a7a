//! `struct socket_wq`: who sleeps on a socket, and whose signals it sends, with the callbacks of `struct sock` that tell them.
//!
//! There are two lists in Linux: `wait`, of functions, and `fasync_list`, of files with an owner. A socket has one file here,
//! so the second is one entry. It is a function that is called, like any other, when the shard's lock is released; its key is
//! the band of the `POLL_*` code (`si_band`). What owners and signals are, this file does not know.

use crate::event::Event;
use crate::fasync::File;
use crate::stack::effects::{Caller, Effects};
use crate::waking::IO_POLL_WAKE;
use std::sync::Arc;
use wakeline_runtime::wait_queue::{Events, WaitList};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SocketWq {
    pub(crate) wait: WaitList,
    /// There since somebody asked for the socket's file; most never do.
    fasync: Option<Box<Fasync>>,
}

/// The entry of `fasync_list`, and the flags of `socket_wq` that are used while it sends.
#[derive(Debug)]
struct Fasync {
    file: Arc<File>,
    /// `SOCK_FASYNC`
    is_on: bool,
    /// `SOCKWQ_ASYNC_WAITDATA`: somebody sleeps in a read (`sk_wait_data`), and hears of data without a signal.
    wait_data: bool,
    /// `SOCKWQ_ASYNC_NOSPACE`: somebody found no room since the last signal that said there is.
    no_space: bool,
}

/// `SOCK_WAKE_*`: which of a socket's flags suppresses a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Always sent.
    Io,
    /// Not while somebody sleeps in a read.
    WaitData,
    /// Only after somebody found no room.
    Space,
}

/// The bands of the codes `POLL_IN`, `POLL_OUT`, `POLL_ERR` and `POLL_HUP` (`band_table`).
pub(crate) mod band {
    use wakeline_runtime::wait_queue::Events;

    pub(crate) const IN: Events = Events::IN.union(Events::RDNORM);
    pub(crate) const OUT: Events = Events::WRITABLE;
    pub(crate) const ERR: Events = Events::ERR;
    pub(crate) const HUP: Events = Events::HUP.union(Events::ERR);
}

/// In the interest of whoever sleeps in `sk_wait_data`: a read of a stream. No wake has it as its key.
pub(crate) const IN_WAIT_DATA: Events = Events::from_bits_retain(1 << 31);
/// The same for who stands in the queue in a call of `poll` or `select`, or only asks.
pub(crate) const IN_POLL: Events = Events::from_bits_retain(1 << 30);
/// The same for an operation of a ring.
pub(crate) const IN_RING: Events = Events::from_bits_retain(1 << 29);

/// The function with which who waits for `interest` stands in the queue, where one shows in a stack trace: `woken_wake_function`
/// does not, it ends in a jump.
pub(crate) fn func_of(interest: Events) -> Option<&'static str> {
    if interest.contains(IN_RING) {
        Some(IO_POLL_WAKE)
    } else if interest.contains(IN_POLL) {
        Some("pollwake")
    } else if interest.contains(IN_WAIT_DATA) || !interest.intersects(Events::IN) {
        None
    } else {
        Some("autoremove_wake_function")
    }
}

/// From where a socket's callbacks are called.
pub(crate) mod caller {
    use crate::stack::effects::Caller;

    /// A system call, or a timer.
    pub(crate) const CALL: Caller = &[];
    /// Text that TCP takes. (Linux has a faster way for the next segment in order, which is the same without the first of these.)
    pub(crate) const TCP_DATA: Caller =
        &["tcp_data_queue", "tcp_rcv_established", "tcp_v4_do_rcv", TCP, L4, LOCAL, CORE];
    pub(crate) const TCP_FIN: Caller =
        &["tcp_fin", "tcp_data_queue", "tcp_rcv_established", "tcp_v4_do_rcv", TCP, L4, LOCAL, CORE];
    /// The last segment of a handshake, at its listener.
    pub(crate) const TCP_CHILD: Caller = &["tcp_child_process", TCP, L4, LOCAL, CORE];
    /// The same, at the connection.
    pub(crate) const TCP_STATE: Caller = &["tcp_rcv_state_process", "tcp_v4_do_rcv", TCP, L4, LOCAL, CORE];
    pub(crate) const TCP_ACK: Caller =
        &["tcp_check_space", "tcp_rcv_established", "tcp_v4_do_rcv", TCP, L4, LOCAL, CORE];
    pub(crate) const UDP: Caller =
        &["__udp_enqueue_schedule_skb", "udp_queue_rcv_one_skb", "udp_unicast_rcv_skb", "udp_rcv", L4, LOCAL, CORE];

    const TCP: &str = "tcp_v4_rcv";
    const L4: &str = "ip_protocol_deliver_rcu";
    const LOCAL: &str = "ip_local_deliver_finish";
    const CORE: &str = "__netif_receive_skb_one_core";
}

impl SocketWq {
    pub(crate) const fn new() -> SocketWq {
        SocketWq { wait: WaitList::new(), fasync: None }
    }

    /// `sock_def_readable`
    #[inline]
    pub(crate) fn data_ready(&mut self, protocol: &'static str, caller: Caller, fx: &mut Effects) {
        fx.tracer.emit(|| Event::SkDataReady { protocol, func: "sock_def_readable" });
        if !self.wait.is_empty() {
            let before = fx.wakes.len();
            self.wait.wake(Events::READABLE, 1, &mut fx.wakes);
            fx.note_cause(before, &["__wake_up_common", "__wake_up_sync_key", "sock_def_readable"], caller);
        }
        self.send_async(
            (How::WaitData, band::IN),
            &["kill_fasync", "sock_wake_async", "sock_def_readable"],
            caller,
            fx,
        );
    }

    /// `sk_stream_write_space`, when there is room and somebody had asked for it. After SHUT_WR nobody signs for more room.
    #[inline]
    pub(crate) fn write_space(&mut self, may_send: bool, fx: &mut Effects) {
        let before = fx.wakes.len();
        self.wait.wake(Events::WRITABLE, 1, &mut fx.wakes);
        fx.note_cause(before, &["__wake_up_common", "__wake_up", "sk_stream_write_space"], caller::TCP_ACK);
        if may_send {
            let callback = &["kill_fasync", "sock_wake_async", "sk_stream_write_space"];
            self.send_async((How::Space, band::OUT), callback, caller::TCP_ACK, fx);
        }
    }

    /// `sock_def_error_report`
    pub(crate) fn error_report(&mut self, fx: &mut Effects) {
        let before = fx.wakes.len();
        self.wait.wake(Events::ERR, 1, &mut fx.wakes);
        fx.note_cause(before, &["__wake_up_common", "__wake_up", "sock_def_error_report"], caller::CALL);
        let callback = &["kill_fasync", "sock_wake_async", "sock_def_error_report"];
        self.send_async((How::Io, band::ERR), callback, caller::CALL, fx);
    }

    /// `sock_def_wakeup`: everybody, without a key.
    pub(crate) fn state_change(&mut self, caller: Caller, fx: &mut Effects) {
        let before = fx.wakes.len();
        self.wait.wake_all(&mut fx.wakes);
        fx.note_cause(before, &["__wake_up_common", "__wake_up", "sock_def_wakeup"], caller);
    }

    /// The file is gone: nobody is told any more, and it sends no more signals.
    pub(crate) fn close(&mut self, fx: &mut Effects) {
        self.set_fasync(false);
        let before = fx.wakes.len();
        self.wait.close(&mut fx.wakes);
        fx.note_cause(before, &["eventpoll_release"], caller::CALL);
    }

    /// `sock_wake_async`, called by no callback.
    #[inline]
    pub(crate) fn wake_async(&mut self, how: How, band: Events, caller: Caller, fx: &mut Effects) {
        self.send_async((how, band), &["kill_fasync", "sock_wake_async"], caller, fx);
    }

    #[inline]
    fn send_async(&mut self, (how, band): (How, Events), callback: Caller, caller: Caller, fx: &mut Effects) {
        if let Some(fasync) = &mut self.fasync {
            let before = fx.wakes.len();
            fasync.send(how, band, fx);
            fx.note_cause(before, callback, caller);
        }
    }

    /// Somebody found no room, and wants to hear of it.
    pub(crate) fn note_no_space(&mut self) {
        if let Some(fasync) = &mut self.fasync {
            fasync.no_space |= fasync.is_on;
        }
    }

    /// A call with this interest goes to sleep, or has returned.
    #[inline]
    pub(crate) fn note_sleep(&mut self, interest: Events, sleeps: bool) {
        if let Some(fasync) = &mut self.fasync
            && interest.contains(IN_WAIT_DATA)
        {
            fasync.wait_data = sleeps && fasync.is_on;
        }
    }

    /// A sleeper has gone away without calling again.
    pub(crate) fn note_gone(&mut self) {
        if let Some(fasync) = &mut self.fasync {
            fasync.wait_data &= self.wait.interests().any(|interest| interest.contains(IN_WAIT_DATA));
        }
    }

    /// The socket's file. The first that asks brings it; it stays until the socket goes.
    pub(crate) fn file(&mut self, new: impl FnOnce() -> Arc<File>) -> &Arc<File> {
        let new = || Box::new(Fasync { file: new(), is_on: false, wait_data: false, no_space: false });
        &self.fasync.get_or_insert_with(new).file
    }

    /// `sock_fasync`: from now on the file's signals are sent, or are not.
    pub(crate) fn set_fasync(&mut self, is_on: bool) {
        if let Some(fasync) = &mut self.fasync {
            **fasync = Fasync { file: fasync.file.clone(), is_on, wait_data: false, no_space: false };
        }
    }
}

impl Fasync {
    fn send(&mut self, how: How, band: Events, fx: &mut Effects) {
        let wanted = self.is_on
            && match how {
                How::Io => true,
                How::WaitData => !self.wait_data,
                How::Space => std::mem::take(&mut self.no_space),
            };
        if wanted {
            fx.wakes.push_call(self.file.clone(), band);
        }
    }
}
