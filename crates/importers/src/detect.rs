//! Which source a path is.
