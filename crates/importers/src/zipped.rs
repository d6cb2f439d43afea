//! Media of a zip.
