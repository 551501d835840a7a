//! What the receive path tells whoever listens: the kernel's tracepoint names and fields, and its drop reasons.
//!
//! Every stage calls `Tracer::emit`. While nobody listens that is one predictable branch; the event is not even built.
//! This file knows no stage: it only carries what they say.

pub use crate::syscall::Syscall;
use crate::syscall::return_value;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wakeline_runtime::clock::{Clock, Instant};
use wakeline_runtime::task::Id;

/// One step of a packet or of its waiter, named as the kernel's tracepoint for the same step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the tracepoints' own")]
pub enum Event {
    IrqHandlerEntry {
        irq: u32,
        name: Arc<str>,
    },
    IrqHandlerExit {
        irq: u32,
        handled: bool,
    },
    SoftirqRaise {
        vec: u8,
    },
    SoftirqEntry {
        vec: u8,
    },
    SoftirqExit {
        vec: u8,
    },
    IpiSendCpu {
        cpu: u32,
    },
    NapiPoll {
        dev: Arc<str>,
        work: u32,
        budget: u32,
    },
    NetifRx {
        len: u32,
    },
    NetifReceiveSkb {
        len: u32,
    },
    TcpProbe {
        data_len: u32,
        snd_nxt: u32,
        snd_una: u32,
        snd_wnd: u32,
    },
    TcpRetransmitSkb {
        sport: u16,
        dport: u16,
        state: &'static str,
    },
    TcpSendReset {
        sport: u16,
        dport: u16,
    },
    TcpReceiveReset {
        sport: u16,
        dport: u16,
    },
    InetSockSetState {
        sport: u16,
        dport: u16,
        oldstate: &'static str,
        newstate: &'static str,
    },
    SkDataReady {
        protocol: &'static str,
        func: &'static str,
    },
    /// It is decided that a task or a thread is woken. The stack is that of the kernel's stacktrace trigger; `{:#}` shows it.
    SchedWaking {
        waiters: u32,
        stack: Stacktrace,
    },
    /// It has been called: who slept can run now.
    SchedWakeup {
        waiters: u32,
    },
    SignalGenerate {
        sig: u8,
        errno: i32,
        code: i32,
        comm: Arc<str>,
        grp: bool,
        res: u8,
    },
    /// A signal is handed to a task, in whose place Linux would run a handler. Who asks for signals (`sigwaitinfo`) is not told
    /// of here, nor is he in Linux.
    SignalDeliver {
        sig: u8,
        errno: i32,
        code: i32,
        sa_handler: u64,
        sa_flags: u32,
    },
    /// A waiter that was told runs again. A task has a number, a thread has none.
    SchedSwitch {
        to: &'static str,
        task: Option<Id>,
    },
    /// A waiter found nothing and goes to sleep.
    SchedSleep {
        what: &'static str,
        task: Option<Id>,
    },
    /// `sys_enter_read` and its likes, with the argument that says how much. Sockets have no descriptor, and a buffer's
    /// address says nothing.
    SysEnter {
        call: Syscall,
        arg: usize,
    },
    /// `sys_exit_read` and its likes: a count, or an error's number below zero.
    SysExit {
        call: Syscall,
        ret: i64,
    },
    SkbCopyDatagramIovec {
        len: u32,
    },
    TcpRcvSpaceAdjust {
        sport: u16,
        dport: u16,
    },
    SockRecvLength {
        ret: u32,
    },
    SockSendLength {
        ret: u32,
    },
    NetDevQueue {
        dev: Arc<str>,
        len: u32,
    },
    NetDevStartXmit {
        dev: Arc<str>,
        len: u32,
    },
    NetDevXmit {
        dev: Arc<str>,
        len: u32,
        ok: bool,
    },
    KfreeSkb {
        reason: DropReason,
        len: u32,
    },
}

