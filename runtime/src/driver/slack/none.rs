//! Systems that end a sleep when it is asked to end.

pub(crate) fn let_this_thread_wake_in_time() {}
