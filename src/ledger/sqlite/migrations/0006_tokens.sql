-- Editors' tokens: the last written of each name. Older programs ignore the table, so the format stays.
-- value: the grant as counter/tokens/grant.rs writes it; null: revoked. given: Unix milliseconds.
CREATE TABLE tokens (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT,
    given INTEGER NOT NULL
) WITHOUT ROWID;
