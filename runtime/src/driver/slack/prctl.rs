//! Linux lets a timed sleep end up to 50 us late, to wake several threads at once: the timer slack of a thread. A thread
//! that sleeps for a whole runtime has nobody to wait for.

use std::cell::Cell;

thread_local! {
    static DONE: Cell<bool> = const { Cell::new(false) };
}

/// Takes the calling thread's timer slack away, once.
///
/// It stays away when the thread leaves the runtime: its later sleeps end in time as well.
pub(crate) fn let_this_thread_wake_in_time() {
    // Late in thread exit there is no thread-local, and no need.
    if DONE.try_with(|done| done.replace(true)).unwrap_or(true) {
        return;
    }
    let nanoseconds: libc::c_ulong = 1;
    // SAFETY: `PR_SET_TIMERSLACK` takes one unsigned long, which is given with its type, and touches no memory. A kernel
    // that does not know it returns an error, and sleeps end as late as before.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) };
}
