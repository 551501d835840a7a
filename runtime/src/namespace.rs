//! What a task stands in: one opaque value that follows a task, and the tasks it spawns, wherever they run.
//!
//! The runtime does not know what it is. The network half keeps the network namespace here, as Linux keeps `nsproxy` in
//! `task_struct`: a socket that a task opens belongs to the network the task stands on.

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;

/// An opaque, shared value. Two clones are the same namespace.
#[derive(Clone)]
pub struct Namespace(Arc<Value>);

/// One word wide outside: every task has room for it, and moves it at each poll.
type Value = Arc<dyn Any + Send + Sync>;

impl Namespace {
    /// Wraps a shared value; [`Namespace::downcast`] gives it back.
    pub fn new<T: Any + Send + Sync>(value: Arc<T>) -> Namespace {
        Namespace(Arc::new(value))
    }

    /// The value, when it is a `T`.
    #[must_use]
    pub fn downcast<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::downcast(Value::clone(&self.0)).ok()
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Namespace").field(&Arc::as_ptr(&self.0)).finish()
    }
}

thread_local! {
    static CURRENT: Cell<Option<Namespace>> = const { Cell::new(None) };
}

/// The namespace the calling task or thread stands in; `None` is the outermost one.
#[must_use]
pub fn current() -> Option<Namespace> {
    let mut here = None;
    swap(&mut here);
    let found = here.clone();
    swap(&mut here);
    found
}

/// Puts the calling thread into `namespace` until the guard drops.
///
/// For threads, and for the span of one poll. A guard must not be held across an `.await`: the task may go on elsewhere.
#[must_use = "the thread leaves the namespace when the guard drops"]
pub fn enter(namespace: Option<Namespace>) -> Entered {
    let mut previous = namespace;
    swap(&mut previous);
    Entered { previous, _not_send: std::marker::PhantomData }
}

/// What the calling thread stood in before is put back when this drops.
#[derive(Debug)]
pub struct Entered {
    previous: Option<Namespace>,
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        swap(&mut self.previous);
    }
}

/// Exchanges the thread's namespace with `other`; late in thread exit there is none, and nothing happens.
#[inline]
pub(crate) fn swap(other: &mut Option<Namespace>) {
    let _ = CURRENT.try_with(|current| current.swap(Cell::from_mut(other)));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn guards_nest_and_restore() {
        assert!(current().is_none());
        let outer = enter(Some(Namespace::new(Arc::new(1_u8))));
        {
            let _inner = enter(Some(Namespace::new(Arc::new("two"))));
            assert_eq!(current().and_then(|n| n.downcast::<&str>()).as_deref(), Some(&"two"));
            assert!(current().and_then(|n| n.downcast::<u8>()).is_none());
        }
        assert_eq!(current().and_then(|n| n.downcast::<u8>()).as_deref(), Some(&1));
        drop(outer);
        assert!(current().is_none());
    }
}
