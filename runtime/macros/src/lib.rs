//! The procedural macros of wakeline: `#[wakeline::main]` and `#[wakeline::test]`, and what `select!`, `join!` and `try_join!`
//! stand on.
//!
//! Here is only the entrance. The attributes turn an `async fn` into a plain one that builds a runtime and drives the body on
//! it: `options` reads their arguments, `expand` writes the function. `select` and `join` read the branches and write them
//! as a tree of futures, which `tree` balances. None knows the runtime beyond the names that the expansion spells out:
//! `<crate>::runtime::Builder` and its methods, and the hidden `<runtime crate>::macros`.

mod expand;
mod join;
mod options;
mod select;
#[cfg(test)]
mod tests;
mod tree;

use expand::Kind;
use proc_macro::TokenStream;

/// Runs an `async fn main` on a runtime that is built for it.
///
/// # Arguments
/// All are optional, in any order, each at most once.
///
/// | argument | meaning |
/// |---|---|
/// | `flavor = "multi_thread"` | one worker per CPU; the default |
/// | `flavor = "current_thread"` | one worker, on the thread that calls `main` |
/// | `flavor = "local"` | a `LocalRuntime`: one worker, whose tasks need not be `Send` |
/// | `worker_threads = N` | `N` workers, at least 1; only with `"multi_thread"` |
/// | `start_paused = true` | the clock stands from the beginning: see `time::pause`. Not with `"multi_thread"` |
/// | `unhandled_panic = "ignore"` | a panic stays in its task's `JoinHandle`; the default. Not with `"multi_thread"` |
/// | `unhandled_panic = "shutdown_runtime"` | a panic in a task ends the runtime, and `main` panics. Not with `"multi_thread"` |
/// | `name = "text"` | the runtime's name |
/// | `crate = path` | where wakeline is found, when it is not `::wakeline` |
///
/// They are those of `#[tokio::main]`.
///
/// A function that is not called `main` may have arguments, and be generic: it builds a runtime at each call.
///
/// # Examples
/// ```
/// #[wakeline::main]
/// async fn main() -> std::io::Result<()> {
///     let answer = wakeline::spawn(async { 6 * 7 }).await?;
///     println!("{answer}");
///     Ok(())
/// }
/// ```
/// which is the same as
/// ```
/// fn main() -> std::io::Result<()> {
///     wakeline::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
///         let answer = wakeline::spawn(async { 6 * 7 }).await?;
///         println!("{answer}");
///         Ok(())
///     })
/// }
/// ```
/// except for the error: the attribute panics where this example returns it.
///
/// # Panics
/// The expanded function panics when the operating system refuses what a runtime needs (threads, an epoll instance).
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Kind::Main, arguments.into(), item.into()).into()
}

/// Runs an `async fn` as a test, on a runtime of its own.
///
/// # Arguments
/// Those of [`macro@main`], with one difference: the default is `flavor = "current_thread"`, so `worker_threads` needs
/// `flavor = "multi_thread"` beside it.
///
/// # Examples
/// ```
/// #[wakeline::test]
/// async fn a_task_returns_its_value() -> Result<(), wakeline::task::JoinError> {
///     assert_eq!(wakeline::spawn(async { 6 * 7 }).await?, 42);
///     Ok(())
/// }
///
/// #[wakeline::test(flavor = "multi_thread", worker_threads = 2)]
/// #[should_panic(expected = "seven")]
/// async fn other_attributes_stay() {
///     panic!("seven");
/// }
/// ```
/// With a clock that stands, a test of an hour takes no time:
/// ```
/// use std::time::Duration;
/// use wakeline::time::{Instant, sleep};
///
/// #[wakeline::test(start_paused = true)]
/// async fn an_hour_passes() {
///     let start = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// }
/// ```
/// The attribute adds `#[test]`; a second one is an error.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Kind::Test, arguments.into(), item.into()).into()
}

/// `wakeline_runtime::select!`, which puts `($crate)` before what its caller wrote.
#[doc(hidden)]
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    select::expand(input.into()).into()
}

/// `wakeline_runtime::join!`, which puts `($crate)` before what its caller wrote.
#[doc(hidden)]
#[proc_macro]
pub fn join(input: TokenStream) -> TokenStream {
    join::expand(join::Kind::Join, input.into()).into()
}

/// `wakeline_runtime::try_join!`, which puts `($crate)` before what its caller wrote.
#[doc(hidden)]
#[proc_macro]
pub fn try_join(input: TokenStream) -> TokenStream {
    join::expand(join::Kind::TryJoin, input.into()).into()
}
