//! An io_uring behind a safe face: requests go in, completions come out, and received bytes are lent for as long as it takes to
//! copy them.
//!
//! # References
//! The kernel refers to the buffers of a receive, and to nothing else of ours: a poll or a cancellation points nowhere. Requests
//! and completions know each other by a number of the caller's. `in_flight` counts requests that the kernel has and whose last
//! completion has not been seen; the buffers are freed when there are none.
//!
//! # Who enters
//! Any thread may push; the one that has the driver takes the requests to the kernel when it looks or sleeps. Does it sleep, whoever
//! pushes enters himself, or wakes it where only one thread may enter. Both look at `asleep` under the lock of the submission, under
//! which the sleeper has counted what it takes along, so nothing is left behind.
//!
//! # A ring of one thread
//! With `IORING_SETUP_DEFER_TASKRUN` the kernel does its part of a receive when the thread asks for completions, and not at the end
//! of its next system call. The ring is that thread's for good: the first that drives it. Before another goes on with another ring
//! it [retires](Kernel::retire) this one: from then on nobody enters it, and since nothing is received but by who enters, no bytes
//! get lost between the two.

use super::buffers::{BUFFER_BYTES, Buffers, COUNT};
use crate::atomic::Mutex;
use crate::park::Parker;
use io_uring::cqueue::{buffer_select, more};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode};
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// The ring with its two ends.
pub(super) struct Kernel {
    // Closed before the buffers go.
    ring: IoUring,
    enters: Enters,
    submission: Mutex<Submission>,
    completion: Mutex<Completion>,
}

/// Which threads may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuers {
    /// Any, of several that drive the runtime.
    Many,
    /// Any, of which one at a time drives the runtime: the kernel need not interrupt it to complete what is in flight.
    OneAtATime,
}

enum Enters {
    Anybody,
    /// The thread that came first.
    Only(Owner),
}

struct Owner {
    thread: OnceLock<ThreadId>,
    /// Makes it come back from its sleep.
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Submission {
    /// What the kernel is to be told, in this order. A source has at most one request of each kind in it.
    waiting: Vec<(u64, Request)>,
    /// Whoever has the driver sleeps, and has taken along what was waiting.
    asleep: bool,
    /// Nobody enters any more.
    retired: bool,
    in_flight: usize,
}

struct Completion {
    /// `None` when they had to be left to the kernel.
    buffers: Option<Buffers>,
}

/// What the kernel is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    /// Receive what comes, again and again, into buffers of the ring.
    Receive(RawFd),
    /// Tell once of one of these events of `poll(2)`.
    Poll(RawFd, u32),
    /// End the request of this number.
    Cancel(u64),
}

/// What the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done<'a> {
    /// The number of the request.
    pub(super) about: u64,
    /// As a system call returns it: a negative one is an error.
    pub(super) result: i32,
    /// Whether the request goes on.
    pub(super) more: bool,
    /// What was received.
    pub(super) bytes: &'a [u8],
}

/// Requests that are taken to the kernel at once.
const REQUESTS: u32 = 1024;
/// Completions between two looks; the kernel keeps more, at a cost.
const COMPLETIONS: u32 = 8192;
/// The group of all buffers.
const GROUP: u16 = 0;
/// How long [`Kernel::enter_beside`] waits: what it waits for may have been fetched by another.
const BESIDE: Duration = Duration::from_millis(1);
/// How often a ring that closes looks whether all is over, and how long each look waits.
const LAST_LOOKS: u32 = 100;
const LAST_LOOK: Duration = Duration::from_millis(10);

