//! Where a list keeps its entries: the first in the list itself, because most lists only ever have one.

use slab::Slab;
use std::ops::{Index, IndexMut};

/// A slab whose place 0 needs no allocation.
#[derive(Debug)]
pub(super) struct Entries<T> {
    first: Option<T>,
    rest: Slab<T>,
}

impl<T> Entries<T> {
    pub(super) const fn new() -> Entries<T> {
        Entries { first: None, rest: Slab::new() }
    }

    /// Gives the entry a place that nobody has.
    #[inline]
    pub(super) fn insert(&mut self, entry: T) -> u32 {
        if self.first.is_none() {
            self.first = Some(entry);
            return 0;
        }
        u32::try_from(self.rest.insert(entry) + 1).expect("fewer than 2^32 waiters fit into memory")
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        match index {
            0 => self.first.as_ref(),
            index => self.rest.get(index as usize - 1),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match index {
            0 => self.first.as_mut(),
            index => self.rest.get_mut(index as usize - 1),
        }
    }

    /// # Panics
    /// When nobody has this place.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) -> T {
        match index {
            0 => self.first.take().expect("a place is given up once"),
            index => self.rest.remove(index as usize - 1),
        }
    }
}

impl<T> Index<u32> for Entries<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        self.get(index).expect("the links lead to entries")
    }
}

impl<T> IndexMut<u32> for Entries<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("the links lead to entries")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_again_the_first_before_all_others() {
        let mut entries = Entries::new();
        assert_eq!(["a", "b", "c"].map(|entry| entries.insert(entry)), [0, 1, 2]);
        assert_eq!((entries.remove(0), entries.get(0), entries[1], entries[2]), ("a", None, "b", "c"));
        assert_eq!((entries.remove(1), entries.insert("d"), entries.insert("e")), ("b", 0, 1));
        entries[2] = "f";
        assert_eq!(
            (0..4).map(|index| entries.get(index).copied()).collect::<Vec<_>>(),
            [Some("d"), Some("e"), Some("f"), None]
        );
    }
}
