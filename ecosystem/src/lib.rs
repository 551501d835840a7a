//! Nothing: the examples and the tests are all there is.
