//! A number for the sources that each backend's results depend on, taken when this is built.

include!(concat!(env!("OUT_DIR"), "/revisions.rs"));
