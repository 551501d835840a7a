//! `pin!`: a value that moves no more, in the scope of the caller.

/// Pins values to the stack, each under its own name.
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
