//! What a program has asked to be told of: functions that it gave to the builder.
//!
//! A panic in one of them is contained ([`crate::unwind`]): neither a task nor a worker pays for it.

use crate::task::TaskMeta;
use crate::unwind::contain;
use std::fmt;
use std::sync::Arc;

/// Called with nothing.
#[derive(Clone, Default)]
pub(crate) struct Hook(Option<Arc<dyn Fn() + Send + Sync>>);

/// Called with a task.
#[derive(Clone, Default)]
pub(crate) struct TaskHook(Option<Arc<OfTask>>);

type OfTask = dyn Fn(&TaskMeta<'_>) + Send + Sync;

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) thread_start: Hook,
    pub(crate) thread_stop: Hook,
    pub(crate) thread_park: Hook,
    pub(crate) thread_unpark: Hook,
    pub(crate) task_spawn: TaskHook,
    pub(crate) task_terminate: TaskHook,
    pub(crate) before_poll: TaskHook,
    pub(crate) after_poll: TaskHook,
}

impl Hook {
    pub(crate) fn new(f: impl Fn() + Send + Sync + 'static) -> Hook {
        Hook(Some(Arc::new(f)))
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub(crate) fn call(&self) {
        if let Some(hook) = &self.0 {
            contain(|| hook());
        }
    }
}

impl TaskHook {
    pub(crate) fn new(f: impl Fn(&TaskMeta<'_>) + Send + Sync + 'static) -> TaskHook {
        TaskHook(Some(Arc::new(f)))
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub(crate) fn call(&self, task: &TaskMeta<'_>) {
        if let Some(hook) = &self.0 {
            contain(|| hook(task));
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "set" } else { "unset" })
    }
}

impl fmt::Debug for TaskHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "set" } else { "unset" })
    }
}
