-- Format 3. Nodes ask what Redis holds; the file no longer notes it.

PRAGMA user_version = 3;
ALTER TABLE site_sources DROP COLUMN published;
