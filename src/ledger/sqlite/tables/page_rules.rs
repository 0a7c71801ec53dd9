//! `page_rules`: editors' rules, the last written of each site, page and kind.

use rusqlite::{Connection, params};

use super::{execute, rows};
use crate::counter::{EditorRule, SiteNumber};

/// All rules of all sites. Rows of kinds that this version doesn't know are left out.
pub fn all(connection: &Connection) -> rusqlite::Result<Vec<(SiteNumber, EditorRule)>> {
    let sql = "SELECT site, page, kind, value, given FROM page_rules ORDER BY site";
    let read = rows(connection, sql, [], |row| {
        let (page, kind, value): (String, String, Option<String>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((SiteNumber(row.get(0)?), EditorRule::stored(&page, &kind, value.as_deref(), row.get(4)?)))
    })?;
    Ok(read.into_iter().filter_map(|(site, rule)| Some((site, rule?))).collect())
}

/// Writes a rule, unless a later one is there.
pub fn write(connection: &Connection, site: SiteNumber, rule: &EditorRule) -> rusqlite::Result<()> {
    let EditorRule { page, kind, value, given_ms } = rule;
    // Of two in one millisecond the greater value, and any value is greater than none.
    let sql = "INSERT INTO page_rules (site, page, kind, value, given) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET value = excluded.value, given = excluded.given
               WHERE excluded.given > given
                  OR excluded.given = given AND excluded.value IS NOT NULL AND (value IS NULL OR excluded.value > value)";
    execute(connection, sql, params![site.0, page.as_str(), kind.as_str(), value.as_deref(), given_ms]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::EditorRules;
    use crate::ledger::sqlite::migrations;

    const SITE: SiteNumber = SiteNumber(1);

    #[test]
    fn the_file_keeps_what_memory_keeps_whatever_the_order() {
        let write_of = |value: Option<&str>, given_ms| EditorRule::stored("/a", "title", value, given_ms).unwrap();
        let writes = [
            (None, 5),
            (Some("A"), 5),
            (Some("Đ"), 5),
            (Some("Z"), 5),
            (Some("Z"), 4),
            (None, 4),
            (Some("A"), 6),
            (None, 7),
        ];
        for first in writes {
            for second in writes {
                let file = Connection::open_in_memory().unwrap();
                migrations::migrate(&file).unwrap();
                let both = [first, second].map(|(value, given_ms)| write_of(value, given_ms));
                both.iter().for_each(|rule| write(&file, SITE, rule).unwrap());
                let held = all(&file).unwrap();
                let expected: Vec<_> = EditorRules::of(both).all().map(|rule| (SITE, rule)).collect();
                assert_eq!(held, expected, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn rules_of_other_kinds_and_of_the_site_itself_are_left_out() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let sql = "INSERT INTO page_rules VALUES (1, '', 'reset', '1', 1), (1, '/a', 'paint', '1', 1), (2, '/a', 'hide', '1', 1)";
        file.execute_batch(sql).unwrap();
        let held: Vec<_> =
            all(&file).unwrap().into_iter().map(|(site, rule)| (site.0, rule.page.to_string())).collect();
        assert_eq!(held, [(2, "/a".to_owned())]);
    }
}
