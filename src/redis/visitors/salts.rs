//! Salts that nodes share, so that a visitor is the same one on each: the first node to draw a day's
//! salt draws it for all.

use std::sync::Arc;

use redis::{RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::Node;
use crate::counter::{Day, Salt, Site, SiteNumber, visitor};
use crate::redis::connection::{Connections, Link};
use crate::redis::layout::Keys;
use crate::redis::raise::text;

/// Salts shared in a round at most.
const SHARED_MAX: usize = 1_000;

/// A salt that is wanted now, what to take if there is none, and who waits for it.
pub type SaltWish = (SiteNumber, Day, Salt, oneshot::Sender<Salt>);

/// Agrees on what is wanted at once. Never returns.
pub async fn serve<N: Node>(
    node: Arc<N>,
    keys: Keys,
    connections: Arc<Connections>,
    mut wishes: mpsc::Receiver<SaltWish>,
) {
    while let Some((site, day, drawn, done)) = wishes.recv().await {
        let sites = node.sites();
        let (Some(registered), Some((number, link))) = (sites.by_number(site), connections.get()) else { continue };
        match agree(&link, &keys, &registered.site, day, drawn).await {
            // Who has gone needs no answer.
            Ok(Some(salt)) => drop(done.send(salt)),
            Ok(None) => {}
            Err(error) => connections.failed(number, &error),
        }
    }
    std::future::pending().await
}

/// Shares those that this node drew while Redis was away, and agrees on tomorrow's.
pub async fn share_all<N: Node>(node: &N, keys: &Keys, link: &Link) -> Result<(), RedisError> {
    let sites = node.sites();
    for (site, day) in node.salts_to_share().into_iter().take(SHARED_MAX) {
        let Some(registered) = sites.by_number(site) else { continue };
        let own = node.salt(site, day).unwrap_or_else(|| Salt::new(rand::random()));
        if let Some(salt) = agree(link, keys, &registered.site, day, own).await? {
            node.keep_shared_salt(site, day, salt).await;
        }
    }
    Ok(())
}

/// The salt that all nodes use: `own`, if none was there. None: what is there is no salt.
async fn agree(link: &Link, keys: &Keys, site: &Site, day: Day, own: Salt) -> Result<Option<Salt>, RedisError> {
    let key = keys.salt(&site.id, day);
    let expiry = visitor::salt_expiry(day, site.time_zone);
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(own.to_hex()).arg("NX").arg("EXAT").arg(expiry);
    if link.query(&set).await? != Value::Nil {
        return Ok(Some(own));
    }
    let there = link.query(redis::cmd("GET").arg(&key)).await?;
    Ok(text(&there).and_then(|text| Salt::from_hex(&text)))
}
