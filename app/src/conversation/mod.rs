//! Conversations as a window shows them: trees of messages, of which one path is shown.
//!
//! Whatever is written anew stands beside what was there: a reply that is asked for again and a question that is edited
//! are *versions*, siblings in the tree, and one of them is chosen. Nothing here knows of windows or of databases.
//! Each operation notes what it has changed ([`Change`]); whoever keeps conversations takes these notes with
//! [`Conversation::take_changes`] and needs to look at nothing else.

mod change;
pub(crate) mod exchange;
mod id;
mod message;
mod sampling;
#[cfg(test)]
pub(crate) mod tests;
mod title;
mod tree;

use thiserror::Error;

pub(crate) use change::{Change, Head};
pub(crate) use id::{ConversationId, MessageId, Moment, start_after};
pub(crate) use message::{Message, MessageState, Role, Statistics};
pub(crate) use sampling::{Preset, SamplingSettings};
pub(crate) use tree::{Removed, Tree};

/// Why a conversation cannot be changed so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum ConversationError {
    #[error("there is no such message in this conversation")]
    NoSuchMessage,
    #[error("a reply is still being written; stop it first")]
    StillWriting,
    #[error("there is no message to reply to")]
    NothingToReplyTo,
    #[error("only what the user wrote can be edited")]
    NotOfUser,
    #[error("only replies can be written again")]
    NotAReply,
    #[error("this reply has ended")]
    HasEnded,
}

type Result<T> = std::result::Result<T, ConversationError>;

/// Which way to go among the versions of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Left,
    Right,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    head: Head,
    tree: Tree,
    /// The reply that is being written.
    writing: Option<MessageId>,
    changes: Vec<Change>,
}

/// What was changed and not yet stored is no part of what a conversation is.
impl PartialEq for Conversation {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.tree == other.tree
    }
}

impl Conversation {
    /// An empty one. It is worth keeping once something was said.
    pub(crate) fn new(system: Option<String>, sampling: SamplingSettings) -> Self {
        let now = Moment::now();
        let head = Head {
            id: ConversationId::fresh(),
            title: String::new(),
            title_given: false,
            pinned: false,
            created: now,
            changed: now,
            system,
            sampling,
        };
        Self { head, tree: Tree::default(), writing: None, changes: vec![] }
    }

    /// One that was kept, from its parts. `None` where they do not make a tree.
    pub(crate) fn from_parts(
        head: Head,
        messages: Vec<Message>,
        chosen: impl IntoIterator<Item = MessageId>,
    ) -> Option<Self> {
        let tree = Tree::from_messages(messages, chosen)?;
        let writing = tree.messages().find(|message| message.state == MessageState::Writing);
        let writing = writing.map(|message| message.id);
        Some(Self { head, tree, writing, changes: vec![] })
    }

    pub(crate) const fn id(&self) -> ConversationId {
        self.head.id
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn message(&self, id: MessageId) -> Option<&Message> {
        self.tree.message(id)
    }

    /// The messages that are shown, from the first to the last.
    pub(crate) fn path(&self) -> &[MessageId] {
        self.tree.path()
    }

    /// The messages that are shown, from the first to the last.
    pub(crate) fn shown(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.tree.path().iter().filter_map(|id| self.tree.message(*id))
    }

    /// All messages of all versions, oldest first.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.tree.messages()
    }

