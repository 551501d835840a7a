//! Where a task comes from, and what others are told of it.

use crate::namespace::Namespace;
use crate::task::id::Id;
use crate::trace::About;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What a task keeps of its spawning.
pub(crate) struct Origin {
    pub(super) namespace: Option<Namespace>,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) name: Option<Name>,
}

impl Origin {
    /// The caller's place, no name.
    #[track_caller]
    #[inline]
    pub(crate) fn here(namespace: Option<Namespace>) -> Origin {
        Origin { namespace, spawned_at: Location::caller(), name: None }
    }

    /// The same with a name, if there is one.
    pub(crate) fn named(mut self, name: Option<&str>) -> Origin {
        self.name = name.map(|name| Name(Arc::new(name.to_owned())));
        self
    }

    /// What an observer is told of a task from here.
    pub(crate) fn about(&self, kind: &'static str, id: Id) -> About<'_> {
        About { kind, id: id.number(), name: name(&self.name), spawned_at: self.spawned_at }
    }
}

/// A task's name, one word wide: every task has room for it, and few have one.
#[derive(Clone, Debug)]
pub(crate) struct Name(Arc<String>);

/// A copy of what a task may be told by, which outlives it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(super) id: Id,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) name: Option<Name>,
}

/// A task that is only talked about.
#[cfg(all(test, not(loom)))]
pub(crate) fn identity_for_tests(origin: Origin) -> Identity {
    Identity { id: Id::next(), spawned_at: origin.spawned_at, name: origin.name }
}

impl Identity {
    pub(crate) fn meta(&self) -> TaskMeta<'_> {
        TaskMeta { id: self.id, spawned_at: self.spawned_at, name: name(&self.name) }
    }
}

pub(super) fn name(name: &Option<Name>) -> Option<&str> {
    name.as_ref().map(|name| name.0.as_str())
}

/// What a hook is told of a task.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// use wakeline_runtime::{Builder, task::TaskMeta};
///
/// let runtime = Builder::new_current_thread()
///     .on_task_spawn(|task: &TaskMeta<'_>| println!("task {} from {}", task.id(), task.spawned_at()))
///     .build()?;
/// let _ = runtime.block_on(runtime.spawn(async {}));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TaskMeta<'a> {
    pub(super) id: Id,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) name: Option<&'a str>,
}

impl<'a> TaskMeta<'a> {
    /// The task's identity.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The name it was given by `task::Builder`.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.name
    }

    /// Where in the program it was spawned.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }
}

impl fmt::Debug for TaskMeta<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = format_args!("{}", self.spawned_at);
        f.debug_struct("TaskMeta").field("id", &self.id).field("name", &self.name).field("spawned_at", &at).finish()
    }
}

/// As a report calls it: `task 7 "reader", spawned at src/main.rs:3:5`.
impl fmt::Display for TaskMeta<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ", spawned at {}", self.spawned_at)
    }
}
