//! Everything that the window can be asked to do. Menus, shortcuts, buttons and the palette all derive from this list.

use std::path::PathBuf;

use egui::{Key, KeyboardShortcut, Modifiers};

use super::desk::OpenOrder;
use super::library::LibraryCommand;
use super::parts::Icon;
use super::state::State;
use super::theme::ThemeChoice;
use super::views::View;
use super::words::Language;
use crate::conversation::{ConversationId, Direction, MessageId, SamplingSettings};
use crate::store::ExportFormat;

/// Something to do. Where a conversation or a message can be named, `None` is the open conversation or its last fitting message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    NewChat,
    OpenChat(ConversationId),
    /// Opens the conversation, and shows the message.
    OpenMessage(ConversationId, MessageId),
    /// Opens the one above or below in the list.
    StepChat(Direction),
    /// Lets the title be typed.
    Rename(Option<ConversationId>),
    /// Takes the title that was typed.
    SetTitle(ConversationId, String),
    Pin(Option<ConversationId>),
    DeleteChat(Option<ConversationId>),
    /// Puts the keyboard into the field for searching.
    Search,
    /// Looks for what is typed there.
    Find,
    Export(ExportFormat),
    Import,

    Send,
    Stop,
    Regenerate(Option<MessageId>),
    Edit(Option<MessageId>),
    SendEdit,
    CancelEdit,
    Copy(Option<MessageId>),
    DeleteMessage(MessageId),
    Version(MessageId, Direction),
    Undo,
    FocusComposer,

    SetSystem(Option<String>),
    SetSampling(SamplingSettings),
    ApplyPreset(String),
    SavePreset(String),
    DeletePreset(String),

    /// Asks for a folder, and opens the model in it.
    ChooseModel,
    OpenModel(PathBuf),
    /// Takes the path that was typed, where there is no dialog.
    TakePath,
    CancelPath,
    CloseModel,
    /// As `ingle devices` names it, or `auto`.
    UseDevice(String),
    /// Weights, cache, context; the model is loaded again if anything is other than before.
    UseFormats {
        weights: String,
        cache: String,
        context: Option<usize>,
    },
    /// Opens what could not be opened once more.
    TryAgain,
    LookForDevices,

    /// Something of the pages of models and devices.
    Library(LibraryCommand),
    /// Asks for a folder, and looks for models in it.
    ChooseLibraryFolder,
    /// Opens a model with choices of its own, which are those of the next time too.
    Load(Box<OpenOrder>),
    Compare(CompareCommand),

    Show(View),
    Palette,
    ToggleSidebar,
    ToggleSampling,
    SetTheme(ThemeChoice),
    SetLanguage(Language),
    SetEnterSends(bool),
    /// Larger, smaller, as it was.
    Zoom(Zoom),
    /// Shows a short message.
    Say(&'static str),
    CloseToast(u64),
    Quit,
}

/// What the page that compares can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompareCommand {
    /// As the page is set: one after another, or side by side.
    Start,
    Stop,
    /// Keeps what is shown.
    Keep,
    /// Shows one that is kept.
    Open(i64),
    /// Lets its name be typed.
    Rename(i64),
    /// Takes the name that was typed.
    SetName(i64, String),
    Delete(i64),
    Export(ComparisonFormat),
}

/// In which form a comparison is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComparisonFormat {
    Json,
    Markdown,
    /// A picture of the whole report.
    Png,
}

impl ComparisonFormat {
    pub(crate) const ALL: [Self; 3] = [Self::Json, Self::Markdown, Self::Png];

    /// How names of such files end.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Png => "png",
        }
    }
}

/// How the size of everything changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zoom {
    In,
    Out,
    Reset,
}

/// The menus, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Menu {
    Conversation,
    Message,
    Model,
    View,
}

impl Menu {
    pub(crate) const ALL: [Self; 4] = [Self::Conversation, Self::Message, Self::Model, Self::View];