    /// Those messages that were chosen among their versions.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = MessageId> {
        self.tree.chosen()
    }

    /// The messages that lead to one, without itself: what its author had read.
    pub(crate) fn before(&self, id: MessageId) -> Vec<&Message> {
        self.tree.before(id)
    }

    /// The versions of a message, and which of them it is.
    pub(crate) fn versions(&self, id: MessageId) -> (&[MessageId], usize) {
        self.tree.versions(id)
    }

    /// The reply that is being written.
    pub(crate) const fn writing(&self) -> Option<MessageId> {
        self.writing
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tree.path().is_empty()
    }

    /// Takes the notes of what has changed since they were taken last.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Notes that say all there is, for a place that has nothing yet.
    pub(crate) fn all_changes(&self) -> Vec<Change> {
        let (conversation, mut changes) = (self.id(), vec![Change::Head(self.head.clone())]);
        let message = |message: &Message| Change::Message { conversation, message: message.clone() };
        changes.extend(self.messages().map(message));
        changes.extend(self.chosen().map(|child| Change::Chosen { conversation, child }));
        changes
    }

    /// Adds what the user says, after the last message that is shown.
    pub(crate) fn say(&mut self, text: impl Into<String>) -> Result<MessageId> {
        self.ensure_idle()?;
        let parent = self.path().last().copied();
        Ok(self.add(Message::new(parent, Role::User, text.into())))
    }

    /// Begins a reply to the last message that is shown. What is known of it before it ends may be told now.
    pub(crate) fn begin_reply(&mut self, statistics: Statistics) -> Result<MessageId> {
        self.ensure_idle()?;
        let last = self.shown().next_back().filter(|message| message.role == Role::User);
        let parent = last.ok_or(ConversationError::NothingToReplyTo)?.id;
        Ok(self.begin(Some(parent), statistics))
    }

    /// Begins another version of a reply.
    pub(crate) fn regenerate(&mut self, id: MessageId, statistics: Statistics) -> Result<MessageId> {
        self.ensure_idle()?;
        let reply = self.message(id).ok_or(ConversationError::NoSuchMessage)?;
        let (role, parent) = (reply.role, reply.parent);
        if role != Role::Assistant {
            return Err(ConversationError::NotAReply);
        }
        self.show(id)?;
        Ok(self.begin(parent, statistics))
    }

    /// Another version of what the user said. It has no reply yet.
    pub(crate) fn edit(&mut self, id: MessageId, text: impl Into<String>) -> Result<MessageId> {
        self.ensure_idle()?;
        let message = self.message(id).ok_or(ConversationError::NoSuchMessage)?;
        let (role, parent) = (message.role, message.parent);
        if role != Role::User {
            return Err(ConversationError::NotOfUser);
        }
        self.show(id)?;
        Ok(self.add(Message::new(parent, Role::User, text.into())))
    }

    fn begin(&mut self, parent: Option<MessageId>, statistics: Statistics) -> MessageId {
        let mut reply = Message::new(parent, Role::Assistant, String::new());
        reply.state = MessageState::Writing;
        reply.statistics = Some(statistics);
        let id = self.add(reply);
        self.writing = Some(id);
        id
    }

    /// Adds text to the reply that is being written.
    pub(crate) fn grow(&mut self, id: MessageId, text: &str, thinking: &str) -> Result<()> {
        let conversation = self.id();
        let reply = self.writing_mut(id)?;
        reply.text += text;
        reply.thinking += thinking;
        if let Some(Change::Grown { message, text: more, thinking: more_thinking, .. }) =
            self.changes.last_mut()
            && *message == id
        {
            *more += text;
            *more_thinking += thinking;
        } else if !(text.is_empty() && thinking.is_empty()) {
            let (text, thinking) = (text.to_owned(), thinking.to_owned());
            self.changes.push(Change::Grown { conversation, message: id, text, thinking });
        }
        Ok(())
    }

    /// What has become known of the reply that is being written, such as another device that goes on with it.
    pub(crate) fn set_statistics(&mut self, id: MessageId, statistics: Statistics) -> Result<()> {
        self.writing_mut(id)?.statistics = Some(statistics);
        Ok(())
    }

    /// Ends the reply that is being written.
    pub(crate) fn end(&mut self, id: MessageId, state: MessageState, statistics: Statistics) -> Result<()> {
        let conversation = self.id();
        let reply = self.writing_mut(id)?;
        reply.state = state.clone();
        reply.statistics = Some(statistics.clone());
        self.writing = None;
        self.changes.push(Change::Ended { conversation, message: id, state, statistics });
        self.touch();
        Ok(())
    }

    fn writing_mut(&mut self, id: MessageId) -> Result<&mut Message> {
        if self.writing != Some(id) {
            let known = self.message(id).is_some();
            return Err(if known { ConversationError::HasEnded } else { ConversationError::NoSuchMessage });
        }
        self.tree.message_mut(id).ok_or(ConversationError::NoSuchMessage)
    }

    /// Chooses the version beside a message. Says which one that is; none where there is none on that side.
    pub(crate) fn choose(&mut self, id: MessageId, direction: Direction) -> Result<Option<MessageId>> {
        self.message(id).ok_or(ConversationError::NoSuchMessage)?;
        let (versions, at) = self.versions(id);
        let beside = match direction {
            Direction::Left => at.checked_sub(1),
            Direction::Right => Some(at + 1),
        };
        let beside = beside.and_then(|at| versions.get(at).copied());
        if let Some(beside) = beside {
            self.show(beside)?;
        }
        Ok(beside)
    }

    /// Chooses versions so that a message is shown.
    pub(crate) fn show(&mut self, id: MessageId) -> Result<()> {
        let conversation = self.id();
        let chosen = self.tree.show(id).ok_or(ConversationError::NoSuchMessage)?;
        self.changes.extend(chosen.into_iter().map(|child| Change::Chosen { conversation, child }));
        self.note_title();
        Ok(())
    }

    /// Removes a message and all that follows it. What is returned brings it back.
    pub(crate) fn delete(&mut self, id: MessageId) -> Result<Removed> {
        let conversation = self.id();
        if let Some(writing) = self.writing
            && (writing == id || self.before(writing).iter().any(|message| message.id == id))
        {
            return Err(ConversationError::StillWriting);
        }
        let (removed, instead) = self.tree.remove(id).ok_or(ConversationError::NoSuchMessage)?;
        self.changes.push(Change::Removed { conversation, messages: removed.ids() });
        self.changes.extend(instead.map(|child| Change::Chosen { conversation, child }));
        self.touch();
        Ok(removed)
    }

    /// Brings back what was removed, where its place is still there. Says whether it is.
    pub(crate) fn restore(&mut self, removed: Removed) -> bool {
        let conversation = self.id();
        let Some((messages, chosen)) = self.tree.put_back(removed) else { return false };
        let message = |message| Change::Message { conversation, message };
        self.changes.extend(messages.into_iter().map(message));
        self.changes.extend(chosen.into_iter().map(|child| Change::Chosen { conversation, child }));
        self.touch();
        true
    }

    /// Gives the conversation a title; an empty one lets it follow from the first message again.
    pub(crate) fn rename(&mut self, title: &str) {
        title.trim().clone_into(&mut self.head.title);
        self.head.title_given = !self.head.title.is_empty();
        self.note_head();
    }

    pub(crate) fn set_pinned(&mut self, pinned: bool) {
        self.head.pinned = pinned;
        self.note_head();
    }

    pub(crate) fn set_system(&mut self, system: Option<String>) {
        self.head.system = system.filter(|system| !system.trim().is_empty());
        self.note_head();
    }

    pub(crate) fn set_sampling(&mut self, sampling: SamplingSettings) {
        self.head.sampling = sampling;
        self.note_head();
    }

    /// Takes the system prompt and the sampling of a preset.
    pub(crate) fn apply(&mut self, preset: &Preset) {
        self.head.sampling = preset.sampling.clone();
        self.set_system(preset.system.clone());
    }

    const fn ensure_idle(&self) -> Result<()> {
        if self.writing.is_some() { Err(ConversationError::StillWriting) } else { Ok(()) }
    }

    fn add(&mut self, message: Message) -> MessageId {
        let (conversation, id) = (self.id(), message.id);
        // A head is kept before anything that belongs to it.
        self.touch();
        self.changes.push(Change::Message { conversation, message: message.clone() });
        self.changes.push(Change::Chosen { conversation, child: id });
        self.tree.add(message);
        self.note_title();
        id
    }

    fn touch(&mut self) {
        self.head.changed = Moment::now();
        self.note_head();
    }

    /// Notes the head, which may have another title by now. The last note is enough.
    fn note_head(&mut self) {
        self.follow_title();
        let head = self.head.clone();
        if let Some(Change::Head(noted)) =
            self.changes.iter_mut().rfind(|change| matches!(change, Change::Head(_)))
        {
            *noted = head;
        } else {
            self.changes.push(Change::Head(head));
        }
    }

    fn note_title(&mut self) {
        if self.follow_title() {
            self.note_head();
        }
    }

    /// Lets the title follow from the first message that is shown, unless the user gave one. Says whether it is another.
    fn follow_title(&mut self) -> bool {
        if self.head.title_given {
            return false;
        }
        let title = self.shown().next().map(|message| title::of(&message.text)).unwrap_or_default();
        let other = title != self.head.title;
        self.head.title = title;
        other
    }
}
