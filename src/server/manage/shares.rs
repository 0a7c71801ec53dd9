//! Share links of a site: listed, made and revoked by its editors.

use std::sync::Arc;

use askama::Template;
use chrono::DateTime;

use super::access::Caller;
use super::answer::{self, Outcome};
use super::frame::Frame;
use super::site_head::{SiteHead, Tab};
use crate::counter::tokens::change::{DAYS_MAX, Request};
use crate::counter::{Day, RegisteredSite};
use crate::server::admin::tokens;
use crate::server::http::{Field, HeaderFields as _, HttpError, form};
use crate::server::ports::Node;
use crate::server::session::Way;

/// Days of a new link, unless somebody wishes others.
const DAYS_DEFAULT: u32 = 365;

#[derive(Template)]
#[template(path = "manage/shares.html")]
struct SharesPage {
    frame: Frame,
    head: SiteHead,
    /// Address of this page's forms.
    own_path: String,
    days_default: u32,
    days_max: u32,
    links: Vec<Link>,
    /// The link that was made just now.
    made: Option<String>,
}

struct Link {
    name: String,
    made: String,
    expires: String,
    is_over: bool,
    /// It stands in the configuration.
    is_fixed: bool,
}

pub async fn page<N: Node>(
    node: &N,
    caller: &Caller<'_>,
    frame: Frame,
    site: &Arc<RegisteredSite>,
    made: Option<String>,
) -> Outcome {
    let (id, grants) = (&site.site.id, node.grants());
    let day = |seconds: i64| {
        let day = DateTime::from_timestamp(seconds, 0).map(|moment| Day::at(moment, site.site.time_zone));
        day.map(|day| frame.locale.day(day)).unwrap_or_default()
    };
    let links = grants.shares_of(&site.site).map(|(name, granted)| Link {
        name: name.to_string(),
        made: granted.given_ms.map(|given_ms| day(given_ms / 1_000)).unwrap_or_default(),
        expires: granted.grant.expires.map(day).unwrap_or_default(),
        is_over: granted.grant.is_over(caller.now_s),
        is_fixed: granted.given_ms.is_none(),
    });
    let own = format!("/sites/{id}/shares");
    let page = SharesPage {
        head: SiteHead::of(&frame, site, Tab::Shares),
        own_path: frame.path(&own),
        days_default: DAYS_DEFAULT,
        days_max: DAYS_MAX,
        links: links.collect(),
        made,
        frame: frame.at(&own, &[]),
    };
    answer::page(page, caller.headers).await
}

/// Makes or revokes a link, as the form says. None: the list is to be shown again.
pub async fn change<N: Node>(
    node: &N,
    caller: &Caller<'_>,
    frame: &Frame,
    site: &Arc<RegisteredSite>,
    fields: &str,
) -> Result<Option<String>, HttpError> {
    let id = &site.site.id;
    if let Some(name) = form::field(fields, "revoke")? {
        let grants = node.grants();
        // Another site's link, or a token that is none, is as unknown as one that isn't there.
        let is_own = grants.shares_of(&site.site).any(|(known, _)| known.as_str() == name);
        if !is_own {
            return Err(HttpError::field("revoke", "this site has no such share link"));
        }
        tokens::revoke(node, &name).await?;
        return Ok(None);
    }
    let days = form::field(fields, "days")?.unwrap_or_default();
    let days = match days.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| HttpError::field("days", "`days` is not a whole number"))?),
    };
    let asked = Request { name: None, right: None, sites: vec![id.to_string()], days, share: true };
    let made = tokens::make(node, &asked).await?;
    let scheme = if caller.way() == Way::Https { "https" } else { "http" };
    let host = caller.headers.first(Field::Host).and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
    Ok(Some(format!("{scheme}://{host}{}/share/{}", frame.base(), made.token)))
}