    pub(crate) const fn name(self, t: Language) -> &'static str {
        match self {
            Self::Conversation => t.menu_conversation(),
            Self::Message => t.menu_message(),
            Self::Model => t.menu_model(),
            Self::View => t.menu_view(),
        }
    }

    /// What is in it.
    pub(crate) fn commands(self) -> Vec<Command> {
        use Command as C;
        match self {
            Self::Conversation => vec![
                C::NewChat,
                C::Search,
                C::StepChat(Direction::Left),
                C::StepChat(Direction::Right),
                C::Rename(None),
                C::Pin(None),
                C::Export(ExportFormat::Markdown),
                C::Export(ExportFormat::Json),
                C::Import,
                C::DeleteChat(None),
                C::Quit,
            ],
            Self::Message => vec![
                C::FocusComposer,
                C::Send,
                C::Stop,
                C::Regenerate(None),
                C::Edit(None),
                C::Copy(None),
                C::Undo,
            ],
            Self::Model => vec![
                C::ChooseModel,
                C::TryAgain,
                C::CloseModel,
                C::ChooseLibraryFolder,
                C::Library(LibraryCommand::Look),
                C::LookForDevices,
                C::Library(LibraryCommand::Measure),
                C::Library(LibraryCommand::ForgetVerdicts),
                C::Library(LibraryCommand::StopDownload),
            ],
            Self::View => {
                let mut list: Vec<_> = View::ALL.into_iter().map(C::Show).collect();
                list.extend([
                    C::Palette,
                    C::ToggleSidebar,
                    C::ToggleSampling,
                    C::Zoom(Zoom::In),
                    C::Zoom(Zoom::Out),
                    C::Zoom(Zoom::Reset),
                ]);
                list.extend(ThemeChoice::ALL.map(C::SetTheme));
                list.extend(Language::ALL.map(C::SetLanguage));
                list
            }
        }
    }
}

impl Command {
    /// All that need no subject: menus have them, and the palette too.
    pub(crate) fn listed() -> Vec<Self> {
        Menu::ALL.into_iter().flat_map(Menu::commands).collect()
    }

    /// What it is called. What has a subject that menus do not name is not listed, and has no name of its own.
    pub(crate) fn name(&self, t: Language) -> String {
        match self {
            Self::NewChat => t.new_chat().to_owned(),
            Self::StepChat(Direction::Left) => t.previous_chat().to_owned(),
            Self::StepChat(Direction::Right) => t.next_chat().to_owned(),
            Self::Rename(_) => t.rename().to_owned(),
            Self::Pin(_) => t.pin_or_unpin().to_owned(),
            Self::DeleteChat(_) => t.delete_chat().to_owned(),
            Self::Search => t.search_chats().to_owned(),
            Self::Export(ExportFormat::Markdown) => t.export_markdown().to_owned(),
            Self::Export(ExportFormat::Json) => t.export_json().to_owned(),
            Self::Import => t.import().to_owned(),
            Self::Send => t.send().to_owned(),
            Self::Stop => t.stop().to_owned(),
            Self::Regenerate(_) => t.regenerate().to_owned(),
            Self::Edit(_) => t.edit().to_owned(),
            Self::Copy(_) => t.copy_reply().to_owned(),
            Self::Undo => t.undo_delete().to_owned(),
            Self::FocusComposer => t.write_message().to_owned(),
            Self::ChooseModel => t.choose_folder().to_owned(),
            Self::CloseModel => t.close_model().to_owned(),
            Self::TryAgain => t.load_again().to_owned(),
            Self::UseDevice(name) => t.use_device(name),
            Self::LookForDevices => t.look_for_devices().to_owned(),
            Self::Library(command) => command.name(t).to_owned(),
            Self::ChooseLibraryFolder => t.choose_library_folder().to_owned(),
            Self::Show(view) => t.show_view(view.name(t)),
            Self::Palette => t.palette().to_owned(),
            Self::ToggleSidebar => t.toggle_sidebar().to_owned(),
            Self::ToggleSampling => t.toggle_sampling().to_owned(),
            Self::SetTheme(theme) => t.use_theme(t.theme(*theme)),
            Self::SetLanguage(language) => t.use_language(language.own_name()),
            Self::Zoom(Zoom::In) => t.zoom_in().to_owned(),
            Self::Zoom(Zoom::Out) => t.zoom_out().to_owned(),
            Self::Zoom(Zoom::Reset) => t.zoom_reset().to_owned(),
            Self::Quit => t.quit().to_owned(),
            Self::OpenChat(_)
            | Self::OpenMessage(..)
            | Self::Find
            | Self::Say(_)
            | Self::SetTitle(..)
            | Self::SendEdit
            | Self::CancelEdit
            | Self::DeleteMessage(_)
            | Self::Version(..)
            | Self::SetSystem(_)
            | Self::SetSampling(_)
            | Self::ApplyPreset(_)
            | Self::SavePreset(_)
            | Self::DeletePreset(_)
            | Self::OpenModel(_)
            | Self::TakePath
            | Self::CancelPath
            | Self::Load(_)
            | Self::UseFormats { .. }
            | Self::SetEnterSends(_)
            | Self::Compare(_)
            | Self::CloseToast(_) => String::new(),
        }
    }

