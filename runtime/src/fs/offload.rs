//! One call on the pool.

use crate::context;
use std::io;

/// Makes `call` on a thread of the pool.
///
/// # Errors
/// Those of `call`, and that the runtime has ended.
pub(super) async fn offload<R, C>(call: C) -> io::Result<R>
where
    R: Send + 'static,
    C: FnOnce() -> io::Result<R> + Send + 'static,
{
    match context::current().spawn_blocking(call).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(io::Error::other("the runtime has ended: no thread is left for calls that block")),
        },
    }
}
