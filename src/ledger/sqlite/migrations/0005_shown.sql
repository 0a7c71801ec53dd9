-- Figures of sites that were shown with more of other nodes' hits than `counts` has. Older programs ignore the table, so
-- the format stays.
-- hits: without those of this node's own sources and of the imports in `counts`. imports: a sum that changes with any import
-- of the counter.
CREATE TABLE shown (
    site    INTEGER NOT NULL,
    period  INTEGER NOT NULL,
    hits    INTEGER NOT NULL,
    imports INTEGER NOT NULL,
    PRIMARY KEY (site, period)
) WITHOUT ROWID;

-- Figures with other nodes' hits that were shown shortly before a clean stop, of pages and of histories (page NULL).
CREATE TABLE last_shown (
    site   INTEGER NOT NULL,
    period INTEGER NOT NULL,
    page   TEXT,
    figure INTEGER NOT NULL
);

-- The last import of each name that this node has made. is_compared: Redis has nothing left of another node's import of the
-- same time.
CREATE TABLE own_imports (
    site        INTEGER NOT NULL,
    source      TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    is_compared INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, source)
) WITHOUT ROWID;
