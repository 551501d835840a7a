//! `select(2)`: three sets of descriptors, which go in with what is asked and come out with what holds.

use crate::api::budget::budgeted;
use crate::poll::file::{File, FileId};
use crate::poll::source::Source;
use crate::poll::table::{PollTable, Watched};
use crate::stack::error::SocketError;
use crate::syscall::Syscall;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::time::Duration;
use wakeline_runtime::wait_queue::Events;

/// How many descriptors fit into a set. A simplification: Linux's limit is the largest descriptor's number; handles have
/// no numbers here, so it is how many there are.
pub const FD_SETSIZE: usize = 1024;

/// `POLLIN_SET`: what makes a descriptor stay in the first set.
const READ: Events = Events::RDNORM.union(Events::RDBAND).union(Events::IN).union(Events::HUP).union(Events::ERR);
/// `POLLOUT_SET`
const WRITE: Events = Events::WRBAND.union(Events::WRNORM).union(Events::OUT).union(Events::ERR);
/// `POLLEX_SET`
const EXCEPT: Events = Events::PRI;

/// `fd_set`: a set of descriptors, at most [`FD_SETSIZE`].
#[derive(Clone, Default)]
pub struct FdSet {
    members: Vec<Member>,
}

/// A file, and which of its descriptors.
type Name = (FileId, u32);

#[derive(Clone)]
struct Member {
    name: Name,
    file: File,
}

impl FdSet {
    /// The empty set (`FD_ZERO`).
    #[must_use]
    pub const fn new() -> FdSet {
        FdSet { members: Vec::new() }
    }

    /// A set of these descriptors.
    ///
    /// # Errors
    /// As [`set`](FdSet::set).
    pub fn of(sources: &[&dyn Source]) -> io::Result<FdSet> {
        let mut set = FdSet::new();
        sources.iter().try_for_each(|&source| set.set(source))?;
        Ok(set)
    }

    /// Adds a descriptor (`FD_SET`), unless it is in the set already.
    ///
    /// # Errors
    /// `Unsupported` for a socket of the operating system's network; `InvalidInput` when the set is full, where C would
    /// write past its end.
    pub fn set(&mut self, source: &dyn Source) -> io::Result<()> {
        let member = Member::of(source)?;
        if self.members.iter().any(|known| known.name == member.name) {
            return Ok(());
        }
        if self.members.len() == FD_SETSIZE {
            return Err(SocketError::InvalidInput.into());
        }
        self.members.push(member);
        Ok(())
    }

    /// Removes a descriptor (`FD_CLR`).
    pub fn clear(&mut self, source: &dyn Source) {
        if let Ok(member) = Member::of(source) {
            self.members.retain(|known| known.name != member.name);
        }
    }

    /// Whether a descriptor is in the set (`FD_ISSET`).
    #[must_use]
    pub fn is_set(&self, source: &dyn Source) -> bool {
        Member::of(source).is_ok_and(|member| self.members.iter().any(|known| known.name == member.name))
    }

    /// How many descriptors are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl Member {
    fn of(source: &dyn Source) -> io::Result<Member> {
        let descriptor = source.descriptor()?;
        Ok(Member { name: descriptor.name(), file: descriptor.file })
    }
}

impl std::fmt::Debug for FdSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FdSet").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Waits until a descriptor in `read` can be read from, one in `write` written to, or one in `except` has urgent data, which
/// emulated sockets never have. Leaves in each set those of which that holds, and gives how many these are in all sets.
///
/// "Can be read from" and "written to" mean that a call would not wait: also where it would fail or find the end. A
/// timeout is put around it: `timeout(limit, select(..))`.
///
/// # Errors
/// `EBADF` when a descriptor's file has been closed since it was put into its set.
///
/// # Cancel safety
/// Dropping the future leaves all wait queues and the sets as they were; nothing is taken from any socket.
pub async fn select(
    read: Option<&mut FdSet>,
    write: Option<&mut FdSet>,
    except: Option<&mut FdSet>,
) -> io::Result<usize> {
    let mut call = Call::new([read, write, except])?;
    poll_fn(|cx| budgeted(cx, |cx| call.table.poll(cx.waker()))).await;
    Ok(call.answer())
}

/// The same for threads: sleeps until something holds or `timeout` has passed (`None`: no limit). A timeout of zero never
/// sleeps.
///
/// # Errors
/// As [`select`]. A timeout is none: the answer is then 0, and the sets are empty.
pub fn select_blocking(
    read: Option<&mut FdSet>,
    write: Option<&mut FdSet>,
    except: Option<&mut FdSet>,
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let mut call = Call::new([read, write, except])?;
    call.table.poll_blocking(timeout);
    Ok(call.answer())
}

/// One call: its sets, and every descriptor once, whatever number of sets it is in.
struct Call<'a> {
    sets: [Option<&'a mut FdSet>; 3],
    /// Where each descriptor stands in the table.
    rows: BTreeMap<Name, usize>,
    table: PollTable,
}

impl<'a> Call<'a> {
    fn new(sets: [Option<&'a mut FdSet>; 3]) -> io::Result<Call<'a>> {
        let mut rows = BTreeMap::new();
        let mut wanted: Vec<(File, Events)> = Vec::new();
        for (set, asks) in sets.iter().zip(ASKS) {
            for Member { name, file } in set.iter().flat_map(|set| &set.members) {
                if !file.is_open() {
                    return Err(SocketError::Stale.into());
                }
                let row = *rows.entry(*name).or_insert_with(|| {
                    wanted.push((file.clone(), Events::empty()));
                    wanted.len() - 1
                });
                wanted[row].1 |= asks;
            }
        }
        let watched = wanted.into_iter().map(|(file, wanted)| Watched::new(Some(file), wanted)).collect();
        let table = PollTable::new(watched);
        table.enter_call(Syscall::Select, rows.len());
        Ok(Call { sets, rows, table })
    }

    fn answer(mut self) -> usize {
        let holds = |name: &Name| self.rows.get(name).map_or(Events::empty(), |&row| self.table.watched()[row].holds);
        let mut bits = 0;
        for (set, asks) in self.sets.iter_mut().zip(ASKS) {
            if let Some(set) = set {
                set.members.retain(|member| holds(&member.name).intersects(asks));
                bits += set.members.len();
            }
        }
        self.table.exit_call(Syscall::Select, bits);
        bits
    }
}

/// What each set asks for.
const ASKS: [Events; 3] = [READ, WRITE, EXCEPT];
