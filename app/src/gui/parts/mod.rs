//! What views are made of: icons, buttons and other small things that look and behave the same everywhere.

mod button;
mod card;
mod field;
mod icon;
mod meter;

pub(crate) use button::{IconButton, choice, primary, quiet};
pub(crate) use card::{card, page, section};
pub(crate) use field::name_field;
pub(crate) use icon::Icon;
pub(crate) use meter::Meter;
