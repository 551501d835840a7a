//! What tasks wait for each other with, whatever drives them: it stands on the wait queue alone, and needs no runtime.

mod blocking;
#[cfg(test)]
mod test_support;
pub mod mpsc;
pub mod oneshot;
