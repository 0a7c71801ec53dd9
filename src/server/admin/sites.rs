//! Sites of the node: those that are configured, and removed ones whose counts stay.

use std::sync::Arc;

use hyper::Response;
use serde::{Deserialize, Serialize};

use super::json;
use crate::counter::{RegisteredSite, SiteId};
use crate::server::hit::site;
use crate::server::http::{AnswerBody, HttpError};
use crate::server::ports::Node;

/// A site as the listener lists it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedSite {
    pub site: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// It is not configured and has counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// All sites, by id.
pub async fn list(node: &impl Node) -> Result<Response<AnswerBody>, HttpError> {
    let configured = node.sites();
    let mut sites: Vec<_> = configured.iter().map(|site| configured_site(site)).collect();
    let removed = node.removed_sites().await?.into_iter();
    sites.extend(removed.map(|id| ListedSite { site: id.to_string(), aliases: Vec::new(), removed: true }));
    sites.sort_by(|a, b| a.site.cmp(&b.site));
    Ok(json(&sites))
}

fn configured_site(RegisteredSite { site, .. }: &RegisteredSite) -> ListedSite {
    let aliases = site.aliases.iter().map(SiteId::to_string).collect();
    ListedSite { site: site.id.to_string(), aliases, removed: false }
}

/// The site whose counts are kept under an id.
pub async fn stored(node: &impl Node, id: &str) -> Result<Arc<RegisteredSite>, HttpError> {
    let stored = match id.parse() {
        Ok(id) => node.stored_site(&id).await?,
        Err(_) => None,
    };
    stored.map_or_else(|| site::find(&node.sites(), id), Ok)
}
