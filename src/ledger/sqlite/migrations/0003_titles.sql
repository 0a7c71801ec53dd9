-- Page titles, the latest of each page. Older programs ignore the table, so the format stays. Files from before
-- migrations were numbered may have it already.
-- given: Unix milliseconds.
CREATE TABLE IF NOT EXISTS titles (
    page  INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    given INTEGER NOT NULL
);
