//! Stand-in.
use crate::handle::Handle;
use std::cell::RefCell;
thread_local! { static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) }; }

pub(crate) fn set(h: Option<Handle>) -> Option<Handle> {
    CURRENT.with(|c| c.replace(h))
}
#[track_caller]
pub(crate) fn current() -> Handle {
    try_current().expect("there is no wakeline runtime here: call this from a task, or inside Runtime::enter()")
}
pub(crate) fn try_current() -> Option<Handle> {
    CURRENT.with(|c| c.borrow().clone())
}
pub(crate) fn with_current<R>(f: impl FnOnce(&Handle) -> R) -> Option<R> {
    CURRENT.with(|c| c.borrow().as_ref().map(f))
}
