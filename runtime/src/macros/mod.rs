//! What `select!`, `join!` and `try_join!` expand to. Hidden: only the macros name it.
//!
//! The procedural half (`wakeline-macros`) writes the user's futures as a balanced tree of [`Pair`]s. Here is what the tree
//! does: `Select` asks one branch after another for an output that matches, `Join` asks them all until every one is done. No
//! part of the expansion is `unsafe`: the tree is projected here.

mod either;
mod join;
mod order;
mod pair;
mod pin;
mod random;
mod select;

pub use self::either::Either;
pub use self::join::{join, join_branch, join_pair, try_join, try_join_branch};
pub use self::order::{Biased, Fair, Rotating};
pub use self::pair::Pair;
pub use self::random::random;
pub use self::select::{all_branches_disabled, branch, disabled_unless, into_future, select, unreachable_branch};
pub use std::option::Option;
pub use std::pin::pin;
pub use std::result::Result;
pub use wakeline_macros::{join as expand_join, select as expand_select, try_join as expand_try_join};

#[cfg(test)]
mod tests;