impl Kernel {
    /// A ring that can do what is asked of it here.
    ///
    /// # Errors
    /// A text that says what the kernel refuses, and why.
    pub(super) fn new(issuers: Issuers) -> Result<Kernel, String> {
        let mut builder = IoUring::builder();
        if issuers == Issuers::OneAtATime {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        let kernel = Kernel::build(builder, Enters::Anybody)?;
        kernel.try_receive()?;
        Ok(kernel)
    }

    /// A ring of the thread that will be the first to [`enter`](Kernel::enter) it, whom `wake` wakes, by something that the ring
    /// polls. It is not tried: where there is a ring that has been, it works as well.
    ///
    /// # Errors
    /// A text that says what the kernel refuses (before Linux 6.1), and why.
    pub(super) fn of_one_thread(wake: impl Fn() + Send + Sync + 'static) -> Result<Kernel, String> {
        let mut builder = IoUring::builder();
        // Disabled, so that it is the thread's who enables it.
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_r_disabled();
        Kernel::build(builder, Enters::Only(Owner { thread: OnceLock::new(), wake: Box::new(wake) }))
    }

    fn build(mut builder: io_uring::Builder, enters: Enters) -> Result<Kernel, String> {
        builder.setup_clamp().setup_cqsize(COMPLETIONS);
        let ring = builder.build(REQUESTS).map_err(|error| refused("io_uring_setup", &error))?;
        if !(ring.params().is_feature_ext_arg() && ring.params().is_feature_nodrop()) {
            return Err("the kernel's io_uring has no timeouts (IORING_FEAT_EXT_ARG, Linux 5.11)".to_owned());
        }
        let buffers = Buffers::new();
        // SAFETY: the table has so many entries, and lives until the ring is closed: `ring` is dropped before it.
        unsafe { ring.submitter().register_buf_ring_with_flags(buffers.table(), COUNT, GROUP, 0) }
            .map_err(|error| refused("a ring of buffers (Linux 5.19)", &error))?;
        buffers.tell();
        let submission = Submission { waiting: Vec::new(), asleep: false, retired: false, in_flight: 0 };
        Ok(Kernel {
            ring,
            enters,
            submission: Mutex::new(submission),
            completion: Mutex::new(Completion { buffers: Some(buffers) }),
        })
    }

    /// Queues a request; a descriptor in it must stay open until it is submitted or [retracted](Kernel::retract).
    ///
    /// # Errors
    /// When the kernel takes nothing.
    pub(super) fn push(&self, about: u64, request: Request) -> io::Result<()> {
        let mut submission = self.submission.lock();
        submission.waiting.push((about, request));
        if submission.asleep { self.submit(&mut submission) } else { Ok(()) }
    }

    /// Takes a request back that the kernel has not been told of; says whether there was one.
    pub(super) fn retract(&self, about: u64) -> bool {
        let waiting = &mut self.submission.lock().waiting;
        let found = waiting.iter().position(|&(other, _)| other == about);
        found.map(|at| waiting.remove(at)).is_some()
    }

    /// Takes what is queued to the kernel, or has the thread do so that alone may: at once, or when it drives the runtime next.
    ///
    /// # Errors
    /// When the kernel has no memory for it.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.submit(&mut self.submission.lock())
    }

    /// Whether something is queued.
    pub(super) fn is_owed(&self) -> bool {
        let submission = self.submission.lock();
        // SAFETY: whoever has the lock has the only one.
        let queue = unsafe { self.ring.submission_shared() };
        !(submission.waiting.is_empty() && queue.is_empty())
    }

    /// Takes what is queued to the kernel, and waits at most `wait` (`None`: without limit) for a completion.
    ///
    /// May return early. Without a wait and with nothing to do it makes no system call. `false` when this thread may not enter.
    pub(super) fn enter(&self, wait: Option<Duration>) -> bool {
        if !self.claim() {
            return false;
        }
        let mut sleeps = wait != Some(Duration::ZERO) && !self.has_completions();
        let queued = {
            let mut submission = self.submission.lock();
            let queued = self.hand_over(&mut submission);
            sleeps &= submission.waiting.is_empty();
            // SAFETY: whoever has the lock has the only one.
            let queue = unsafe { self.ring.submission_shared() };
            if !sleeps && queued == 0 && !queue.taskrun() && !queue.cq_overflow() {
                return true;
            }
            submission.asleep = sleeps;
            queued
        };
        let submitter = self.ring.submitter();
        let mut result = match wait {
            _ if !sleeps => self.look(queued),
            None => submitter.submit_and_wait(1),
            Some(wait) => submitter.submit_with_args(1, &SubmitArgs::new().timespec(&Timespec::from(wait))),
        };
        if sleeps {
            let mut submission = self.submission.lock();
            submission.asleep = false;
            // What somebody woke it for who may not enter.
            match self.hand_over(&mut submission) {
                0 => {}
                queued => result = result.and(self.look(queued)),
            }
        }
        match result {
            Ok(_) => {}
            // Nothing came in time; a signal; completions have to be fetched first; no memory now.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) => panic!("the operating system refuses to wait for its ring: {error}"),
        }
        true
    }

