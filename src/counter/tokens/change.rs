//! A token as it is asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::grant::SITES_MAX;
use super::{EditorToken, EditorTokens, GIVEN_MAX, Grant, REGISTERS_MAX, TOKENS_MAX, TokenHash, TokenName};
use crate::counter::editor_rules::change::Refused;
use crate::counter::{Right, SitePattern};

/// Longest life of a token that ends by itself: ten years.
pub const DAYS_MAX: u32 = 3_653;
/// Links of one site.
pub const SHARES_OF_SITE_MAX: usize = 20;
/// Beginning of the names of share links that nobody named.
const SHARE: &str = "share-";
/// Revoked share links that keep their names to themselves.
const REVOKED_SHARES_KEPT: usize = 1_000;
const DAY_S: i64 = 86_400;

/// A token to be made, as it travels from the command to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// None for a share link, which gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Right>,
    /// Ids or patterns.
    pub sites: Vec<String>,
    /// Days after which it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// A share link, which views one site.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub share: bool,
}

/// A change of the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `name`: none for a share link that gets one.
    Make {
        name: Option<TokenName>,
        grant: Grant,
    },
    Revoke(TokenName),
}

impl Request {
    /// The name and the grant of a token with this hash.
    pub fn checked(&self, hash: TokenHash, now_s: i64) -> Result<(Option<TokenName>, Grant), Refused> {
        let name = self.name.as_deref().map(|name| name.parse().map_err(|error| refused("name", error)));
        let name: Option<TokenName> = name.transpose()?;
        if name.is_none() && !self.share {
            return Err(refused("name", "the token's name is missing"));
        }
        let right = match (self.right, self.share) {
            (Some(Right::Edit), true) => return Err(refused("right", "a share link only views; leave the right out")),
            (Some(right), _) => right,
            (None, true) => Right::View,
            (None, false) => return Err(refused("right", "the right is missing: `view` or `edit`")),
        };
        let mut sites = Vec::<SitePattern>::with_capacity(self.sites.len());
        for text in &self.sites {
            let pattern = text.parse().map_err(|error| refused("sites", error))?;
            if !sites.contains(&pattern) {
                sites.push(pattern);
            }
        }
        let is_single = matches!(&sites[..], [only] if !only.is_open());
        match sites.len() {
            _ if self.share && !is_single => {
                return Err(refused("sites", "a share link opens one site; name it by its id"));
            }
            0 => return Err(refused("sites", "the sites are missing: name ids, or patterns such as `xa-*`")),
            many if many > SITES_MAX => {
                let reason =
                    format!("{many} sites; at most {SITES_MAX} ids and patterns, so use patterns such as `xa-*`");
                return Err(refused("sites", reason));
            }
            _ => {}
        }
        if self.days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            return Err(refused("days", format!("expected 1 to {DAYS_MAX} days")));
        }
        let expires = self.days.map(|days| now_s + DAY_S * i64::from(days));
        Ok((name, Grant { hash, right, sites, expires, is_share: self.share }))
    }
}

