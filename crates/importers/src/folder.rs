//! Media of a folder.
