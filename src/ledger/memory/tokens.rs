//! Editors' tokens, as the file has them.

use std::sync::{Arc, Mutex};

use super::lock;
use crate::counter::EditorTokens;

#[derive(Debug, Default)]
pub struct KnownTokens(Mutex<Arc<EditorTokens>>);

impl KnownTokens {
    pub fn get(&self) -> Arc<EditorTokens> {
        Arc::clone(&lock(&self.0))
    }

    pub fn put(&self, tokens: EditorTokens) {
        *lock(&self.0) = Arc::new(tokens);
    }
}