impl Event {
    /// The tracepoint's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Event::IrqHandlerEntry { .. } => "irq_handler_entry",
            Event::IrqHandlerExit { .. } => "irq_handler_exit",
            Event::SoftirqRaise { .. } => "softirq_raise",
            Event::SoftirqEntry { .. } => "softirq_entry",
            Event::SoftirqExit { .. } => "softirq_exit",
            Event::IpiSendCpu { .. } => "ipi_send_cpu",
            Event::NapiPoll { .. } => "napi_poll",
            Event::NetifRx { .. } => "netif_rx",
            Event::NetifReceiveSkb { .. } => "netif_receive_skb",
            Event::TcpProbe { .. } => "tcp_probe",
            Event::TcpRetransmitSkb { .. } => "tcp_retransmit_skb",
            Event::TcpSendReset { .. } => "tcp_send_reset",
            Event::TcpReceiveReset { .. } => "tcp_receive_reset",
            Event::InetSockSetState { .. } => "inet_sock_set_state",
            Event::SkDataReady { .. } => "sk_data_ready",
            Event::SchedWaking { .. } => "sched_waking",
            Event::SchedWakeup { .. } => "sched_wakeup",
            Event::SignalGenerate { .. } => "signal_generate",
            Event::SchedSwitch { .. } | Event::SchedSleep { .. } => "sched_switch",
            Event::SignalDeliver { .. } => "signal_deliver",
            Event::SysEnter { call, .. } => call.enter(),
            Event::SysExit { call, .. } => call.exit(),
            Event::SkbCopyDatagramIovec { .. } => "skb_copy_datagram_iovec",
            Event::TcpRcvSpaceAdjust { .. } => "tcp_rcv_space_adjust",
            Event::SockRecvLength { .. } => "sock_recv_length",
            Event::SockSendLength { .. } => "sock_send_length",
            Event::NetDevQueue { .. } => "net_dev_queue",
            Event::NetDevStartXmit { .. } => "net_dev_start_xmit",
            Event::NetDevXmit { .. } => "net_dev_xmit",
            Event::KfreeSkb { .. } => "kfree_skb",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Event::IrqHandlerEntry { irq, name } => write!(f, " irq={irq} name={name}"),
            Event::IrqHandlerExit { irq, handled } => {
                write!(f, " irq={irq} ret={}", if *handled { "handled" } else { "unhandled" })
            }
            Event::SoftirqRaise { vec } | Event::SoftirqEntry { vec } | Event::SoftirqExit { vec } => {
                write!(f, " vec={vec}")
            }
            Event::IpiSendCpu { cpu } => write!(f, " cpu={cpu}"),
            Event::NapiPoll { dev, work, budget } => write!(f, " dev={dev} work={work} budget={budget}"),
            Event::NetifRx { len } | Event::NetifReceiveSkb { len } | Event::SkbCopyDatagramIovec { len } => {
                write!(f, " len={len}")
            }
            Event::TcpProbe { data_len, snd_nxt, snd_una, snd_wnd } => {
                write!(f, " data_len={data_len} snd_nxt={snd_nxt:#x} snd_una={snd_una:#x} snd_wnd={snd_wnd}")
            }
            Event::TcpRetransmitSkb { sport, dport, state } => write!(f, " sport={sport} dport={dport} state={state}"),
            Event::TcpSendReset { sport, dport }
            | Event::TcpReceiveReset { sport, dport }
            | Event::TcpRcvSpaceAdjust { sport, dport } => {
                write!(f, " sport={sport} dport={dport}")
            }
            Event::InetSockSetState { sport, dport, oldstate, newstate } => {
                write!(f, " sport={sport} dport={dport} oldstate={oldstate} newstate={newstate}")
            }
            Event::SkDataReady { protocol, func } => write!(f, " protocol={protocol} func={func}"),
            Event::SchedWaking { waiters, stack } if f.alternate() => write!(f, " waiters={waiters} stack={stack}"),
            Event::SchedWaking { waiters, .. } | Event::SchedWakeup { waiters } => write!(f, " waiters={waiters}"),
            Event::SignalGenerate { sig, errno, code, comm, grp, res } => {
                write!(f, " sig={sig} errno={errno} code={code} comm={comm} grp={} res={res}", u8::from(*grp))
            }
            Event::SignalDeliver { sig, errno, code, sa_handler, sa_flags } => {
                write!(f, " sig={sig} errno={errno} code={code} sa_handler={sa_handler:x} sa_flags={sa_flags:x}")
            }
            Event::SchedSwitch { to, task } => write!(f, " next={} waited_for={to}", Name(*task)),
            Event::SchedSleep { what, task } => write!(f, " prev={} prev_state=S waits_for={what}", Name(*task)),
            Event::SysEnter { call, .. } if call.argument().is_empty() => Ok(()),
            Event::SysEnter { call, arg } => write!(f, " {}={arg}", call.argument()),
            Event::SysExit { ret, .. } => write!(f, " ret={ret}"),
            Event::SockRecvLength { ret } | Event::SockSendLength { ret } => write!(f, " ret={ret}"),
            Event::NetDevQueue { dev, len } | Event::NetDevStartXmit { dev, len } => write!(f, " dev={dev} len={len}"),
            Event::NetDevXmit { dev, len, ok } => write!(f, " dev={dev} len={len} rc={}", i32::from(!ok)),
            Event::KfreeSkb { reason, len } => write!(f, " reason={reason} len={len}"),
        }
    }
}

