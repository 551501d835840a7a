//! Epolls within epolls: no circles, no towers, not too many ways up.

use crate::epoll::error::CtlError;
use crate::epoll::eventpoll::EventPoll;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `epnested_mutex`: whoever adds an epoll to another holds it, and so sees a graph that gains no edge meanwhile.
pub(crate) static NESTING: Mutex<()> = Mutex::new(());

/// `EP_MAX_NESTS`: how many links a chain of epolls may have; so it has at most five epolls.
const MAX_NESTS: usize = 4;

/// `path_limits`: how many ways of so many links an event may take from an epoll to those that nobody watches.
///
/// A simplification: Linux counts the ways from a file through all the epolls that watch it, this those through one of them.
const WAYS_MAX: [usize; MAX_NESTS + 1] = [1000, 500, 100, 50, 10];

/// What has been found out about an epoll already, by where it lies: each is looked at once.
type Known = BTreeMap<usize, usize>;

/// Whether `outer` may come to watch `inner` (`ep_loop_check`).
///
/// # Errors
/// `Loop` where that would close a circle, or stack more than five epolls.
pub(crate) fn check_loop(outer: &Arc<EventPoll>, inner: &Arc<EventPoll>) -> Result<(), CtlError> {
    let below = depth_below(inner, outer, &mut Known::new())?;
    let above = height_above(outer, &mut Known::new());
    if below + 1 + above > MAX_NESTS { Err(CtlError::Loop) } else { Ok(()) }
}

/// The longest chain of links from `from` downwards, which must not lead to `target`. The graph has no chain of more than
/// [`MAX_NESTS`] links, which bounds the recursion.
fn depth_below(from: &Arc<EventPoll>, target: &Arc<EventPoll>, known: &mut Known) -> Result<usize, CtlError> {
    let place = Arc::as_ptr(from).addr();
    if let Some(&depth) = known.get(&place) {
        return Ok(depth);
    }
    let mut depth = 0;
    for child in from.children() {
        if Arc::ptr_eq(&child, target) {
            return Err(CtlError::Loop);
        }
        depth = depth.max(1 + depth_below(&child, target, known)?);
    }
    known.insert(place, depth);
    Ok(depth)
}

/// The longest chain of links from `from` upwards.
fn height_above(from: &Arc<EventPoll>, known: &mut Known) -> usize {
    let place = Arc::as_ptr(from).addr();
    if let Some(&height) = known.get(&place) {
        return height;
    }
    let height = from.parents().iter().map(|parent| 1 + height_above(parent, known)).max().unwrap_or(0);
    known.insert(place, height);
    height
}

/// Whether the events of `inner`, which is watched by one epoll more, and of those below it have too many ways to go
/// (`reverse_path_check`).
///
/// # Errors
/// `Invalid` when they have.
pub(crate) fn check_ways(inner: &Arc<EventPoll>) -> Result<(), CtlError> {
    check_ways_from(inner, &mut Known::new())
}

fn check_ways_from(from: &Arc<EventPoll>, known: &mut Known) -> Result<(), CtlError> {
    if known.insert(Arc::as_ptr(from).addr(), 0).is_some() {
        return Ok(());
    }
    count_ways(from, 0, &mut [0; MAX_NESTS + 1])?;
    from.children().iter().try_for_each(|child| check_ways_from(child, known))
}

/// Counts the ways from `from`, where `links` lead, to each epoll at the top, by their length.
fn count_ways(from: &Arc<EventPoll>, links: usize, ways: &mut [usize; MAX_NESTS + 1]) -> Result<(), CtlError> {
    let parents = from.parents();
    if !parents.is_empty() {
        return parents.iter().try_for_each(|parent| count_ways(parent, links + 1, ways));
    }
    let (ways, max) = ways.get_mut(links).zip(WAYS_MAX.get(links)).ok_or(CtlError::Invalid)?;
    *ways += 1;
    // As in Linux a way without a link, to an epoll that watches the file itself, is always open.
    if links > 0 && *ways > *max { Err(CtlError::Invalid) } else { Ok(()) }
}
