-- Times are milliseconds since 1970; identifiers grow with time.
CREATE TABLE conversations (
    id          INTEGER PRIMARY KEY,
    title       TEXT    NOT NULL,
    title_given INTEGER NOT NULL, -- 1: by the user; 0: it follows from the first message
    pinned      INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    system      TEXT,
    sampling    TEXT    NOT NULL, -- JSON
    deleted     INTEGER           -- when; gone at the next start
) STRICT;

CREATE TABLE messages (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    parent       INTEGER,          -- the message that it follows
    role         TEXT    NOT NULL, -- JSON, as are state and statistics
    text         TEXT    NOT NULL,
    thinking     TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    chosen       INTEGER NOT NULL DEFAULT 0, -- 1: shown, of those with the same parent
    created      INTEGER NOT NULL,
    statistics   TEXT
) STRICT;
CREATE INDEX messages_by_place ON messages (conversation, parent);

-- What a reply that is being written has grown by, so that a long one is not written anew each time.
CREATE TABLE pieces (
    number   INTEGER PRIMARY KEY,
    message  INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    text     TEXT    NOT NULL,
    thinking TEXT    NOT NULL
) STRICT;
CREATE INDEX pieces_by_message ON pieces (message);

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE presets (name TEXT PRIMARY KEY, preset TEXT NOT NULL) STRICT, WITHOUT ROWID;
