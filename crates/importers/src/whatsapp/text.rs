//! The text export.
