-- Titles and texts, under the identifiers of their conversations and messages, in which every character of a script
-- that does not part words is a word.
CREATE VIRTUAL TABLE search USING fts5 (body, tokenize = 'unicode61 remove_diacritics 2');

CREATE TRIGGER message_is_gone AFTER DELETE ON messages BEGIN
    DELETE FROM search WHERE rowid = old.id;
END;
CREATE TRIGGER conversation_is_gone AFTER DELETE ON conversations BEGIN
    DELETE FROM search WHERE rowid = old.id;
END;
