//! The harness of the dhat memory tests.
