-- Format 3, of 0.2. Its new columns and tables are for what 0.2 adds to pages, so that a file migrates once.

PRAGMA user_version = 3;

-- Nodes ask what Redis holds; the file no longer notes it.
ALTER TABLE site_sources DROP COLUMN published;

-- address_rule: version of the rule that made the address from a url; 1: 0.1's.
ALTER TABLE pages ADD COLUMN address_rule INTEGER NOT NULL DEFAULT 1;
-- link: the url that readers used, where the address is not one that opens; null: the address itself.
ALTER TABLE pages ADD COLUMN link TEXT;
-- vouched: 1 once enough networks have read the page; then it is listed and named, and has months and a total. Before,
-- it is minus the number of the first day on which the page was read.
ALTER TABLE pages ADD COLUMN vouched INTEGER NOT NULL DEFAULT 1;
CREATE INDEX pages_unvouched ON pages (number) WHERE vouched <= 0;

-- Editors' rules: the last writer's value of each kind (such as title, merge, hide, delete, reset) for a page; page '' is
-- the site itself. value: null undoes the rule. given: Unix milliseconds.
CREATE TABLE page_rules (
    site  INTEGER NOT NULL,
    page  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    value TEXT,
    given INTEGER NOT NULL,
    PRIMARY KEY (site, page, kind)
) WITHOUT ROWID;

-- Networks that have read an unvouched page on a day, each as 32 bits keyed by the day's salt and deleted with it. Page
-- 0 is the site; its number of networks is kept for another day, as tags from 1 on.
CREATE TABLE vouch_tags (
    site INTEGER NOT NULL,
    day  INTEGER NOT NULL,
    page INTEGER NOT NULL,
    tag  INTEGER NOT NULL,
    PRIMARY KEY (site, day, page, tag)
) WITHOUT ROWID;

-- An import on its way to `counts`: src/ledger/sqlite/tables/imports.rs, which has the form of `rows` too.
CREATE TABLE import_steps (
    number     INTEGER PRIMARY KEY,
    site       INTEGER NOT NULL,
    source     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    rows       BLOB NOT NULL
);
