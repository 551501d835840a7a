//! Two stacks and a wire under virtual time: for tests, and for fuzzers.

pub(crate) mod forge;
pub(crate) mod world;
