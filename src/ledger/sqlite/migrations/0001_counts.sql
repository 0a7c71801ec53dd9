-- The node's file. src/ledger/mod.rs explains how the tables work together.

PRAGMA application_id = 1953001835; -- "thok"
PRAGMA user_version = 1;

-- fold_mark: journal rows up to it are in `counts`.
-- fold_target, fold_done: of the rows after the mark up to the target, merged and sorted, the first
-- `fold_done` entries are in `counts` too.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('fold_mark', 0), ('fold_target', 0), ('fold_done', 0);

CREATE TABLE sites (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE
);

-- learned = 1: remote, that is another node's, read from Redis. learned = 2: this node's, of which Redis knew
-- more, as after a backup was restored: its site figures are whole again, its pages are the backup's.
CREATE TABLE sources (
    number  INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    learned INTEGER NOT NULL
);

-- The sources that contribute to each site; published = 1: Redis is known to have all of it.
CREATE TABLE site_sources (
    site      INTEGER NOT NULL,
    source    INTEGER NOT NULL,
    published INTEGER NOT NULL,
    PRIMARY KEY (site, source)
) WITHOUT ROWID;

-- Page 0 is the site itself and has no row here.
CREATE TABLE pages (
    number  INTEGER PRIMARY KEY,
    site    INTEGER NOT NULL,
    address TEXT NOT NULL,
    UNIQUE (site, address)
);

-- period: 20240617, 20240600, 20240000, or 0 for the total. generation: null for runs.
CREATE TABLE counts (
    site       INTEGER NOT NULL,
    period     INTEGER NOT NULL,
    page       INTEGER NOT NULL,
    source     INTEGER NOT NULL,
    hits       INTEGER NOT NULL,
    generation INTEGER,
    PRIMARY KEY (site, period, page, source)
) WITHOUT ROWID;

-- One row per commit. The program numbers the rows and never prunes the newest, so numbers only rise, without
-- AUTOINCREMENT's second table and its page in every commit.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    tally  BLOB NOT NULL
);
