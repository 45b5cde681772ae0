//! The tree of messages: who follows whom, which version is chosen, and the path that follows from that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Message, MessageId};

/// Messages as a tree. Those that follow the same one are versions of each other, oldest first, and one of them is chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    messages: BTreeMap<MessageId, Message>,
    /// Who follows a message; nobody's followers are the first messages.
    followers: BTreeMap<Option<MessageId>, Vec<MessageId>>,
    chosen: BTreeMap<Option<MessageId>, MessageId>,
    /// Follows from the others; kept since windows ask for it all the time.
    path: Vec<MessageId>,
}

/// Part of a tree that was taken out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Removed {
    /// The first is the one that was removed, and the others followed it.
    messages: Vec<Message>,
    /// Those of them that were chosen.
    chosen: Vec<MessageId>,
}

impl Removed {
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.messages.iter().map(|message| message.id).collect()
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.messages == other.messages && self.chosen == other.chosen
    }
}

impl Tree {
    /// A tree of kept messages. Where none of several versions is chosen, the newest is. `None` where a message
    /// follows one that is missing, or not older.
    pub(crate) fn from_messages(
        messages: Vec<Message>,
        chosen: impl IntoIterator<Item = MessageId>,
    ) -> Option<Self> {
        let mut tree = Self::default();
        for message in messages {
            tree.messages.insert(message.id, message);
        }
        // Parents are older than what follows them, so there are no circles.
        let is_sound = |message: &Message| {
            message.parent.is_none_or(|parent| parent < message.id && tree.messages.contains_key(&parent))
        };
        if !tree.messages.values().all(is_sound) {
            return None;
        }
        for message in tree.messages.values() {
            tree.followers.entry(message.parent).or_default().push(message.id);
        }
        for (parent, versions) in &tree.followers {
            tree.chosen.extend(versions.last().map(|newest| (*parent, *newest)));
        }
        for id in chosen {
            if let Some(message) = tree.messages.get(&id) {
                tree.chosen.insert(message.parent, id);
            }
        }
        tree.find_path();
        Some(tree)
    }

    pub(crate) fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(&id)
    }

    pub(super) fn message_mut(&mut self, id: MessageId) -> Option<&mut Message> {
        self.messages.get_mut(&id)
    }

    /// All messages, oldest first.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    pub(crate) fn chosen(&self) -> impl Iterator<Item = MessageId> {
        self.chosen.values().copied()
    }

    /// The messages that are shown.
    pub(crate) fn path(&self) -> &[MessageId] {
        &self.path
    }

    /// The messages that lead to one, first to last, without itself.
    pub(crate) fn before(&self, id: MessageId) -> Vec<&Message> {
        let mut before = vec![];
        let mut at = self.message(id).and_then(|message| message.parent);
        while let Some(message) = at.and_then(|id| self.message(id)) {
            before.push(message);
            at = message.parent;
        }
        before.reverse();
        before
    }

    /// The versions of a message and which of them it is.
    pub(crate) fn versions(&self, id: MessageId) -> (&[MessageId], usize) {
        let versions = self.message(id).and_then(|message| self.followers.get(&message.parent));
        let versions = versions.map_or(&[][..], Vec::as_slice);
        (versions, versions.iter().position(|version| *version == id).unwrap_or(0))
    }

    /// Adds a message behind its parent, which is there, and chooses it.
    pub(super) fn add(&mut self, message: Message) {
        let (id, parent) = (message.id, message.parent);
        self.insert(message);
        self.chosen.insert(parent, id);
        // What is written comes at the end of the path, mostly.
        if self.path.last().copied() == parent {
            self.path.push(id);
        } else {
            self.find_path();
        }
    }

    fn insert(&mut self, message: Message) {
        let versions = self.followers.entry(message.parent).or_default();
        if let Err(at) = versions.binary_search(&message.id) {
            versions.insert(at, message.id);
        }
        self.messages.insert(message.id, message);
    }

    /// Chooses versions so that a message is shown; says which were not chosen before.
    pub(super) fn show(&mut self, id: MessageId) -> Option<Vec<MessageId>> {
        self.messages.get(&id)?;
        let mut changed = vec![];
        let mut at = Some(id);
        while let Some(message) = at.and_then(|id| self.messages.get(&id)) {
            if self.chosen.insert(message.parent, message.id) != Some(message.id) {
                changed.push(message.id);
            }
            at = message.parent;
        }
        if !changed.is_empty() {
            self.find_path();
        }
        Some(changed)
    }

    /// Takes out a message and all that follows it, and says which version is chosen instead where it was chosen.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<(Removed, Option<MessageId>)> {
        let parent = self.messages.get(&id)?.parent;
        let (versions, at) = self.versions(id);
        let beside = at.checked_sub(1).map_or_else(|| versions.get(1), |at| versions.get(at)).copied();
        let mut removed = Removed { messages: vec![], chosen: vec![] };
        let was_chosen = self.chosen.get(&parent) == Some(&id);
        let instead = beside.filter(|_| was_chosen);
        if was_chosen {
            removed.chosen.push(id);
            match instead {
                Some(beside) => self.chosen.insert(parent, beside),
                None => self.chosen.remove(&parent),
            };
        }
        if let Some(versions) = self.followers.get_mut(&parent) {
            versions.retain(|version| *version != id);
            if versions.is_empty() {
                self.followers.remove(&parent);
            }
        }
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            removed.messages.extend(self.messages.remove(&id));
            removed.chosen.extend(self.chosen.remove(&Some(id)));
            left.extend(self.followers.remove(&Some(id)).unwrap_or_default());
        }
        self.find_path();
        Some((removed, instead))
    }

    /// Puts back what was taken out, and says what was put and chosen. `None` where what it followed is gone too, or
    /// it is there.
    pub(super) fn put_back(&mut self, removed: Removed) -> Option<(Vec<Message>, Vec<MessageId>)> {
        let Removed { messages, chosen } = removed;
        let first = messages.first()?;
        let has_place = first.parent.is_none_or(|parent| self.messages.contains_key(&parent));
        if !has_place || self.messages.contains_key(&first.id) {
            return None;
        }
        for message in &messages {
            self.insert(message.clone());
        }
        let chosen: BTreeSet<MessageId> = chosen.into_iter().collect();
        let mut now_chosen = vec![];
        for message in &messages {
            // What had no other version while this one was away is chosen now, however it was.
            if chosen.contains(&message.id) || !self.chosen.contains_key(&message.parent) {
                self.chosen.insert(message.parent, message.id);
                now_chosen.push(message.id);
            }
        }
        self.find_path();
        Some((messages, now_chosen))
    }

    fn find_path(&mut self) {
        self.path.clear();
        let mut at = None;
        while let Some(id) = self.chosen.get(&at) {
            self.path.push(*id);
            at = Some(*id);
        }
    }
}
