//! Which worker this thread is. The scheduler's own thread-local; what users see as "the current runtime" is another.

use crate::scheduler::core::Core;
use crate::scheduler::shared::Shared;
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

/// What a thread has while it is a worker.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    /// The worker's core, while a task, the main future or the driver runs; the worker's loop has it otherwise.
    core: Cell<Option<Box<Core>>>,
}

thread_local! {
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// Makes this thread a worker while `f` runs.
pub(super) fn set<R>(context: &Context, f: impl FnOnce() -> R) -> R {
    struct Restore(*const Context);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(context));
    f()
}

/// Runs `f` with what this thread is as a worker.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(Option<&Context>) -> R) -> R {
    // SAFETY: not null, it points to the context that `set` borrows for as long as the pointer stands in the slot, on
    // this thread's own stack; and `f` can not keep it.
    f(unsafe { CURRENT.get().as_ref() })
}

/// A number in `0..bound` from the generator of the worker that this thread is; `None` when it is none.
#[inline]
pub(crate) fn random(bound: u32) -> Option<u32> {
    with(|context| {
        let context = context?;
        let mut core = context.core_of(Arc::as_ptr(&context.shared))?;
        Some(core.parts().1.rng.below(bound))
    })
}

/// The number of the present poll, if this thread is the only worker of its runtime and nothing is ready beside what it
/// polls.
#[inline]
pub(crate) fn lone_poll() -> Option<u64> {
    with(|context| {
        let context = context?;
        let mut core = context.core_of(Arc::as_ptr(&context.shared))?;
        let (shared, core) = core.parts();
        let alone = core.is_idle() && shared.injector.len() == 0;
        alone.then(|| shared.workers[core.index].counters.polls.get())
    })
}

impl Context {
    pub(super) fn new(shared: Arc<Shared>, core: Box<Core>) -> Context {
        Context { shared, core: Cell::new(Some(core)) }
    }

    /// Takes the core out of its place, if it is there.
    #[inline]
    pub(super) fn take(&self) -> Option<Box<Core>> {
        self.core.take()
    }

    /// Whether the core is in its place.
    pub(super) fn has_core(&self) -> bool {
        let core = self.core.take();
        let has = core.is_some();
        self.core.set(core);
        has
    }

    /// Puts the core into its place, which is empty.
    #[inline]
    pub(super) fn put(&self, core: Box<Core>) {
        let before = self.core.replace(Some(core));
        debug_assert!(before.is_none(), "a worker has one core");
        // Spares every poll a look whether there is something to drop.
        std::mem::forget(before);
    }

    /// Lays the core on the shelf: this thread is no worker any more.
    pub(super) fn put_core_back(&self) {
        if let Some(core) = self.core.take() {
            self.shared.put_core_back(core);
        }
    }

    /// The core, if this is a worker of `scheduler` and has its core here.
    #[inline]
    pub(super) fn core_of(&self, scheduler: *const Shared) -> Option<BorrowedCore<'_>> {
        if !ptr::eq(Arc::as_ptr(&self.shared), scheduler) {
            return None;
        }
        self.core.take().map(|core| BorrowedCore { context: self, core: Some(core) })
    }
}

/// A core out of its place for a moment, in which no user code may run.
pub(super) struct BorrowedCore<'a> {
    context: &'a Context,
    core: Option<Box<Core>>,
}

impl BorrowedCore<'_> {
    /// Which worker's it is.
    #[inline]
    pub(super) fn index(&self) -> usize {
        self.core.as_ref().map_or(0, |core| core.index)
    }

    /// The core, and the scheduler, which the worker keeps alive.
    #[inline]
    pub(super) fn parts(&mut self) -> (&Shared, &mut Core) {
        (&self.context.shared, self.core.as_mut().expect("a borrowed core is there until it drops"))
    }
}

impl Drop for BorrowedCore<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            self.context.put(core);
        }
    }
}
