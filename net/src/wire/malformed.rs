//! Why bytes are not the header that they claim to be.

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Fewer bytes than the header needs or announces.
    Truncated,
    /// A version, type or length field with a value that makes no sense.
    Header,
    /// The checksum does not match.
    Checksum,
}
