-- What pages called themselves last. It came after the first files, so it is made where it lacks; a
-- program that doesn't know it leaves it alone.
-- given: Unix milliseconds.
CREATE TABLE IF NOT EXISTS titles (
    page  INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    given INTEGER NOT NULL
);
