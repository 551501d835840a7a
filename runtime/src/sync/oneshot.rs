//! One value.
