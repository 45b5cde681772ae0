CREATE TABLE comparisons (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    created INTEGER NOT NULL,
    result  TEXT    NOT NULL -- JSON
) STRICT;