    /// From here on nobody enters the ring. What has been completed can still be fetched; all the rest is cancelled when the ring
    /// is dropped.
    pub(super) fn retire(&self) {
        self.submission.lock().retired = true;
    }

    /// Waits a moment for a completion, on a thread that does not have the driver.
    pub(super) fn enter_beside(&self) {
        let args = SubmitArgs::new();
        let moment = Timespec::from(BESIDE);
        match &self.enters {
            // It fails when nothing comes.
            Enters::Anybody => drop(self.ring.submitter().submit_with_args(1, &args.timespec(&moment))),
            Enters::Only(_) => {
                let submission = self.submission.lock();
                if self.may_enter(&submission) {
                    let _ = self.ring.submitter().submit_with_args(1, &args.timespec(&moment));
                } else {
                    drop(submission);
                    Parker::new().park_timeout(BESIDE);
                }
            }
        }
    }

    /// Whether there is something to [fetch](Kernel::drain).
    pub(super) fn has_completions(&self) -> bool {
        let _completion = self.completion.lock();
        // SAFETY: whoever has the lock has the only one.
        let queue = unsafe { self.ring.completion_shared() };
        !queue.is_empty()
    }

    /// Fetches what has been completed by now.
    pub(super) fn drain(&self, mut each: impl FnMut(Done<'_>)) {
        let mut completion = self.completion.lock();
        // SAFETY: whoever has the lock has the only one.
        let queue = unsafe { self.ring.completion_shared() };
        let mut over = 0;
        for entry in queue {
            let (about, result, flags) = (entry.user_data(), entry.result(), entry.flags());
            over += usize::from(!more(flags));
            let number = buffer_select(flags);
            let bytes = match (&completion.buffers, number, usize::try_from(result)) {
                (Some(buffers), Some(number), Ok(len)) => buffers.bytes(number, len),
                _ => &[],
            };
            each(Done { about, result, more: more(flags), bytes });
            if let (Some(buffers), Some(number)) = (&mut completion.buffers, number) {
                buffers.give(number);
            }
        }
        if let Some(buffers) = &completion.buffers {
            buffers.tell();
        }
        drop(completion);
        if over > 0 {
            self.submission.lock().in_flight -= over;
        }
    }

    /// Puts what is waiting into the kernel's queue, as far as there is room; says how much is in there now.
    fn hand_over(&self, submission: &mut Submission) -> u32 {
        // SAFETY: the caller has the lock of the submission, and so the only one.
        let mut queue = unsafe { self.ring.submission_shared() };
        let n = submission.waiting.len().min(queue.capacity() - queue.len());
        for (about, request) in submission.waiting.drain(..n) {
            let entry = match request {
                Request::Receive(fd) => opcode::RecvMulti::new(Fd(fd), GROUP).build(),
                Request::Poll(fd, events) => opcode::PollAdd::new(Fd(fd), events).build(),
                Request::Cancel(other) => opcode::AsyncCancel::new(other).build(),
            };
            // SAFETY: what it points to, if anything, are the buffers of the ring, which live longer than it.
            unsafe { queue.push(&entry.user_data(about)) }.expect("there is room for so many");
            submission.in_flight += 1;
        }
        queue.len() as u32
    }

    fn submit(&self, submission: &mut Submission) -> io::Result<()> {
        if !self.may_enter(submission) {
            if let (true, Enters::Only(owner)) = (submission.asleep, &self.enters) {
                (owner.wake)();
            }
            return Ok(());
        }
        loop {
            let queued = self.hand_over(submission);
            match self.look(queued) {
                Ok(_) if submission.waiting.is_empty() => return Ok(()),
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::WouldBlock, "the kernel takes no requests from its ring"));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Completions have to be fetched first: that wakes whoever sleeps, and he comes back with what is queued.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Submits the queue, which is so long, and has completed what can be. Does not wait.
    fn look(&self, queued: u32) -> io::Result<usize> {
        // SAFETY: without an argument there is nothing that the call could misread.
        unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, EnterFlags::GETEVENTS.bits(), None) }
    }

