//! Rights of a token, and the text that keeps them in the file and in Redis.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::counter::{Right, SitePattern};

/// Sites and patterns of one token.
pub const SITES_MAX: usize = 200;

/// SHA-256 of the public key that a token yields ([`super::secret`]). Nobody gets the token out of it, nor a signature.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; 32]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 hexadecimal digits, as `thongke token make --print` prints them")]
pub struct TokenHashError;

/// Rights of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    #[serde(with = "as_text")]
    pub hash: TokenHash,
    pub right: Right,
    #[serde(with = "as_texts")]
    pub sites: Vec<SitePattern>,
    /// Unix seconds from which on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// It may stand in an address: it views one site.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_share: bool,
}

impl TokenHash {
    const PREFIX: &str = "sha256:";

    pub(super) fn of_key(public_key: &[u8]) -> Self {
        Self(Sha256::digest(public_key).into())
    }
}

impl From<[u8; 32]> for TokenHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Takes the same time whatever the hashes.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(TokenHashError)?;
        let is_right = digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(2 * at..2 * at + 2).filter(|_| is_right).ok_or(TokenHashError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| TokenHashError)?;
        }
        Ok(Self(bytes))
    }
}

impl Grant {
    /// The text in the file and in Redis.
    pub fn text(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// None for a text that this version doesn't write.
    pub fn parse(text: &str) -> Option<Self> {
        let grant: Self = serde_json::from_str(text).ok()?;
        (!grant.sites.is_empty() && grant.sites.len() <= SITES_MAX).then_some(grant)
    }

    pub fn is_over(&self, now_s: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now_s)
    }

    /// The right to view one site.
    #[cfg(test)]
    pub fn viewing(site: &str, hash: [u8; 32]) -> Self {
        let sites = vec![site.parse().unwrap()];
        Self { hash: hash.into(), right: Right::View, sites, expires: None, is_share: false }
    }
}

/// A value that is written as text.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The same for each of a list.
mod as_texts {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub fn serialize<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_reads_as_it_is_written() {
        let plain = Grant::viewing("xa-lan", [0xab; 32]);
        let written = format!(r#"{{"hash":"sha256:{}","right":"view","sites":["xa-lan"]}}"#, "ab".repeat(32));
        assert_eq!(plain.text(), written);
        let sites = vec!["xa-*".parse().unwrap(), "demo".parse().unwrap()];
        let full = Grant { right: Right::Edit, sites, expires: Some(1_733_000_000), is_share: true, ..plain.clone() };
        for grant in [plain, full] {
            assert_eq!(Grant::parse(&grant.text()), Some(grant));
        }
    }

    #[test]
    fn a_hash_is_written_in_one_way() {
        let right = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(right.parse::<TokenHash>().unwrap().to_string(), right);
        for wrong in [&right[7..], &right[..70], &format!("{right}0"), &right.to_uppercase(), "sha256:", ""] {
            assert_eq!(wrong.parse::<TokenHash>(), Err(TokenHashError), "{wrong}");
        }
    }

    #[test]
    fn a_grant_without_sites_or_with_a_wrong_one_is_none() {
        let right = Grant::viewing("demo", [1; 32]).text();
        for wrong in [r#"[]"#, r#"["A"]"#, r#"["a b"]"#, r#""demo""#] {
            assert_eq!(Grant::parse(&right.replace(r#"["demo"]"#, wrong)), None, "{wrong}");
        }
        assert_eq!(Grant::parse(&right.replace("view", "own")), None);
    }
}
