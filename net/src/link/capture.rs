//! Captures: what passes a LAN, written as a pcapng file by a thread of its own.
//!
//! The ports give copies of frames into a [`Spool`], a queue with a bound on its bytes; the thread ([`crate::link::pcapng`])
//! writes what it finds there. A writer that is too slow loses frames, which are counted, and never holds up the
//! network. In virtual time it is waited for instead: such a network can wait, and its capture is the same in every run.
//!
//! While nobody captures, a batch of frames costs one relaxed load.

use crate::link::pcapng;
use crate::link::port::Port;
use crate::link::switch::PortId;
use crate::packet::{IpSummed, PacketBuf};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use wakeline_runtime::clock::{Clock, Instant};

/// All captures of one LAN.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    /// Whether there is any.
    any: AtomicBool,
    spools: RwLock<Vec<Arc<Spool>>>,
}

/// Which way a frame passed a port, as seen by the device behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The device received it.
    In,
    /// The device sent it.
    Out,
}

/// What a capture wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each frame of the LAN once: as it leaves its sender.
    Lan,
    /// What one device sends and receives.
    Port(PortId),
}

impl Captures {
    /// Whether anybody captures.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        // Relaxed: which frame is the first to be captured is nobody's concern.
        self.any.load(Ordering::Relaxed)
    }

    /// Copies frames that pass a port into the captures that want them.
    #[cold]
    pub(crate) fn take(&self, clock: &Clock, id: PortId, port: &Port, way: Way, frames: &[PacketBuf]) {
        let now = clock.now();
        for spool in &*self.spools.read().unwrap_or_else(PoisonError::into_inner) {
            let wanted = match spool.scope {
                Scope::Lan => way == Way::Out,
                Scope::Port(wanted) => wanted == id,
            };
            if wanted {
                spool.take(now, id, port, way, frames);
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Spool>>)) {
        let mut spools = self.spools.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut spools);
        self.any.store(!spools.is_empty(), Ordering::Relaxed);
    }
}

/// One captured frame.
pub(crate) struct Record {
    /// Since 1970 began, or since a virtual clock did.
    pub(crate) at: Duration,
    pub(crate) port: PortId,
    pub(crate) name: Arc<str>,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) way: Way,
    pub(crate) frame: Box<[u8]>,
    /// Its sender left the transport checksum to the device.
    pub(crate) is_partial: bool,
}

/// Frames between a LAN and the thread that writes them.
#[derive(Debug)]
pub(crate) struct Spool {
    scope: Scope,
    time: Timeline,
    state: Mutex<State>,
    /// Woken for the writer: there are records, or will be none any more.
    filled: Condvar,
    /// Woken for those who wait for room, in virtual time.
    drained: Condvar,
}

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    bytes: usize,
    lost: BTreeMap<PortId, u64>,
    closed: bool,
}

/// How the LAN's moments are told in a file.
#[derive(Clone, Copy, Debug)]
enum Timeline {
    /// A moment of the LAN's clock, and the time of day at it.
    Real(Instant, Duration),
    /// By itself: the clock stood when the capture began.
    Virtual,
}

/// How many bytes of frames wait for the writer.
const SPOOL_BYTES_MAX: usize = 32 << 20;
/// What a record costs beside its frame's bytes.
const RECORD_BYTES: usize = 128;

impl Spool {
    fn new(scope: Scope, clock: &Clock) -> Spool {
        let time = if stands(clock) {
            Timeline::Virtual
        } else {
            let time_of_day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Timeline::Real(clock.now(), time_of_day.unwrap_or_default())
        };
        Spool { scope, time, state: Mutex::default(), filled: Condvar::new(), drained: Condvar::new() }
    }

