//! A balanced tree over branches, so that no type is nested deeper than six levels for 64 of them.

/// Builds the tree bottom-up: `pair` joins two neighbours. `None` for no leaf.
///
/// `Pair<Pair<A, B>, Pair<C, D>>` and not `Pair<A, Pair<B, Pair<C, D>>>`: the compiler walks types recursively and gives up
/// at a depth of 128, which the futures themselves need.
pub(crate) fn build<T: Clone>(leaves: &[T], pair: &impl Fn(T, T) -> T) -> Option<T> {
    if let [] | [_] = leaves {
        return leaves.first().cloned();
    }
    let (left, right) = leaves.split_at(middle(leaves.len()));
    Some(pair(build(left, pair)?, build(right, pair)?))
}

/// Which way leads to leaf `index` of `count`, from the root down.
pub(crate) fn path(index: usize, count: usize) -> Vec<Side> {
    if count <= 1 {
        return Vec::new();
    }
    let left = middle(count);
    let (side, rest) = match index.checked_sub(left) {
        None => (Side::Left, path(index, left)),
        Some(index) => (Side::Right, path(index, count - left)),
    };
    [vec![side], rest].concat()
}

/// A child of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// How many of `count` leaves stand on the left.
fn middle(count: usize) -> usize {
    count.div_ceil(2)
}
