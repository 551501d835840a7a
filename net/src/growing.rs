//! A table to which entries are added while others look at those that are there, which stay where they are.
//!
//! For what a device is built with and what it is given later: the former cost what a slice costs.

use std::ops::Index;
use std::sync::OnceLock;

/// Entries by their number, from 0.
#[derive(Debug)]
pub(crate) struct Growing<T> {
    built: Box<[T]>,
    /// Those behind them. There is no room for any until the first is added.
    later: OnceLock<Box<[OnceLock<T>]>>,
    max: usize,
}

impl<T> Growing<T> {
    /// A table that begins with `built` and may come to have `max` entries.
    pub(crate) fn new(built: impl IntoIterator<Item = T>, max: usize) -> Growing<T> {
        Growing { built: built.into_iter().collect(), later: OnceLock::new(), max }
    }

    /// Adds entries until there are `count`; each is made once.
    ///
    /// # Panics
    /// Beyond the most that there may be.
    pub(crate) fn grow(&self, count: usize, mut make: impl FnMut(usize) -> T) {
        for number in self.built.len()..count {
            let room = || (self.built.len()..self.max).map(|_| OnceLock::new()).collect();
            self.later.get_or_init(room)[number - self.built.len()].get_or_init(|| make(number));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// All that there are, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.built.iter().chain(self.later.get().into_iter().flatten().map_while(OnceLock::get))
    }

    #[cold]
    fn later(&self, number: usize) -> &T {
        let entry = self.later.get().and_then(|later| later.get(number - self.built.len()));
        entry.and_then(OnceLock::get).expect("who knows of an entry's number has seen it added")
    }
}

impl<T> Index<usize> for Growing<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: usize) -> &T {
        match self.built.get(number) {
            Some(entry) => entry,
            None => self.later(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_added_once_and_stay_where_they_are() {
        let table = Growing::new([10, 11], 5);
        let first: *const i32 = &raw const table[1];
        table.grow(1, |_| unreachable!("there are two"));
        table.grow(4, |number| 20 + number as i32);
        let third: *const i32 = &raw const table[2];
        table.grow(5, |number| 30 + number as i32);
        assert_eq!(table.iter().copied().collect::<Vec<_>>(), [10, 11, 22, 23, 34]);
        assert_eq!((table.len(), table[3]), (5, 23));
        assert!(std::ptr::eq(first, &raw const table[1]) && std::ptr::eq(third, &raw const table[2]));
    }
}
