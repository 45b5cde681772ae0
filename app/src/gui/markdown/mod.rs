//! Markdown as models write it: parsed as it grows, laid out once, and drawn where it can be seen.
//!
//! A text becomes a flat list of leaves ([`leaf`]): paragraphs, headings, pieces of code, tables, each with how deep it is in lists
//! and quotes. While a text grows only its last block is parsed again ([`parse`]), and a leaf that has not changed keeps its layout
//! ([`layout`]). What is out of sight costs its height and nothing else ([`document`]), so that a reply of any length scrolls alike.

mod code;
mod document;
mod layout;
mod leaf;
mod parse;
mod show;
mod table;

pub(crate) use document::{Document, Epoch};
pub(crate) use layout::Voice;
pub(crate) use show::Clicked;
