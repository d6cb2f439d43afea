//! The Android folder.
