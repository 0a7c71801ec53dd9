//! Orders to read the sites again, and what came of them.

use std::fmt;
use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::json;
use crate::counter::{RegisteredSite, Sites};
use crate::server::http::{AnswerBody, HttpError};

/// Orders that wait. One more asks for nothing that those don't bring.
const WAITING_MAX: usize = 4;
/// Ids of a kind of change in a line of the log.
const NAMED_MAX: usize = 10;

/// An order; whoever gave it may wait for the outcome.
pub type Order = Option<oneshot::Sender<Result<SiteChanges, String>>>;

/// The way to whom reads the sites again.
#[derive(Debug, Clone)]
pub struct ReloadOrders(mpsc::Sender<Order>);

/// Differences of the sites before and after a reload, by id.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct SiteChanges {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

impl ReloadOrders {
    pub fn channel() -> (Self, mpsc::Receiver<Order>) {
        let (sender, orders) = mpsc::channel(WAITING_MAX);
        (Self(sender), orders)
    }

    /// Orders a reload without waiting for it.
    pub fn order(&self) {
        // Full: those that wait read what is there later.
        let _ = self.0.try_send(None);
    }

    pub(super) async fn reload(&self) -> Result<Response<AnswerBody>, HttpError> {
        let ended = || HttpError::unavailable("unavailable", "the node is ending");
        let (reply, outcome) = oneshot::channel();
        self.0.send(Some(reply)).await.map_err(|_| ended())?;
        match outcome.await.map_err(|_| ended())? {
            Ok(changes) => Ok(json(&changes)),
            Err(reason) => Err(HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", reason)),
        }
    }
}

impl SiteChanges {
    pub fn between(before: &Sites, after: &Sites) -> Self {
        let ids = |sites: Vec<&Arc<RegisteredSite>>| sites.into_iter().map(|site| site.site.id.to_string()).collect();
        // Not by an alias.
        let is_same = |found: &&Arc<RegisteredSite>, one: &RegisteredSite| found.site.id == one.site.id;
        let found = |sites: &Sites, one: &RegisteredSite| {
            sites.get(one.site.id.as_str()).filter(|found| is_same(found, one)).cloned()
        };
        let added = after.iter().filter(|site| found(before, site).is_none());
        let removed = before.iter().filter(|site| found(after, site).is_none());
        let changed = after.iter().filter(|site| found(before, site).is_some_and(|old| old.site != site.site));
        Self { added: ids(added.collect()), changed: ids(changed.collect()), removed: ids(removed.collect()) }
    }
}

impl fmt::Display for SiteChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let mut separator = "";
        for (kind, ids) in kinds.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let named = ids.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if ids.len() > NAMED_MAX { ", …" } else { "" };
            write!(f, "{separator}{} {kind} ({named}{more})", ids.len())?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("none changed") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_by_kind_and_briefly() {
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        let changes = SiteChanges { added: ids(&["a", "b"]), changed: vec![], removed: ids(&["c"]) };
        assert_eq!(changes.to_string(), "2 added (a, b), 1 removed (c)");
        assert_eq!(SiteChanges::default().to_string(), "none changed");
        let many = SiteChanges { added: vec!["a".to_owned(); 200], ..SiteChanges::default() };
        assert_eq!(many.to_string(), "200 added (a, a, a, a, a, a, a, a, a, a, …)");
    }
}
