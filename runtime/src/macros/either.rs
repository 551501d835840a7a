//! The inner node of a tree of outputs, of which there is one.

/// The output of a branch on the left, or of one on the right.
#[derive(Debug)]
pub enum Either<L, R> {
    /// From the left.
    Left(L),
    /// From the right.
    Right(R),
}