impl EditorTokens {
    /// The register that a change makes at `now_ms`: later than the one before, whatever the clock says. `random`: for
    /// the name of a share link.
    pub fn changed(
        &self,
        change: Change,
        configured: &BTreeMap<TokenName, Grant>,
        random: u32,
        now_ms: i64,
    ) -> Result<EditorToken, Refused> {
        let (name, grant) = match change {
            Change::Revoke(name) => (name, None),
            Change::Make { name, grant } => (name.unwrap_or_else(|| self.share_name(random)), Some(grant)),
        };
        let stands = || refused("name", format!("token `{name}` stands in the configuration; change it there"));
        if configured.contains_key(&name) {
            return Err(stands());
        }
        let before = self.written.get(&name);
        let is_live = before.is_some_and(|(_, grant)| grant.is_some());
        match &grant {
            None if !is_live => return Err(refused("name", format!("there is no token `{name}`"))),
            None => {}
            Some(_) if is_live => {
                return Err(refused("name", format!("there is a token `{name}` already; revoke it first")));
            }
            Some(_) if self.count() >= TOKENS_MAX => {
                let reason = format!("there are {TOKENS_MAX} tokens, and no room for more; revoke some");
                return Err(refused("name", reason));
            }
            Some(_) if before.is_none() && self.written.len() >= REGISTERS_MAX => {
                let reason = format!(
                    "{REGISTERS_MAX} names were used, those of revoked tokens among them, and there is no room for more; \
                     use one of those again"
                );
                return Err(refused("name", reason));
            }
            Some(grant) if grant.is_share && self.shares_like(grant) >= SHARES_OF_SITE_MAX => {
                return Err(refused("sites", format!("the site has {SHARES_OF_SITE_MAX} share links; revoke some")));
            }
            Some(_) => {}
        }
        let given_ms = before.map_or(now_ms, |(before, _)| now_ms.max(before + 1));
        if !(0..=GIVEN_MAX).contains(&given_ms) {
            return Err(refused("name", format!("token `{name}` was written at the end of time")));
        }
        Ok(EditorToken { name, grant: grant.map(|grant| grant.text().into()), given_ms })
    }

    fn shares_like(&self, share: &Grant) -> usize {
        let grants = self.written.values().filter_map(|(_, grant)| Grant::parse(grant.as_deref()?));
        grants.filter(|grant| grant.is_share && grant.sites == share.sites).count()
    }

    /// A name for a share link. Once many were revoked it is that of the one revoked longest ago, so that names don't run out.
    fn share_name(&self, random: u32) -> TokenName {
        let revoked =
            self.written.iter().filter(|(name, (_, grant))| grant.is_none() && name.as_str().starts_with(SHARE));
        let (mut count, mut oldest) = (0, None::<(i64, &TokenName)>);
        for (name, (given_ms, _)) in revoked {
            count += 1;
            oldest = Some(oldest.map_or((*given_ms, name), |oldest| oldest.min((*given_ms, name))));
        }
        match oldest.filter(|_| count >= REVOKED_SHARES_KEPT) {
            Some((_, name)) => name.clone(),
            // Always a name.
            None => TokenName(format!("{SHARE}{random:08x}").into()),
        }
    }
}

