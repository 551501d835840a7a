//! `pin!`: a value that moves no more, in the scope of the caller.

/// Pins values to the stack, each under its own name.
///
/// The future of an `async fn` must be pinned before it is polled. `.await` does that, and takes the future for itself; who
/// wants to wait for a future by reference, as in a loop around [`select!`](crate::select!), pins it first. Afterwards the name
/// stands for a `Pin<&mut F>`, and the value can not be reached otherwise. [`Box::pin`] does it with an allocation, and the
/// result may leave the scope.
///
/// It takes **names** (or `let` statements, which it executes), and no expressions; for these there is [`std::pin::pin!`].
///
/// # Examples
/// ```
/// async fn answer() -> u32 {
///     42
/// }
///
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let first = answer();
/// wakeline_runtime::pin!(first);
/// assert_eq!((&mut first).await, 42);
///
/// wakeline_runtime::pin! {
///     let second = answer();
///     let third = answer();
/// }
/// wakeline_runtime::select! {
///     x = &mut second => assert_eq!(x, 42),
///     x = &mut third => assert_eq!(x, 42),
/// }
/// # });
/// ```
/// Without it, the reference is not a future:
/// ```compile_fail,E0277
/// # async fn answer() -> u32 { 42 }
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let mut future = answer();
/// (&mut future).await;
/// # });
/// ```
/// And an expression has no name:
/// ```compile_fail
/// # async fn answer() -> u32 { 42 }
/// # wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let future = wakeline_runtime::pin!(answer());
/// # });
/// ```
#[macro_export]
macro_rules! pin {
    ($($value:ident),* $(,)?) => {
        $(
            // The value itself can not be named any more, so nobody moves it.
            #[allow(unused_mut)]
            let mut $value = $crate::macros::pin!($value);
        )*
    };
    ($(let $name:ident = $value:expr;)*) => {
        $(
            #[allow(unused_mut)]
            let mut $name = $crate::macros::pin!($value);
        )*
    };
    ($value:expr) => {
        ::core::compile_error!(
            "`pin!` takes names: write `let future = ..; pin!(future);` or `pin! { let future = ..; }`; `std::pin::pin!` takes a value"
        )
    };
}
