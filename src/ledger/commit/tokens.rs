//! The committer's writing of editors' tokens.

use std::collections::BTreeMap;

use super::failure::WriteFailure;
use super::file_writer::FileWriter;
use crate::counter::editor_rules::change::Refused;
use crate::counter::tokens::change::Change;
use crate::counter::{EditorToken, Grant, TokenName};
use crate::ledger::sqlite::tables::tokens;

impl FileWriter {
    /// Writes the token that a change makes, unless the other tokens are against it.
    pub fn change_token(
        &mut self,
        change: Change,
        configured: &BTreeMap<TokenName, Grant>,
        now_ms: i64,
    ) -> Result<Result<EditorToken, Refused>, WriteFailure> {
        match self.state.tokens.get().changed(change, configured, rand::random(), now_ms) {
            Err(refused) => Ok(Err(refused)),
            Ok(token) => {
                self.write_tokens(vec![token.clone()])?;
                Ok(Ok(token))
            }
        }
    }

    /// Writes tokens, as far as they are later than those of the file. True: some are.
    pub fn write_tokens(&mut self, mut written: Vec<EditorToken>) -> Result<bool, WriteFailure> {
        let known = self.state.tokens.get();
        written.retain(|token| known.lacks(token));
        let Some(after) = known.with(written.iter().cloned()) else { return Ok(false) };
        // Beyond the bound memory takes none, and the file neither.
        written.retain(|token| !after.lacks(token));
        self.change(|connection| written.iter().try_for_each(|token| tokens::write(connection, token)))?;
        self.state.tokens.put(after);
        Ok(true)
    }
}
