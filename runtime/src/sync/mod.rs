//! What tasks wait for each other with, whatever drives them: it stands on the wait queue alone, and needs no runtime.

mod blocking;
pub mod mpsc;
pub mod oneshot;

#[cfg(test)]
#[path = "tests/support.rs"]
mod test_support;