    pub(crate) const fn icon(&self) -> Option<Icon> {
        Some(match self {
            Self::NewChat => Icon::Plus,
            Self::Search => Icon::Search,
            Self::Rename(_) | Self::Edit(_) => Icon::Pencil,
            Self::Pin(_) => Icon::Pin,
            Self::DeleteChat(_) | Self::DeleteMessage(_) => Icon::Trash,
            Self::Export(_) => Icon::Upload,
            Self::Import => Icon::Download,
            Self::Send => Icon::Send,
            Self::Stop => Icon::Stop,
            Self::Regenerate(_) | Self::TryAgain => Icon::Again,
            Self::Copy(_) => Icon::Copy,
            Self::Undo => Icon::Undo,
            Self::FocusComposer | Self::OpenChat(_) => Icon::Chat,
            Self::ChooseModel | Self::ChooseLibraryFolder => Icon::Folder,
            Self::Library(_) => Icon::Box,
            Self::CloseModel => Icon::Close,
            Self::UseDevice(_) | Self::LookForDevices => Icon::Chip,
            Self::Show(view) => view.icon(),
            Self::Palette => Icon::Menu,
            Self::ToggleSidebar => Icon::Sidebar,
            Self::ToggleSampling => Icon::Sliders,
            _ => return None,
        })
    }

