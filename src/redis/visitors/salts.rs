//! Shared salts, by which a visitor is the same one on every node: the first node to write a day's salt
//! decides.

use std::sync::Arc;

use redis::{RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use crate::counter::{Day, Salt, Site, SiteNumber, visitor};
use crate::redis::client::connection::Connections;
use crate::redis::client::link::Link;
use crate::redis::client::reply::text;
use crate::redis::keys::Keys;
use crate::redis::ports::VisitorNode;

/// Salts shared in a round.
const SHARED_MAX: usize = 1_000;

/// Request for a day's salt: the salt to write if there is none, and the sender of the agreed one.
pub type SaltRequest = (SiteNumber, Day, Salt, oneshot::Sender<Salt>);

/// Serves requests. Never returns.
pub async fn serve<N: VisitorNode>(
    node: Arc<N>,
    keys: Keys,
    connections: Arc<Connections>,
    mut requests: mpsc::Receiver<SaltRequest>,
) {
    while let Some((site, day, drawn, done)) = requests.recv().await {
        let sites = node.sites();
        let (Some(registered), Some((number, link))) = (sites.by_number(site), connections.get()) else { continue };
        match agree(&link, &keys, &registered.site, day, drawn).await {
            // A caller that has gone needs no answer.
            Ok(Some(salt)) => drop(done.send(salt)),
            Ok(None) => {}
            Err(error) => connections.failed(number, &error),
        }
    }
    std::future::pending().await
}

/// Shares salts that this node drew while Redis was away, and agrees on tomorrow's.
pub async fn share_all<N: VisitorNode>(node: &N, keys: &Keys, link: &Link) -> Result<(), RedisError> {
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

/// Salt that all nodes use: `own` if there was none. None if the value in Redis is no salt.
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
