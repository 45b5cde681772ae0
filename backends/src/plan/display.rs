//! Printing a plan so that a person can read it.
