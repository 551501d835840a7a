//! An io_uring behind a safe face: requests go in, completions come out, and received bytes are lent for as long as it takes to
//! copy them.
//!
//! # References
//! The kernel refers to the buffers of a receive, and to nothing else of ours: a poll or a cancellation points nowhere. Requests
//! and completions know each other by a number of the caller's. `in_flight` counts requests whose last completion has not been
//! seen; the buffers are freed when there are none.
//!
//! # Who enters
//! Any thread may push; the one that has the driver takes the requests to the kernel when it looks or sleeps. Does it sleep, whoever
//! pushes enters himself. Both look at `asleep` under the lock of the submission queue, under which the sleeper has counted what it
//! takes along, so nothing is left behind.

use super::buffers::{BUFFER_BYTES, Buffers, COUNT};
use crate::atomic::Mutex;
use io_uring::cqueue::{buffer_select, more};
use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The ring with its two ends.
pub(super) struct Kernel {
    // Closed before the buffers go.
    ring: IoUring,
    submission: Mutex<Submission>,
    completion: Mutex<Completion>,
}

struct Submission {
    /// Whoever has the driver sleeps, and has taken along what was queued.
    asleep: bool,
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
    /// A ring that can do what is asked of it here. With `lone`, one thread does all the work: then the kernel need not
    /// interrupt it to complete what is in flight.
    ///
    /// # Errors
    /// A text that says what the kernel refuses, and why.
    pub(super) fn new(lone: bool) -> Result<Kernel, String> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(COMPLETIONS);
        if lone {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        let ring = builder.build(REQUESTS).map_err(|error| refused("io_uring_setup", &error))?;
        if !(ring.params().is_feature_ext_arg() && ring.params().is_feature_nodrop()) {
            return Err("the kernel's io_uring has no timeouts (IORING_FEAT_EXT_ARG, Linux 5.11)".to_owned());
        }
        let buffers = Buffers::new();
        // SAFETY: the table has so many entries, and lives until the ring is closed: `ring` is dropped before it.
        unsafe { ring.submitter().register_buf_ring_with_flags(buffers.table(), COUNT, GROUP, 0) }
            .map_err(|error| refused("a ring of buffers (Linux 5.19)", &error))?;
        buffers.tell();
        let kernel = Kernel {
            ring,
            submission: Mutex::new(Submission { asleep: false, in_flight: 0 }),
            completion: Mutex::new(Completion { buffers: Some(buffers) }),
        };
        kernel.try_receive()?;
        Ok(kernel)
    }

    /// Queues a request; a descriptor in it must stay open until it is submitted.
    ///
    /// # Errors
    /// When the queue is full and the kernel takes nothing out of it.
    pub(super) fn push(&self, about: u64, request: Request) -> io::Result<()> {
        let entry = match request {
            Request::Receive(fd) => opcode::RecvMulti::new(Fd(fd), GROUP).build(),
            Request::Poll(fd, events) => opcode::PollAdd::new(Fd(fd), events).build(),
            Request::Cancel(other) => opcode::AsyncCancel::new(other).build(),
        };
        let mut submission = self.submission.lock();
        self.queue(&entry.user_data(about))?;
        submission.in_flight += 1;
        if submission.asleep { self.submit() } else { Ok(()) }
    }

    /// Takes what is queued to the kernel.
    ///
    /// # Errors
    /// When the kernel has no memory for it.
    pub(super) fn flush(&self) -> io::Result<()> {
        let _submission = self.submission.lock();
        self.submit()
    }

    /// Takes what is queued to the kernel, and waits at most `wait` (`None`: without limit) for a completion.
    ///
    /// May return early. Without a wait and with nothing to do it makes no system call.
    pub(super) fn enter(&self, wait: Option<Duration>) {
        let sleeps = wait != Some(Duration::ZERO) && !self.has_completions();
        {
            let mut submission = self.submission.lock();
            // SAFETY: whoever has the lock has the only one.
            let queue = unsafe { self.ring.submission_shared() };
            if !sleeps && queue.is_empty() && !queue.taskrun() && !queue.cq_overflow() {
                return;
            }
            submission.asleep = sleeps;
        }
        let submitter = self.ring.submitter();
        let result = match wait {
            _ if !sleeps => submitter.submit(),
            None => submitter.submit_and_wait(1),
            Some(wait) => submitter.submit_with_args(1, &SubmitArgs::new().timespec(&Timespec::from(wait))),
        };
        if sleeps {
            self.submission.lock().asleep = false;
        }
        match result {
            Ok(_) => {}
            // Nothing came in time; a signal; completions have to be fetched first; no memory now.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) => panic!("the operating system refuses to wait for its ring: {error}"),
        }
    }

    /// Waits a moment for a completion, on a thread that does not have the driver.
    pub(super) fn enter_beside(&self) {
        // It fails when nothing comes.
        let _ = self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&Timespec::from(BESIDE)));
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

    fn queue(&self, entry: &Entry) -> io::Result<()> {
        loop {
            {
                // SAFETY: the caller has the lock of the submission queue, and so the only one.
                let mut queue = unsafe { self.ring.submission_shared() };
                // SAFETY: what it points to, if anything, are the buffers of the ring, which live longer than it.
                if unsafe { queue.push(entry) }.is_ok() {
                    return Ok(());
                }
            }
            if self.ring.submit()? == 0 {
                return Err(io::Error::new(ErrorKind::WouldBlock, "the kernel takes no requests from its ring"));
            }
        }
    }

    fn submit(&self) -> io::Result<()> {
        loop {
            match self.ring.submit() {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Completions have to be fetched first: that wakes whoever sleeps, and he comes back with what is queued.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(()),
                Err(error) => return Err(error),
            }
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
