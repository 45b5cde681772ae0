//! The window: chat by your own fire, and see which backend burns best.
//!
//! * [`state`] is all that the window shows; [`update`] alone changes it, one [`Command`](command::Command) at a time. Menus, shortcuts, buttons and
//!   the palette all send commands.
//! * [`views`] draw the state, a file each. What a view needs besides is a [`Page`](page::Page).
//! * The [`desk`] owns the model and its engine on a thread of its own, the store (`crate::store`) the conversations on another:
//!   nothing here waits for either.
//! * [`theme`] has the colours and sizes, [`words`] all that is said, in each language; [`markdown`] shows what models write.
//!
//! * [`beside`] lets several engines write at once, for show; [`picture`] draws views without a window.
//!
//! `app/DESIGN.md` has the rules for words and looks, and says how to add a view, a command or a string.

mod app;
mod beside;
mod checkup;
mod command;
mod desk;
mod dialog;
mod job;
mod library;
mod live;
mod markdown;
mod page;
mod parts;
mod picture;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod theme;
mod toast;
mod update;
mod views;
mod window;
mod words;

pub(crate) use window::{has_display, run};
