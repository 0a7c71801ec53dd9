//! Editors' rules: written to the file, and known in memory.

use std::sync::Arc;

use super::Ledger;
use super::error::LedgerError;
use crate::counter::editor_rules::change::{Change, Refused};
use crate::counter::{EditorRule, EditorRules, SiteNumber};

impl Ledger {
    /// Rules of the sites that have any.
    pub fn editor_rules(&self) -> Vec<(SiteNumber, Arc<EditorRules>)> {
        self.state.editor_rules.all()
    }

    /// Writes the rule that a change makes.
    pub async fn change_rule(
        &self,
        site: SiteNumber,
        change: Change,
        now_ms: i64,
    ) -> Result<Result<EditorRule, Refused>, LedgerError> {
        self.queue.run(move |file| file.change_rule(site, change, now_ms)).await
    }

    /// Writes rules of other nodes, as far as they are later than those of the file. True: some are.
    pub async fn learn_rules(&self, site: SiteNumber, rules: Vec<EditorRule>) -> Result<bool, LedgerError> {
        self.queue.run(move |file| file.write_rules(site, rules)).await
    }
}