/// The functions through which somebody was woken, the innermost first, by the kernel's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacktrace(Vec<&'static str>);

impl Stacktrace {
    pub(crate) fn new(functions: impl IntoIterator<Item = &'static str>) -> Stacktrace {
        Stacktrace(functions.into_iter().collect())
    }

    /// The functions, the innermost first.
    #[must_use]
    pub fn functions(&self) -> &[&'static str] {
        &self.0
    }
}

impl fmt::Display for Stacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, function) in self.0.iter().enumerate() {
            write!(f, "{}{function}", if n == 0 { "" } else { " < " })?;
        }
        Ok(())
    }
}

/// A waiter's name.
struct Name(Option<Id>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "task/{id}"),
            None => f.write_str("thread"),
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a frame was not delivered. Every frame that is lost is counted under exactly one of these.
        ///
        /// The names are the kernel's (`skb:kfree_skb`), and ours where the kernel has a counter but no reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in the order in which counters hold them.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The reason's name, as the kernel prints it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// No socket for the 4-tuple and no listener.
    NoSocket = "NO_SOCKET",
    /// The socket's receive buffer is full.
    SocketRcvbuff = "SOCKET_RCVBUFF",
    /// Shorter than its headers say.
    PktTooSmall = "PKT_TOO_SMALL",
    /// A TCP checksum that does not match.
    TcpCsum = "TCP_CSUM",
    /// A UDP checksum that does not match.
    UdpCsum = "UDP_CSUM",
    /// An IP header checksum that does not match.
    IpCsum = "IP_CSUM",
    /// An IP header that is malformed.
    IpInhdr = "IP_INHDR",
    /// Not for this host.
    Otherhost = "OTHERHOST",
    /// A protocol or EtherType that nobody handles.
    UnhandledProto = "UNHANDLED_PROTO",
    /// An ICMP checksum that does not match, or a malformed ICMP message.
    IcmpCsum = "ICMP_CSUM",
    /// A fragment that was there already.
    DupFrag = "DUP_FRAG",
    /// Fragments that overlap or contradict each other.
    FragOverlap = "FRAG_OVERLAP",
    /// A fragment whose packet had to make room for others.
    FragTooFar = "FRAG_TOO_FAR",
    /// A fragment whose packet did not become whole in time.
    FragReasmTimeout = "FRAG_REASM_TIMEOUT",
    /// No route, on the way through this host.
    IpOutnoroutes = "IP_OUTNOROUTES",
    /// TCP flags that make no sense in this state.
    TcpFlags = "TCP_FLAGS",
    /// Data beyond a window of zero.
    TcpZerowindow = "TCP_ZEROWINDOW",
    /// Data that was received before.
    TcpOldData = "TCP_OLD_DATA",
    /// Data beyond the window.
    TcpOverwindow = "TCP_OVERWINDOW",
    /// Out-of-order data that was received before.
    TcpOfomerge = "TCP_OFOMERGE",
    /// The out-of-order queue is full.
    TcpOfoDrop = "TCP_OFO_DROP",
    /// An acknowledgement of data not sent, or otherwise unacceptable.
    TcpInvalidAck = "TCP_INVALID_ACK_SEQUENCE",
    /// A timestamp that is older than what was heard before.
    TcpRfc7323Paws = "TCP_RFC7323_PAWS",
    /// The same in an acknowledgement that was overtaken on its way.
    TcpRfc7323PawsAck = "TCP_RFC7323_PAWS_ACK",
    /// An echoed timestamp that was never sent.
    TcpRfc7323Tsecr = "TCP_RFC7323_TSECR",
    /// The accept queue, or the SYN queue, is full.
    TcpListenOverflow = "TCP_LISTEN_OVERFLOW",
    /// A reset outside the window.
    TcpInvalidReset = "TCP_RESET",
    /// Data for a socket that its owner has closed.
    TcpClose = "TCP_CLOSE",
    /// The CPU's backlog is full.
    CpuBacklog = "CPU_BACKLOG",
    /// The device or its host is down.
    DevReady = "DEV_READY",
    /// The packet pool's bound is reached.
    Nomem = "NOMEM",
    /// All connections together hold as much as they may (`tcp_mem`).
    ProtoMem = "PROTO_MEM",
    /// The device had no free receive descriptor (`rx_missed_errors`).
    RxMissed = "RX_MISSED",
    /// The device had no free transmit descriptor.
    TxRingFull = "TX_RING_FULL",
    /// Larger than the device's buffers or MTU.
    PktTooBig = "PKT_TOO_BIG",
    /// Nobody on the link has that address.
    NoPort = "NO_PORT",
    /// The link's queue is full.
    QdiscDrop = "QDISC_DROP",
    /// The link's verdict was loss.
    NetemLoss = "NETEM_LOSS",
    /// The neighbour did not answer.
    NeighFailed = "NEIGH_FAILED",
    /// Too many packets wait for the neighbour's answer.
    NeighQueuefull = "NEIGH_QUEUEFULL",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Lost frames by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Nothing lost yet.
    #[must_use]
    pub const fn new() -> Drops {
        Drops([0; DropReason::ALL.len()])
    }

    /// Counts one frame.
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// Counts `n` frames.
    pub fn count_many(&mut self, reason: DropReason, n: u64) {
        self.0[reason as usize] += n;
    }

    /// How many frames were lost for `reason`.
    #[must_use]
    pub const fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many frames were lost in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that have lost something, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.get(reason))).filter(|&(_, n)| n > 0)
    }

    /// Adds another table to this one.
    pub fn add(&mut self, other: &Drops) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl Default for Drops {
    fn default() -> Self {
        Drops::new()
    }
}

