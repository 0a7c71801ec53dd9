//! Editors' tokens: written to the file, and known in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Ledger;
use super::error::LedgerError;
use crate::counter::editor_rules::change::Refused;
use crate::counter::tokens::change::Change;
use crate::counter::{EditorToken, EditorTokens, Grant, TokenName};

impl Ledger {
    pub fn tokens(&self) -> Arc<EditorTokens> {
        self.state.tokens.get()
    }

    /// Writes the token that a change makes. `configured`: tokens that stand in the configuration.
    pub async fn change_token(
        &self,
        change: Change,
        configured: Arc<BTreeMap<TokenName, Grant>>,
        now_ms: i64,
    ) -> Result<Result<EditorToken, Refused>, LedgerError> {
        self.queue.run(move |file| file.change_token(change, &configured, now_ms)).await
    }

    /// Writes tokens of other nodes, as far as they are later than those of the file. True: some are.
    pub async fn learn_tokens(&self, tokens: Vec<EditorToken>) -> Result<bool, LedgerError> {
        self.queue.run(move |file| file.write_tokens(tokens)).await
    }
}