    /// Makes the ring this thread's if it is nobody's; says whether this thread may enter. For who has the driver.
    fn claim(&self) -> bool {
        let Enters::Only(owner) = &self.enters else { return true };
        let me = thread::current().id();
        match owner.thread.get() {
            Some(&thread) => thread == me,
            None => self.ring.submitter().register_enable_rings().is_ok() && owner.thread.set(me).is_ok(),
        }
    }

    fn may_enter(&self, submission: &Submission) -> bool {
        match &self.enters {
            Enters::Anybody => true,
            Enters::Only(owner) => !submission.retired && owner.thread.get() == Some(&thread::current().id()),
        }
    }

    /// Receives a byte, to see whether the kernel can do it again and again (Linux 6.0).
    fn try_receive(&self) -> Result<(), String> {
        let what = "a multishot receive (Linux 6.0)";
        let refuse = |error: io::Error| refused(what, &error);
        let (mut here, there) = UnixStream::pair().map_err(refuse)?;
        self.push(0, Request::Receive(there.as_raw_fd())).map_err(refuse)?;
        here.write_all(b"?").map_err(refuse)?;
        let mut answer = None;
        for _ in 0..LAST_LOOKS {
            self.enter(Some(LAST_LOOK));
            self.drain(|done| answer = answer.or(Some((done.result, done.more, done.bytes == b"?"))));
            if answer.is_some() {
                break;
            }
        }
        let (result, more, right) = answer.ok_or_else(|| format!("{what} does not complete"))?;
        if result < 0 {
            return Err(refused(what, &io::Error::from_raw_os_error(-result)));
        }
        if !(more && right) {
            return Err(format!("the kernel does not know {what}"));
        }
        // The end of the stream ends the receive.
        drop(here);
        if self.settles() { Ok(()) } else { Err(format!("{what} does not end")) }
    }

    /// Waits a while until nothing is in flight.
    fn settles(&self) -> bool {
        for _ in 0..LAST_LOOKS {
            self.drain(|_| {});
            if self.submission.lock().in_flight == 0 {
                return true;
            }
            self.enter(Some(LAST_LOOK));
        }
        false
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if !self.may_enter(&self.submission.lock()) {
            // A thread that has ended has completed what it had in flight.
            self.drain(|_| {});
            if self.submission.lock().in_flight > 0 {
                std::mem::forget(self.completion.get_mut().buffers.take());
            }
            return;
        }
        // What was queued counts as in flight: only the kernel can complete it.
        let _ = self.flush();
        // It fails where there is nothing to cancel.
        let _ = self.ring.submitter().register_sync_cancel(Some(Timespec::from(LAST_LOOK)), CancelBuilder::any());
        if !self.settles() {
            // The kernel may still write into them.
            std::mem::forget(self.completion.get_mut().buffers.take());
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("buffer_bytes", &BUFFER_BYTES).finish_non_exhaustive()
    }
}

/// Lets the peer of a socket see a reset when it is closed: SO_LINGER with no time.
pub(super) fn reset_on_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the value is a valid `linger` of the length that is told, and outlives the call, which reads it. It fails for a
    // number that is no socket's.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
}

fn refused(what: &str, error: &io::Error) -> String {
    format!("the kernel refuses {what}: {error}")
}