    fn take(&self, now: Instant, id: PortId, port: &Port, way: Way, frames: &[PacketBuf]) {
        let at = match self.time {
            Timeline::Real(moment, time_of_day) => time_of_day + now.saturating_duration_since(moment),
            Timeline::Virtual => Duration::from_nanos(now.as_nanos()),
        };
        let mut state = self.state();
        let was_empty = state.records.is_empty();
        for frame in frames {
            let bytes = frame.len() + RECORD_BYTES;
            while matches!(self.time, Timeline::Virtual) && state.is_full(bytes) && !state.closed {
                self.filled.notify_one();
                state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return;
            }
            if state.is_full(bytes) {
                *state.lost.entry(id).or_default() += 1;
                continue;
            }
            state.bytes += bytes;
            state.records.push_back(Record {
                at,
                port: id,
                name: port.name.clone(),
                mac: port.mac.map(|mac| mac.0),
                way,
                frame: frame.to_vec().into(),
                is_partial: frame.rx.ip_summed == IpSummed::Partial,
            });
        }
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Everything that waits, once something does; `None` when nothing will come any more. The writer's.
    pub(crate) fn drain(&self) -> Option<VecDeque<Record>> {
        let mut state = self.state();
        while state.records.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes = 0;
        let records = mem::take(&mut state.records);
        drop(state);
        self.drained.notify_all();
        Some(records)
    }

    /// How many frames of each port found the spool full.
    pub(crate) fn lost(&self) -> BTreeMap<PortId, u64> {
        self.state().lost.clone()
    }

    /// Nothing is taken any more; what waits can still be drained.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a clock moves only when it is moved: whoever goes by it can wait, and nobody outside waits for it.
pub(crate) fn stands(clock: &Clock) -> bool {
    match clock {
        Clock::Virtual(_) => true,
        Clock::Pausable(clock) => clock.stands(),
        _ => false,
    }
}

impl State {
    fn is_full(&self, bytes: usize) -> bool {
        self.bytes + bytes > SPOOL_BYTES_MAX && !self.records.is_empty()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("records", &self.records.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// What a capture has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Captured {
    /// Frames in the file.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that came faster than they could be written, and are missing. None in virtual time.
    pub dropped: u64,
}

/// A capture that is going on. It ends when it is [finished](Capture::finish) or dropped.
#[must_use = "the capture ends when it drops"]
pub struct Capture {
    captures: Arc<Captures>,
    spool: Arc<Spool>,
    writer: Option<JoinHandle<io::Result<Captured>>>,
}

impl Capture {
    /// Begins to write what `scope` wants of a network, whose clock is `clock`, to `to`.
    pub(crate) fn start(
        captures: &Arc<Captures>,
        clock: &Clock,
        scope: Scope,
        to: impl io::Write + Send + 'static,
    ) -> io::Result<Capture> {
        let spool = Arc::new(Spool::new(scope, clock));
        let write = {
            let spool = spool.clone();
            move || {
                let result = pcapng::write(&spool, to);
                // After an error nobody drains it.
                spool.close();
                result
            }
        };
        let writer = std::thread::Builder::new().name("capture".into()).spawn(write)?;
        captures.change(|spools| spools.push(spool.clone()));
        Ok(Capture { captures: captures.clone(), spool, writer: Some(writer) })
    }

    /// Ends the capture: returns when everything that was captured has been written.
    ///
    /// It blocks the calling thread while the writer takes what is left, 32 MiB at most.
    ///
    /// # Errors
    /// Those of the writer. After its first error nothing was captured any more.
    pub fn finish(mut self) -> io::Result<Captured> {
        self.end()
    }

    fn end(&mut self) -> io::Result<Captured> {
        let Some(writer) = self.writer.take() else { return Ok(Captured::default()) };
        self.captures.change(|spools| spools.retain(|spool| !Arc::ptr_eq(spool, &self.spool)));
        self.spool.close();
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer of a capture has panicked")))
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("scope", &self.spool.scope).finish_non_exhaustive()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Who wants to know of errors finishes it.
        let _ = self.end();
    }
}
