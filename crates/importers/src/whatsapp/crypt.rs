//! Encrypted databases.
