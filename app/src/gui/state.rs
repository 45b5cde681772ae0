//! All that the window shows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use inglenook::backend::Unavailable;

use super::checkup::Checkup;
use super::desk::{DeviceCard, Facts, Loading};
use super::dialog::{Fault, Purpose};
use super::library::Library;
use super::live::Live;
use super::settings::Settings;
use super::toast::Toasts;
use super::views::{ChatView, CompareView, PaletteView, SamplingView, View};
use crate::conversation::{Conversation, ConversationId, Head, Message, MessageId, Preset, Removed, Role};
use crate::store::{Access, ComparisonEntry, Hit};

/// The state of the window.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) view: View,
    pub(crate) chats: Chats,
    pub(crate) presets: Vec<Preset>,
    /// Where conversations are kept, once that is known.
    pub(crate) access: Option<Access>,
    pub(crate) model: ModelState,
    /// Why a model could not be opened.
    pub(crate) trouble: Option<Trouble>,
    /// Best first; empty until they are known.
    pub(crate) devices: Vec<DeviceCard>,
    pub(crate) missing: Vec<Unavailable>,
    pub(crate) library: Library,
    /// The last check of a device.
    pub(crate) checkup: Option<Checkup>,
    /// Replies that are being written, in any conversation.
    pub(crate) live: HashMap<MessageId, Live>,
    pub(crate) editing: Option<Editing>,
    pub(crate) renaming: Option<Renaming>,
    pub(crate) undo: Vec<Undo>,
    pub(crate) palette: Option<PaletteView>,
    pub(crate) asking: Option<Asking>,
    pub(crate) toasts: Toasts,
    /// The field that is to get the keyboard in the next frame.
    pub(crate) focus: Option<Field>,
    pub(crate) chat_view: ChatView,
    pub(crate) compare: CompareView,
    pub(crate) sampling_view: SamplingView,
}

/// Conversations.
pub(crate) struct Chats {
    /// All that are kept, pinned ones first, then those that changed last.
    pub(crate) heads: Vec<Head>,
    pub(crate) current: Conversation,
    /// Others, of which replies are being written.
    pub(crate) others: HashMap<ConversationId, Conversation>,
    /// The one that is being read from the store.
    pub(crate) coming: Option<ConversationId>,
    /// The message that is to be shown when its conversation is open.
    pub(crate) goal: Option<MessageId>,
    /// What is being typed, in each.
    pub(crate) drafts: HashMap<ConversationId, String>,
    /// How many messages from the start on the model is not shown any more.
    pub(crate) forgotten: HashMap<ConversationId, usize>,
    /// Tokens of each, as far as known.
    pub(crate) tokens: HashMap<ConversationId, usize>,
    pub(crate) search: String,
    /// What was found for it.
    pub(crate) hits: Option<Vec<Hit>>,
}

/// Whether there is a model.
#[derive(Clone, Debug)]
pub(crate) enum ModelState {
    None,
    Loading(Loading),
    Open(Arc<Facts>),
}

impl ModelState {
    pub(crate) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn facts(&self) -> Option<&Arc<Facts>> {
        if let Self::Open(facts) = self { Some(facts) } else { None }
    }
}

/// A model that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) folder: PathBuf,
    pub(crate) device: String,
    pub(crate) reason: String,
}

/// A message of the user that is being typed anew.
#[derive(Clone, Debug)]
pub(crate) struct Editing {
    pub(crate) message: MessageId,
    pub(crate) text: String,
}

/// A conversation whose title is being typed.
#[derive(Clone, Debug)]
pub(crate) struct Renaming {
    pub(crate) chat: ConversationId,
    pub(crate) title: String,
}

/// A path that is being typed, where the desktop has no dialog to choose one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) purpose: Purpose,
    pub(crate) typed: String,
    pub(crate) fault: Option<Fault>,
    /// The field is to get the keyboard.
    pub(crate) fresh: bool,
}

/// Something that was deleted and can be brought back.
pub(crate) enum Undo {
    Chat(Box<Head>),
    Messages(ConversationId, Removed),
    /// A comparison that was kept, and its result.
    Comparison(ComparisonEntry, Box<serde_json::Value>),
}

/// A field that takes the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Composer,
    Search,
}

impl State {
    pub(crate) fn new(settings: Settings, heads: Vec<Head>, presets: Vec<Preset>) -> Self {
        let current = Conversation::new(settings.system.clone(), settings.sampling.clone());
        let mut state = Self {
            settings,
            view: View::Chat,
            chats: Chats {
                heads,
                current,
                others: HashMap::new(),
                coming: None,
                goal: None,
                drafts: HashMap::new(),
                forgotten: HashMap::new(),
                tokens: HashMap::new(),
                search: String::new(),
                hits: None,
            },
            presets,
            access: None,
            model: ModelState::None,
            trouble: None,
            devices: vec![],
            missing: vec![],
            library: Library::default(),
            checkup: None,
            live: HashMap::new(),
            editing: None,
            renaming: None,
            undo: vec![],
            palette: None,
            asking: None,
            toasts: Toasts::default(),
            focus: Some(Field::Composer),
            chat_view: ChatView::default(),
            compare: CompareView::default(),
            sampling_view: SamplingView::default(),
        };
        state.chats.sort();
        state
    }

    /// The draft of the open conversation.
    pub(crate) fn draft(&mut self) -> &mut String {
        self.chats.drafts.entry(self.chats.current.id()).or_default()
    }

    /// Whether what is typed can be sent: there is text, no reply is being written, and a model is there or on its way.
    pub(crate) fn can_send(&self) -> bool {
        let typed = self.chats.drafts.get(&self.chats.current.id()).is_some_and(|d| !d.trim().is_empty());
        typed && self.chats.current.writing().is_none() && !self.model.is_none()
    }

    /// The last message of the open conversation that is a reply.
    pub(crate) fn last_reply(&self) -> Option<&Message> {
        self.chats.current.shown().rfind(|message| message.role == Role::Assistant)
    }

    /// The last one that the user wrote.
    pub(crate) fn last_question(&self) -> Option<&Message> {
        self.chats.current.shown().rfind(|message| message.role == Role::User)
    }
}

impl Chats {
    /// A conversation that is open or being written.
    pub(crate) fn get_mut(&mut self, id: ConversationId) -> Option<&mut Conversation> {
        if self.current.id() == id { Some(&mut self.current) } else { self.others.get_mut(&id) }
    }

    /// Takes what a conversation says of itself into the list.
    pub(crate) fn note(&mut self, head: &Head) {
        match self.heads.iter_mut().find(|known| known.id == head.id) {
            Some(known) => {
                if known == head {
                    return;
                }
                *known = head.clone();
            }
            None => self.heads.push(head.clone()),
        }
        self.sort();
    }

    pub(crate) fn sort(&mut self) {
        self.heads.sort_by_key(|head| std::cmp::Reverse((head.pinned, head.changed)));
    }
}
