//! What every GPU backend decides alike, in whichever language its kernels are: what a step tells a device, which operators are one,
//! and the book-keeping of steps that are under way. How that is put into buffers and launches is each backend's own affair.

pub(crate) mod beginnings;
pub(crate) mod elementwise;
pub(crate) mod grouping;
pub(crate) mod one_row;
pub(crate) mod stored;
pub(crate) mod tables;
pub(crate) mod taps;
pub(crate) mod under_way;
