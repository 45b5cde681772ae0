//! The CPU backends.