fn refused(field: &'static str, reason: impl ToString) -> Refused {
    Refused { field, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sites: &[&str]) -> Request {
        let sites = sites.iter().map(|&site| site.to_owned()).collect();
        Request { name: Some("lan".to_owned()), right: Some(Right::View), sites, days: None, share: false }
    }

    fn make(tokens: &EditorTokens, asked: &Request, now_ms: i64) -> Result<EditorToken, String> {
        let made = asked
            .checked([1; 32].into(), now_ms / 1_000)
            .and_then(|(name, grant)| tokens.changed(Change::Make { name, grant }, &BTreeMap::new(), 7, now_ms));
        made.map_err(|refused| refused.reason)
    }

    fn revoke(tokens: &EditorTokens, name: &str, now_ms: i64) -> Result<EditorToken, String> {
        let change = Change::Revoke(name.parse().unwrap());
        tokens.changed(change, &BTreeMap::new(), 7, now_ms).map_err(|refused| refused.reason)
    }

    #[test]
    fn a_token_is_made_once_and_revoked_once_and_its_name_can_be_used_again() {
        let none = EditorTokens::default();
        assert!(revoke(&none, "lan", 5).unwrap_err().contains("there is no token `lan`"));
        let made = none.with([make(&none, &request(&["demo"]), 5).unwrap()]).unwrap();
        assert!(make(&made, &request(&["demo"]), 6).unwrap_err().contains("revoke it first"));
        // The clock has gone back.
        let revoked = revoke(&made, "lan", 3).unwrap();
        assert_eq!((revoked.given_ms, revoked.grant.is_none()), (6, true));
        let revoked = made.with([revoked]).unwrap();
        assert!(revoke(&revoked, "lan", 9).is_err());
        assert_eq!(make(&revoked, &request(&["demo"]), 9).unwrap().given_ms, 9);
    }

    #[test]
    fn wrong_wishes_are_refused_with_their_field() {
        let field = |change: &dyn Fn(&mut Request)| {
            let mut asked = request(&["demo"]);
            change(&mut asked);
            asked.checked([1; 32].into(), 0).unwrap_err().field
        };
        assert_eq!(field(&|asked| asked.name = None), "name");
        assert_eq!(field(&|asked| asked.name = Some("A".to_owned())), "name");
        assert_eq!(field(&|asked| asked.right = None), "right");
        assert_eq!(field(&|asked| asked.sites.clear()), "sites");
        assert_eq!(field(&|asked| asked.sites = vec!["a b".to_owned()]), "sites");
        assert_eq!(field(&|asked| asked.sites = (0..201).map(|at| format!("a{at}")).collect()), "sites");
        assert_eq!(field(&|asked| asked.days = Some(0)), "days");
        assert_eq!(field(&|asked| asked.days = Some(DAYS_MAX + 1)), "days");
        assert_eq!(field(&|asked| (asked.share, asked.right) = (true, Some(Right::Edit))), "right");
        assert_eq!(field(&|asked| (asked.share, asked.sites) = (true, vec!["xa-*".to_owned()])), "sites");
        assert_eq!(field(&|asked| (asked.share, asked.sites) = (true, vec!["a".to_owned(), "b".to_owned()])), "sites");
    }

    #[test]
    fn a_token_of_days_is_over_after_them() {
        let asked = Request { days: Some(2), ..request(&["demo", "demo"]) };
        let (_, grant) = asked.checked([1; 32].into(), 100).unwrap();
        assert_eq!((grant.expires, grant.sites.len()), (Some(100 + 2 * 86_400), 1));
        assert!(!grant.is_over(100 + 2 * 86_400 - 1) && grant.is_over(100 + 2 * 86_400));
    }

    #[test]
    fn a_configured_token_is_changed_in_the_configuration_alone() {
        let configured = BTreeMap::from([("lan".parse().unwrap(), Grant::viewing("demo", [1; 32]))]);
        let change = |change| EditorTokens::default().changed(change, &configured, 7, 1).unwrap_err().reason;
        assert!(change(Change::Revoke("lan".parse().unwrap())).contains("stands in the configuration"));
        let make = Change::Make { name: "lan".parse().ok(), grant: Grant::viewing("demo", [2; 32]) };
        assert!(change(make).contains("stands in the configuration"));
    }

    #[test]
    fn share_links_get_names_and_are_bounded_for_each_site_and_names_of_revoked_ones_return() {
        let share = Request { name: None, right: None, share: true, ..request(&["demo"]) };
        let made = make(&EditorTokens::default(), &share, 5).unwrap();
        assert_eq!(made.name.as_str(), "share-00000007");
        let grant = made.grant.as_deref().unwrap().to_owned();
        let stored = |at: usize, grant: Option<&str>| {
            EditorToken::stored(&format!("share-{at:08x}"), grant, at as i64 + 1).unwrap()
        };
        let many = EditorTokens::of((100..100 + SHARES_OF_SITE_MAX).map(|at| stored(at, Some(&grant))));
        assert!(make(&many, &share, 5_000).unwrap_err().contains("20 share links"));
        assert!(make(&many, &Request { sites: vec!["other".to_owned()], ..share.clone() }, 5_000).is_ok());
        let revoked = EditorTokens::of((100..100 + REVOKED_SHARES_KEPT).map(|at| stored(at, None)));
        assert_eq!(make(&revoked, &share, 5_000).unwrap().name.as_str(), "share-00000064");
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let text = Grant::viewing("demo", [1; 32]).text();
        let of = |count: usize, grant: Option<&str>| {
            EditorTokens::of((0..count).map(|at| EditorToken::stored(&format!("t{at}"), grant, 1).unwrap()))
        };
        assert!(make(&of(TOKENS_MAX, Some(&text)), &request(&["demo"]), 5).unwrap_err().contains("5000 tokens"));
        assert!(make(&of(REGISTERS_MAX, None), &request(&["demo"]), 5).unwrap_err().contains("10000 names"));
    }
}
