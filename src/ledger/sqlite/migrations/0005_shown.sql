-- Figures of sites that were shown with more of other nodes' hits than `counts` has. Older programs ignore the table, so
-- the format stays.
-- hits: of all sources but this node's own. imports: a sum that changes with any import of the counter.
CREATE TABLE shown (
    site    INTEGER NOT NULL,
    period  INTEGER NOT NULL,
    hits    INTEGER NOT NULL,
    imports INTEGER NOT NULL,
    PRIMARY KEY (site, period)
) WITHOUT ROWID;