    /// The keys that do the same.
    pub(crate) fn shortcut(&self) -> Option<KeyboardShortcut> {
        const WITH_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);
        let (modifiers, key) = match self {
            Self::NewChat => (Modifiers::COMMAND, Key::N),
            Self::Search => (Modifiers::COMMAND, Key::F),
            Self::StepChat(Direction::Left) => (Modifiers::COMMAND, Key::PageUp),
            Self::StepChat(Direction::Right) => (Modifiers::COMMAND, Key::PageDown),
            Self::Rename(None) => (Modifiers::NONE, Key::F2),
            Self::DeleteChat(None) => (WITH_SHIFT, Key::Delete),
            Self::Export(ExportFormat::Markdown) => (Modifiers::COMMAND, Key::S),
            Self::Stop => (Modifiers::NONE, Key::Escape),
            Self::Regenerate(None) => (Modifiers::COMMAND, Key::R),
            Self::Edit(None) => (Modifiers::COMMAND, Key::E),
            // With C, the system makes it an order to copy what is selected.
            Self::Copy(None) => (WITH_SHIFT, Key::Y),
            Self::Undo => (Modifiers::COMMAND, Key::Z),
            Self::FocusComposer => (Modifiers::COMMAND, Key::L),
            Self::ChooseModel => (Modifiers::COMMAND, Key::O),
            Self::Show(view) => return Some(view.shortcut()),
            Self::Palette => (Modifiers::COMMAND, Key::K),
            Self::ToggleSidebar => (Modifiers::COMMAND, Key::B),
            Self::ToggleSampling => (Modifiers::COMMAND, Key::Period),
            Self::Zoom(Zoom::In) => (Modifiers::COMMAND, Key::Plus),
            Self::Zoom(Zoom::Out) => (Modifiers::COMMAND, Key::Minus),
            Self::Zoom(Zoom::Reset) => (Modifiers::COMMAND, Key::Num0),
            Self::Quit => (Modifiers::COMMAND, Key::Q),
            _ => return None,
        };
        Some(KeyboardShortcut::new(modifiers, key))
    }

    /// Keys that do the same besides, which other programs have made a habit.
    fn other_shortcut(&self) -> Option<KeyboardShortcut> {
        let with_shift = Modifiers::COMMAND.plus(Modifiers::SHIFT);
        Some(match self {
            Self::Palette => KeyboardShortcut::new(with_shift, Key::P),
            Self::Zoom(Zoom::In) => KeyboardShortcut::new(Modifiers::COMMAND, Key::Equals),
            _ => return None,
        })
    }

    /// Its keys as people write them.
    pub(crate) fn keys(&self, ctx: &egui::Context) -> Option<String> {
        Some(ctx.format_shortcut(&self.shortcut()?))
    }

    /// Whether it can be done now.
    pub(crate) fn is_possible(&self, state: &State) -> bool {
        let chat = &state.chats.current;
        match self {
            Self::Rename(None) | Self::Pin(None) | Self::DeleteChat(None) | Self::Export(_) => {
                !chat.is_empty()
            }
            Self::Send => state.can_send(),
            Self::Stop => chat.writing().is_some(),
            Self::Regenerate(None) => chat.writing().is_none() && state.last_reply().is_some(),
            Self::Edit(None) => chat.writing().is_none() && state.last_question().is_some(),
            Self::Copy(None) => state.last_reply().is_some(),
            Self::Undo => !state.undo.is_empty(),
            Self::CloseModel => !state.model.is_none(),
            Self::TryAgain => state.trouble.is_some(),
            Self::Library(command) => command.is_possible(state),
            Self::UseDevice(name) => *name != state.settings.device,
            Self::SetTheme(theme) => *theme != state.settings.theme,
            Self::SetLanguage(language) => *language != state.settings.language(),
            _ => true,
        }
    }

    /// Takes the keys of commands that were pressed.
    pub(crate) fn pressed(ctx: &egui::Context, state: &State) -> Vec<Self> {
        let typing = ctx.text_edit_focused();
        let popup = ctx.any_popup_open()
            || state.palette.is_some()
            || state.editing.is_some()
            || state.renaming.is_some()
            || state.compare.renaming.is_some()
            || state.asking.is_some();
        let mut pressed = vec![];
        let mut list = Self::listed();
        // Those with more keys first: Ctrl+Shift+P is not Ctrl+P.
        list.sort_by_key(|command| {
            let shift = command.shortcut().is_some_and(|keys| keys.modifiers.shift);
            std::cmp::Reverse(shift)
        });
        for command in list {
            // Escape closes what is open first, and text fields undo what was typed.
            let taken = match command {
                Self::Stop => popup,
                Self::Undo => typing,
                _ => false,
            };
            if taken || !command.is_possible(state) {
                continue;
            }
            let keys = command.shortcut().into_iter().chain(command.other_shortcut());
            if keys.into_iter().any(|keys| ctx.input_mut(|input| input.consume_shortcut(&keys))) {
                pressed.push(command);
            }
        }
        pressed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_listed_has_a_name_in_each_language_and_keys_of_its_own() {
        let list = Command::listed();
        for language in Language::ALL {
            let names: HashSet<String> = list.iter().map(|command| command.name(language)).collect();
            assert_eq!(names.len(), list.len(), "two commands have one name, or one has none");
            assert!(!names.contains(""));
        }
        let mut taken = HashSet::new();
        for command in &list {
            for keys in command.shortcut().into_iter().chain(command.other_shortcut()) {
                assert!(taken.insert(format!("{keys:?}")), "{command:?}: {keys:?} is taken");
            }
        }
        assert!(taken.len() > 20);
    }
}