/// An event with the time and the place where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// The host's name.
    pub host: Arc<str>,
    /// What.
    pub event: Event,
}

/// Collects the events of all hosts that share it. Cheap to clone; clones are the same trace.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listening: AtomicBool,
    records: Mutex<Vec<Record>>,
    clock: Clock,
}

/// More events than this are not kept: a trace that nobody stops must not eat the memory.
pub const TRACE_RECORDS_MAX: usize = 1 << 20;

impl Trace {
    /// A trace to which nobody listens yet.
    #[must_use]
    pub fn new(clock: Clock) -> Trace {
        Trace(Arc::new(Shared { listening: AtomicBool::new(false), records: Mutex::default(), clock }))
    }

    /// Starts to keep events, forgetting earlier ones.
    pub fn start(&self) {
        self.records().clear();
        // Relaxed: which event is the first to be kept is nobody's concern.
        self.0.listening.store(true, Ordering::Relaxed);
    }

    /// Stops keeping events and returns those kept, in the order in which they were told.
    #[must_use]
    pub fn stop(&self) -> Vec<Record> {
        self.0.listening.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.records())
    }

    /// The voice of one host in this trace.
    #[must_use]
    pub(crate) fn tracer(&self, host: Arc<str>) -> Tracer {
        Tracer { shared: self.0.clone(), host }
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host's voice in a [`Trace`].
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    shared: Arc<Shared>,
    host: Arc<str>,
}

impl Tracer {
    /// Whether anybody listens, for what costs something to find out.
    #[inline]
    pub(crate) fn is_listening(&self) -> bool {
        self.shared.listening.load(Ordering::Relaxed)
    }

    /// Tells an event, which is only built when somebody listens.
    #[inline]
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if self.shared.listening.load(Ordering::Relaxed) {
            self.record(event());
        }
    }

    /// Tells that a system call begins.
    #[inline]
    pub(crate) fn enter_call(&self, call: Syscall, arg: usize) {
        self.emit(|| Event::SysEnter { call, arg });
    }

    /// Tells what a system call has given: what `count` makes of it, or the error.
    #[inline]
    pub(crate) fn exit_call<T>(
        &self,
        call: Syscall,
        result: io::Result<T>,
        count: impl FnOnce(&T) -> usize,
    ) -> io::Result<T> {
        self.emit(|| Event::SysExit { call, ret: return_value(&result, count) });
        result
    }

    #[cold]
    fn record(&self, event: Event) {
        let at = self.shared.clock.now();
        let mut records = self.shared.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < TRACE_RECORDS_MAX {
            records.push(Record { at, host: self.host.clone(), event });
        }
    }
}
