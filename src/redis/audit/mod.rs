//! Audit of a site: does Redis hold what the file holds, and is every counter the sum of its parts?

mod compare;
pub mod key_audit;
pub mod repair;

use std::time::Duration;

use self::compare::{Audit, AuditError, Rows};
use super::client::connect::connect;
use super::client::target::Target;
use super::client::{Fault, Lease, Shared, fault_of, reason_of};
use super::keys::Keys;
use super::ports::Node;
use crate::counter::verification::{Repair, Verification};
use crate::counter::{RegisteredSite, Source};

/// Redis to which a stopped node would publish.
pub struct Place<'a> {
    pub target: &'a Target,
    pub prefix: &'a str,
    pub site: &'a RegisteredSite,
    /// Sources whose counts are wholly in the file.
    pub own: Vec<Source>,
}

/// Compares Redis with the files of a stopped node.
pub async fn verify_stopped(place: Place<'_>, rows: &impl Rows) -> Result<Verification, String> {
    of_stopped(place, rows, async |audit| audit.verify(Duration::ZERO).await).await
}

/// Makes counters in Redis the sum of their contributions again, and publishes everything in the files.
pub async fn repair_stopped(place: Place<'_>, rows: &impl Rows) -> Result<Repair, String> {
    of_stopped(place, rows, async |audit| {
        let mended = audit.repair().await?;
        let raised = match audit.publish_all().await {
            // A key holds something else than counts: `verify` says what to do.
            Err(AuditError::Redis(error)) if fault_of(&error) == Fault::Site => false,
            other => other.map(|()| true)?,
        };
        Ok(Repair { mended, raised })
    })
    .await
}

async fn of_stopped<'a, R: Rows, T>(
    Place { target, prefix, site, own }: Place<'_>,
    rows: &'a R,
    work: impl AsyncFnOnce(Audit<'_, &'a R>) -> Result<T, AuditError>,
) -> Result<T, String> {
    let (link, _) = connect(target).await.map_err(|error| format!("Redis: {}", reason_of(&error)))?;
    let audit = Audit { link: &link, keys: &Keys::new(prefix), site: &site.site, frozen: own, rows };
    work(audit).await.map_err(|error| error.to_string())
}

/// Limit of the wait for counts that the node may still be publishing.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Compares Redis with the files of a running node.
pub async fn verify<N: Node>(shared: &Shared, node: &N, site: &RegisteredSite) -> Result<Verification, String> {
    let rows = async |after, limit| node.rows(site.number, after, limit).await;
    of_running(shared, node, site, &rows, async |audit| audit.verify(WAIT_MAX).await).await
}

/// Makes counters in Redis the sum of their contributions again. The publisher then brings what Redis lacks.
pub async fn repair<N: Node>(shared: &Shared, node: &N, site: &RegisteredSite) -> Result<Repair, String> {
    let rows = async |after, limit| node.rows(site.number, after, limit).await;
    let mended = of_running(shared, node, site, &rows, async |audit| audit.repair().await).await?;
    shared.suspects.add_repaired(site.number);
    Ok(Repair { mended, raised: true })
}

async fn of_running<'a, N: Node, R: Rows, T>(
    Shared { keys, connections, .. }: &Shared,
    node: &N,
    site: &RegisteredSite,
    rows: &'a R,
    work: impl AsyncFnOnce(Audit<'_, &'a R>) -> Result<T, AuditError>,
) -> Result<T, String> {
    let Some(Lease { link, number }) = connections.get() else {
        let reason = connections.down().map_or(String::new(), |(_, reason)| format!(": {reason}"));
        return Err(format!("Redis is away{reason}"));
    };
    let mut frozen = node.own_sources(site.number).await?;
    frozen.retain(|source| source != node.run());
    let outcome = work(Audit { link: &link, keys, site: &site.site, frozen, rows }).await;
    outcome.map_err(|error| {
        if let AuditError::Redis(error) = &error {
            connections.failed(number, error);
        }
        error.to_string()
    })
}
