//! Tokens of editors: names, rights, and the proof that somebody has one.
//!
//! Each token is a last-writer-wins register of its name, as editors' rules of pages are. Of two writes the later holds on
//! all nodes. A write without a grant revokes the token. It stays, so that an older copy doesn't come back.
//!
//! - [`change`]: a token as it is asked for, checked
//! - [`grant`]: rights of a token, and the text that keeps them
//! - [`grants`]: all tokens that open something, found by name and by hash
//! - [`secret`]: the token itself, and signatures by it

pub mod change;
pub mod grant;
pub mod grants;
pub mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use smol_str::SmolStr;

pub use grant::{Grant, TokenHash};
pub use grants::Grants;

/// Tokens that aren't revoked.
pub const TOKENS_MAX: usize = 5_000;
/// The same with those that are revoked.
pub const REGISTERS_MAX: usize = 10_000;
/// Latest time of a change, in Unix milliseconds: Redis's numbers are exact up to here.
const GIVEN_MAX: i64 = (1 << 53) - 1;
const NAME_BYTES_MAX: usize = 63;

/// Name of a token: 1 to 63 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenName(SmolStr);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a token: expected 1 to 63 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit")]
pub struct TokenNameError(String);

/// A token as it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditorToken {
    pub name: TokenName,
    /// None: revoked.
    pub grant: Option<Arc<str>>,
    /// Unix milliseconds.
    pub given_ms: i64,
}

/// A token's time and grant, the greater of which holds.
type Written = (i64, Option<Arc<str>>);

/// All tokens of the node's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditorTokens {
    written: BTreeMap<TokenName, Written>,
}

impl TokenName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenNameError;

    fn from_str(text: &str) -> Result<Self, TokenNameError> {
        let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_right = text.len() <= NAME_BYTES_MAX
            && text.as_bytes().first().is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(&byte) || b"._-".contains(&byte));
        if is_right {
            return Ok(Self(text.into()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(TokenNameError(shown.escape_debug().to_string()))
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl EditorToken {
    /// A token out of the file or Redis; none where this version writes no such token.
    pub fn stored(name: &str, grant: Option<&str>, given_ms: i64) -> Option<Self> {
        let name = name.parse().ok()?;
        let is_right = (0..=GIVEN_MAX).contains(&given_ms) && grant.is_none_or(|text| Grant::parse(text).is_some());
        is_right.then(|| Self { name, grant: grant.map(Into::into), given_ms })
    }
}

impl EditorTokens {
    pub fn of(tokens: impl IntoIterator<Item = EditorToken>) -> Self {
        Self::default().with(tokens).unwrap_or_default()
    }

    /// The tokens with these, as far as they are later; none if none is.
    pub fn with(&self, tokens: impl IntoIterator<Item = EditorToken>) -> Option<Self> {
        let mut changed = None;
        for token in tokens {
            let known = changed.as_ref().unwrap_or(self);
            let has_room = known.written.len() < REGISTERS_MAX || known.written.contains_key(&token.name);
            if has_room && known.lacks(&token) {
                let EditorToken { name, grant, given_ms } = token;
                changed.get_or_insert_with(|| self.clone()).written.insert(name, (given_ms, grant));
            }
        }
        changed
    }

    /// True if this token isn't known, or was written later than the known one.
    pub fn lacks(&self, token: &EditorToken) -> bool {
        let known = self.written.get(&token.name);
        known.is_none_or(|(given_ms, grant)| (token.given_ms, &token.grant) > (*given_ms, grant))
    }

    /// All tokens, the revoked ones too, by name.
    pub fn all(&self) -> impl Iterator<Item = EditorToken> {
        let token = |(name, (given_ms, grant)): (&TokenName, &Written)| EditorToken {
            name: name.clone(),
            grant: grant.clone(),
            given_ms: *given_ms,
        };
        self.written.iter().map(token)
    }

    /// Number of tokens that aren't revoked.
    fn count(&self) -> usize {
        self.written.values().filter(|(_, grant)| grant.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(name: &str, hash: Option<u8>, given_ms: i64) -> EditorToken {
        let grant = hash.map(|byte| Grant::viewing("demo", [byte; 32]).text());
        EditorToken::stored(name, grant.as_deref(), given_ms).unwrap()
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["lan", "xa-lan.2", "0", "a_b", &"a".repeat(63)] {
            assert_eq!(name.parse::<TokenName>().unwrap().as_str(), name);
        }
        for name in ["", "-a", ".a", "Lan", "a b", "a/b", "ả", "a\n", &"a".repeat(64)] {
            assert!(name.parse::<TokenName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_stored_token_that_this_version_does_not_write_is_left_out() {
        let right = Grant::viewing("demo", [1; 32]).text();
        assert!(EditorToken::stored("lan", Some(&right), 1).is_some());
        assert!(EditorToken::stored("lan", None, 1).is_some());
        let stricter = right.replace('}', ",\"only_mondays\":true}");
        for (name, grant, given_ms) in [
            ("Lan", Some(&*right), 1),
            ("\u{1}stamp", None, 1),
            ("lan", Some("x"), 1),
            // A restriction of a later version.
            ("lan", Some(&*stricter), 1),
            ("lan", Some(&*right), -1),
            ("lan", Some(&*right), GIVEN_MAX + 1),
        ] {
            assert_eq!(EditorToken::stored(name, grant, given_ms), None, "{name} {grant:?} {given_ms}");
        }
    }

    #[test]
    fn the_number_of_registers_is_bounded_and_a_known_one_can_still_be_revoked() {
        let full = EditorTokens::of((0..REGISTERS_MAX).map(|at| token(&at.to_string(), Some(1), 1)));
        assert!(full.with([token("x", Some(1), 2)]).is_none());
        assert!(full.with([token("7", None, 2)]).is_some());
    }

    proptest! {
        /// Nodes that have seen the same writes agree, whatever the order.
        #[test]
        fn the_order_of_writes_does_not_matter(
            writes in prop::collection::vec(("[ab]", prop::option::of(0u8..3), 0i64..4), 0..12),
        ) {
            let tokens: Vec<_> = writes.iter().map(|(name, hash, given_ms)| token(name, *hash, *given_ms)).collect();
            let one = EditorTokens::of(tokens.iter().cloned());
            let other = EditorTokens::of(tokens.iter().rev().cloned());
            prop_assert_eq!(one, other);
        }
    }
}
