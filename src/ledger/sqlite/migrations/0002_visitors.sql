-- Visitors: format 2 of the node's file, which programs that only know format 1 refuse.

PRAGMA user_version = 2;

-- day: 20240617. sketch: a HyperLogLog in Redis's form; null once the day is over for all nodes.
CREATE TABLE visitors (
    site     INTEGER NOT NULL,
    day      INTEGER NOT NULL,
    estimate INTEGER NOT NULL,
    sketch   BLOB,
    PRIMARY KEY (site, day)
) WITHOUT ROWID;
CREATE INDEX visitors_open ON visitors (day) WHERE sketch IS NOT NULL;

-- Visitors of a minute (of Unix time), hashed with the salt of a day; kept for some minutes.
CREATE TABLE online (
    site   INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    day    INTEGER NOT NULL,
    sketch BLOB NOT NULL,
    PRIMARY KEY (site, minute, day)
) WITHOUT ROWID;

-- The keys of visitors' hashes, each deleted after its day. shared = 1: agreed on through Redis.
CREATE TABLE salts (
    site   INTEGER NOT NULL,
    day    INTEGER NOT NULL,
    salt   BLOB NOT NULL,
    shared INTEGER NOT NULL,
    PRIMARY KEY (site, day)
) WITHOUT ROWID;
