//! What every view gets besides the state: words, colours, and where to send commands.

use super::command::Command;
use super::theme::Tokens;
use super::words::Language;

/// A view's surroundings during one frame.
pub(crate) struct Page<'a> {
    /// All words: `page.t.send()`.
    pub(crate) t: Language,
    pub(crate) tokens: &'static Tokens,
    /// Commands that are carried out when the frame is drawn.
    commands: &'a mut Vec<Command>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(t: Language, ui: &egui::Ui, commands: &'a mut Vec<Command>) -> Self {
        Self { t, tokens: Tokens::in_ui(ui), commands }
    }

    /// Asks for something to be done.
    pub(crate) fn send(&mut self, command: Command) {
        self.commands.push(command);
    }
}
