//! The committer's writing of editors' rules.

use rusqlite::Connection;

use super::failure::WriteFailure;
use super::file_writer::FileWriter;
use super::state::State;
use crate::counter::editor_rules::change::{Change, Refused};
use crate::counter::{EditorRule, PageAddress, RuleKind, SiteNumber};
use crate::ledger::fold::entry::Observers;
use crate::ledger::sqlite::tables::{page_rules, pages};

impl FileWriter {
    /// Writes the rule that a change makes, unless the site's rules are against it.
    pub fn change_rule(
        &mut self,
        site: SiteNumber,
        change: Change,
        now_ms: i64,
    ) -> Result<Result<EditorRule, Refused>, WriteFailure> {
        let known = self.state.editor_rules.get(site).unwrap_or_default();
        let is_page = |page: &PageAddress| pages::stands_alone(&self.connection, site, page);
        let change = change.resolved(&known, is_page)?;
        match known.changed(change, now_ms) {
            Err(refused) => Ok(Err(refused)),
            Ok(rule) => {
                self.write_rules(site, vec![rule.clone()])?;
                Ok(Ok(rule))
            }
        }
    }

    /// Writes rules, as far as they are later than those of the file. True: some are.
    pub fn write_rules(&mut self, site: SiteNumber, mut rules: Vec<EditorRule>) -> Result<bool, WriteFailure> {
        let known = self.state.editor_rules.get(site).unwrap_or_default();
        rules.retain(|rule| known.lacks(rule));
        let Some(after) = known.with(rules.iter().cloned()) else { return Ok(false) };
        // Beyond the bound memory takes none, and the file neither.
        rules.retain(|rule| !after.lacks(rule));
        let state = self.state.clone();
        self.change(|connection| {
            for rule in &rules {
                page_rules::write(connection, site, rule)?;
                for page in named(rule) {
                    vouch(connection, &state, site, &page)?;
                }
            }
            Ok(())
        })?;
        self.state.editor_rules.put(site, after);
        Ok(true)
    }
}

/// Pages for which the editor of a rule vouches.
fn named(rule: &EditorRule) -> Vec<PageAddress> {
    match (&rule.kind, &rule.value) {
        (RuleKind::Title, Some(_)) => vec![rule.page.clone()],
        // Both: their figures are one, which must not fall when the days of one expire.
        (RuleKind::Merge, Some(target)) => vec![rule.page.clone(), PageAddress::from_stored(target)],
        _ => Vec::new(),
    }
}

/// Vouches for a page, read or not.
fn vouch(connection: &Connection, state: &State, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<()> {
    match pages::find(connection, site, page)? {
        Some(known) if known.is_vouched => {}
        Some(known) => {
            let (feed, admission, vouching) = (&state.feed, &state.admission, &state.vouching);
            Observers { feed, admission, vouching, run: &state.run }.vouch(connection, site, page, known.number)?;
        }
        None => {
            pages::insert_vouched(connection, site, page)?;
            state.admission.settle(site, page, true);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_vouches_for_the_pages_that_a_rule_names_and_hides_or_deletes_others_as_they_are() {
        let named = |kind, value: Option<&str>| {
            let rule = EditorRule::stored("/a", kind, value, 1).unwrap();
            named(&rule).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(named("title", Some("A")), ["/a"]);
        assert_eq!(named("merge", Some("/b")), ["/a", "/b"]);
        for (kind, value) in [("hide", Some("1")), ("delete", Some("1")), ("title", None), ("merge", None)] {
            assert_eq!(named(kind, value), Vec::<String>::new(), "{kind}");
        }
    }
}
