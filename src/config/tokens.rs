//! Editors' tokens that stand in the file, each as the table that `thongke token make --print` prints.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde::de::MapAccess;
use toml::Spanned;
use toml::de::DeTable;

use super::problem::Faults;
use super::suggest;
use super::value::{Field, List, Value, keys_of, read_table};
use crate::counter::tokens::grant::{SITES_MAX, TokenHashError};
use crate::counter::{Grant, Right, SitePattern, TokenHash, TokenName};

#[derive(Deserialize)]
pub struct RawToken {
    hash: Option<Field<TokenHash>>,
    right: Option<Field<Right>>,
    sites: Option<Field<List<SitePattern>>>,
    expires: Option<Field<Moment>>,
    share: Option<Field<bool>>,
}

/// All tokens by name.
pub struct RawTokens(Vec<(Spanned<String>, Field<RawToken>)>);

struct Moment(DateTime<Utc>);

pub fn check(field: Option<Field<RawTokens>>, faults: &mut Faults) -> BTreeMap<TokenName, Grant> {
    let mut grants = BTreeMap::new();
    let mut hashes = HashSet::new();
    for (name, token) in faults.take(field).map(|RawTokens(tokens)| tokens).unwrap_or_default() {
        let name_read =
            name.get_ref().parse::<TokenName>().map_err(|error| faults.wrong(&name.span(), error.to_string()));
        let Some(token) = faults.take(Some(token)) else { continue };
        let (Some(grant), Ok(known)) = (token.check(&name, faults), name_read) else { continue };
        if !hashes.insert(grant.hash) {
            faults.wrong(&name.span(), format!("token `{known}` has the hash of another; make one of its own"));
        }
        grants.insert(known, grant);
    }
    grants
}

/// Notes each key of a token's table that nothing reads.
pub fn unknown_keys(table: &DeTable<'_>, faults: &mut Faults) {
    let known = keys_of::<RawToken>();
    for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
        let shown: String = key.get_ref().chars().take(80).collect();
        faults.wrong(&key.span(), format!("unknown key `{shown}`; {}", suggest::nearest_or_all(key.get_ref(), known)));
    }
}

/// The lines of a token, as they stand in the file.
pub fn lines(name: &TokenName, grant: &Grant) -> String {
    let sites: Vec<_> = grant.sites.iter().map(|site| format!("\"{site}\"")).collect();
    // A name may have dots, which only quotes keep in one key.
    let key = if name.as_str().contains('.') { format!("\"{name}\"") } else { name.to_string() };
    let expires = grant.expires.and_then(|expires| DateTime::from_timestamp(expires, 0));
    let expires =
        expires.map(|expires| format!("expires = \"{}\"\n", expires.to_rfc3339_opts(SecondsFormat::Secs, true)));
    format!(
        "[tokens.{key}]\nhash = \"{}\"\nright = \"{}\"\nsites = [{}]\n{}{}",
        grant.hash,
        grant.right.as_str(),
        sites.join(", "),
        expires.unwrap_or_default(),
        if grant.is_share { "share = true\n" } else { "" }
    )
}

impl RawToken {
    fn check(self, name: &Spanned<String>, faults: &mut Faults) -> Option<Grant> {
        let mut missing = |key: &str| {
            let hint = "`thongke token make --print` prints all lines of a token";
            faults.missing(&name.span(), format!("token `{}` has no `{key}`; {hint}", name.get_ref()));
        };
        let absent = [("hash", self.hash.is_none()), ("right", self.right.is_none()), ("sites", self.sites.is_none())];
        absent.into_iter().filter(|(_, is_absent)| *is_absent).for_each(|(key, _)| missing(key));
        let (hash, right) = (faults.take(self.hash), faults.spanned(self.right));
        let sites = faults.list(self.sites);
        let expires = faults.take(self.expires).map(|Moment(moment)| moment.timestamp());
        let is_share = faults.take(self.share).unwrap_or_default();
        let (right, sites) = (right?, sites?);
        let (span, patterns) =
            (sites.span(), sites.into_inner().into_iter().map(Spanned::into_inner).collect::<Vec<_>>());
        if patterns.is_empty() || patterns.len() > SITES_MAX {
            faults.wrong(&span, format!("expected 1 to {SITES_MAX} ids of sites and patterns such as `xa-*`"));
        }
        if is_share && (!matches!(&patterns[..], [only] if !only.is_open()) || *right.get_ref() == Right::Edit) {
            faults.wrong(&span, "a share link views one site; name it by its id, with `right = \"view\"`");
        }
        Some(Grant { hash: hash?, right: right.into_inner(), sites: patterns, expires, is_share })
    }
}

impl Value for RawTokens {
    const EXAMPLE: &'static str = "[tokens.lan]";

    fn expected() -> String {
        format!("tables such as `{}`", Self::EXAMPLE)
    }

    fn from_table<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Result<Self, String>, A::Error> {
        let mut tokens = Vec::new();
        while let Some(token) = entries.next_entry()? {
            tokens.push(token);
        }
        Ok(Ok(Self(tokens)))
    }
}

impl Value for RawToken {
    const EXAMPLE: &'static str = "[tokens.lan]";

    fn expected() -> String {
        format!("a table that begins with a line such as `{}`", Self::EXAMPLE)
    }

    fn from_table<'de, A: MapAccess<'de>>(entries: A) -> Result<Result<Self, String>, A::Error> {
        read_table(entries)
    }
}

impl Value for TokenHash {
    const EXAMPLE: &'static str = r#""sha256:…""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: TokenHashError| error.to_string())
    }
}

impl Value for Right {
    const EXAMPLE: &'static str = r#""view""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}, found `{text}`"))
    }
}

impl Value for SitePattern {
    const EXAMPLE: &'static str = r#""xa-*""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::counter::access::SitePatternError| error.to_string())
    }
}

impl Value for Moment {
    const EXAMPLE: &'static str = r#""2027-01-31T00:00:00Z""#;

    fn from_text(text: &str) -> Result<Self, String> {
        let read = DateTime::parse_from_rfc3339(text).map(|moment| Self(moment.to_utc()));
        read.map_err(|_| format!("`{text}` is no moment; expected one such as {}", Self::EXAMPLE))
    }
}
