//! Tokens of editors that open something now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::counter::{EditorTokens, Grant, Grants, TokenName};

#[derive(Default)]
pub struct LiveGrants {
    current: RwLock<Arc<Grants>>,
    /// Tokens of the configuration. Held while another table is made.
    configured: Mutex<Arc<BTreeMap<TokenName, Grant>>>,
}

impl LiveGrants {
    pub fn get(&self) -> Arc<Grants> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn configured(&self) -> Arc<BTreeMap<TokenName, Grant>> {
        Arc::clone(&self.configured.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the file's tokens of this moment. `of_file` is called under the lock, so that a later table never gives way
    /// to an earlier one.
    pub fn take(&self, of_file: impl FnOnce() -> Arc<EditorTokens>) {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(Grants::of(&of_file(), &configured));
    }

    pub fn configure(&self, tokens: BTreeMap<TokenName, Grant>, of_file: impl FnOnce() -> Arc<EditorTokens>) {
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        *configured = Arc::new(tokens);
        self.put(Grants::of(&of_file(), &configured));
    }

    fn put(&self, grants: Grants) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(grants);
    }
}
