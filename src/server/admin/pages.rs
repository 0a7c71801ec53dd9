//! Editors' view of a site's pages: the list with their rules, and the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde::{Deserialize, Serialize};

use super::json;
use crate::clock;
use crate::counter::editor_rules::change::{self, Change, Refused};
use crate::counter::page::TOP_MAX;
use crate::counter::{Day, EditorRule, EditorRules, Listing, PageAddress, Period, RegisteredSite, RuleKind};
use crate::server::http::{AnswerBody, HttpError, body, form, response};
use crate::server::net::ConnState;
use crate::server::ports::{Node, TopPage};
use crate::server::public::names;
use crate::server::public::pages::{link_of, period};
use crate::server::public::query::count;
use crate::server::routes::Public;

/// Bytes of a change: two addresses or a title, however they are encoded.
const CHANGE_BYTES_MAX: usize = 16 << 10;
/// Length of the list, if a request names none.
pub const LISTED_DEFAULT: usize = 20;

type Outcome = Result<Response<AnswerBody>, HttpError>;

/// The most read pages.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedPages {
    /// `total` for all time.
    pub period: String,
    pub pages: Vec<ListedPage>,
    /// Redis is away: other nodes' newest hits are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListedPage {
    pub page: String,
    pub link: Option<String>,
    pub title: Option<String>,
    pub hits: i64,
    /// Kinds of the page's own rules.
    pub rules: Vec<RuleKind>,
    /// Addresses that are merged into it.
    pub merged: Vec<String>,
}

/// A rule as the listener shows it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownRule {
    pub page: String,
    pub kind: RuleKind,
    /// The title, or the page into which it is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Time of the change.
    pub given: String,
    /// A merge in a circle, which has no effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_void: bool,
}

impl ListedPages {
    /// The pages with the site's rules of them.
    pub fn of(period: Period, pages: Vec<TopPage>, stale: bool, rules: Option<&EditorRules>) -> Self {
        let mut merged: BTreeMap<&PageAddress, Vec<String>> = BTreeMap::new();
        for (page, into) in rules.iter().flat_map(|rules| rules.merged()) {
            merged.entry(into).or_default().push(page.to_string());
        }
        merged.values_mut().for_each(|pages| pages.sort_unstable());
        let listed = |page: TopPage| ListedPage {
            link: link_of(&page),
            rules: rules.iter().flat_map(|rules| rules.of_page(&page.page)).map(|(kind, _)| kind).collect(),
            merged: merged.remove(&page.page).unwrap_or_default(),
            page: page.page.to_string(),
            title: page.title.map(|title| title.as_str().to_owned()),
            hits: page.hits,
        };
        Self { period: period.to_string(), pages: pages.into_iter().map(listed).collect(), stale }
    }
}

impl ShownRule {
    pub fn of(rule: &EditorRule, rules: Option<&EditorRules>) -> Self {
        let has_value = matches!(rule.kind, RuleKind::Title | RuleKind::Merge);
        let given = DateTime::from_timestamp_millis(rule.given_ms).unwrap_or_default();
        Self {
            page: rule.page.to_string(),
            kind: rule.kind,
            value: rule.value.as_ref().filter(|_| has_value).map(|value| value.to_string()),
            given: given.to_rfc3339_opts(SecondsFormat::Millis, true),
            is_void: rules.is_some_and(|rules| rules.is_void(rule)),
        }
    }

    /// All rules of a site that aren't undone.
    pub fn all(rules: Option<&EditorRules>) -> Vec<Self> {
        rules.iter().flat_map(|rules| rules.live()).map(|rule| Self::of(&rule, rules)).collect()
    }
}

pub async fn list<N: Node>(node: &N, site: &Arc<RegisteredSite>, query: &str) -> Outcome {
    let ignored = names::check(Public::TopPages, query)?;
    for field in ["from", "to", "under"] {
        if form::field(query, field)?.is_some() {
            let detail = format!("`/sites/{{site}}/pages` takes no `{field}`; `/sites/{{site}}/pages/top` does");
            return Err(HttpError::field(field, detail));
        }
    }
    let period = period(query, Day::at(clock::now(), site.site.time_zone))?;
    let limit = count(query, "limit", LISTED_DEFAULT, TOP_MAX)?;
    let read = node.top_pages(site, period, limit, Listing::Editors).await?;
    let mut answer = json(&ListedPages::of(period, read.values, read.stale, site.editor_rules.as_deref()));
    response::put_ignored(answer.headers_mut(), ignored.as_ref());
    Ok(answer)
}

pub async fn rules<N: Node>(
    node: &N,
    site: &Arc<RegisteredSite>,
    request: Request<Incoming>,
    conn: &ConnState,
) -> Outcome {
    let change = match *request.method() {
        Method::PUT => {
            let text = body::collect(request.into_body(), CHANGE_BYTES_MAX, conn).await?;
            let asked: change::Request = serde_json::from_slice(&text)
                .map_err(|error| HttpError::malformed(format!("the body is no rule in JSON: {error}")))?;
            Change::set(&site.site, &asked).map_err(refused)?
        }
        Method::DELETE => {
            let query = request.uri().query().unwrap_or_default();
            let missing = |name: &'static str| HttpError::field(name, format!("the query has no `{name}`"));
            let page = form::field(query, "page")?.ok_or_else(|| missing("page"))?;
            let kind = form::field(query, "kind")?.ok_or_else(|| missing("kind"))?;
            let kind = kind.parse().map_err(|error| HttpError::field("kind", error))?;
            Change::undo(&site.site, &page, kind).map_err(refused)?
        }
        _ => return Ok(json(&ShownRule::all(site.editor_rules.as_deref()))),
    };
    let rule = node.change_rule(site, change).await?.map_err(refused)?;
    Ok(json(&ShownRule::of(&rule, None)))
}

fn refused(Refused { field, reason }: Refused) -> HttpError {
    HttpError::field(field, reason)
}
