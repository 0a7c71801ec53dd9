//! Audit of a site: does Redis hold what the file holds, and is every counter the sum of its parts?

mod admin_requests;
mod compare;
mod key_audit;
mod repair;

use std::time::Duration;

pub use self::admin_requests::{AdminRequest, AdminRequests};
use self::compare::{AuditError, Comparison, KnownSources, Rows};
use super::client::connect::connect;
use super::client::reply::{Fault, fault_of, reason_of};
use super::client::target::Target;
use super::keys::Keys;
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
    on_connection(place, async |comparison| comparison.verify(rows, Duration::ZERO).await).await
}

/// Makes counters in Redis the sum of their contributions again, and publishes everything in the files.
pub async fn repair_stopped(place: Place<'_>, rows: &impl Rows) -> Result<Repair, String> {
    on_connection(place, async |comparison| {
        let mended = comparison.repair(rows).await?;
        let raised = match comparison.publish_all(rows).await {
            // A key holds something else than counts: `verify` says what to do.
            Err(AuditError::Redis(error)) if fault_of(&error) == Fault::Site => false,
            other => other.map(|()| true)?,
        };
        Ok(Repair { mended, raised })
    })
    .await
}

async fn on_connection<T>(
    place: Place<'_>,
    work: impl AsyncFnOnce(Comparison<'_>) -> Result<T, AuditError>,
) -> Result<T, String> {
    let (link, _) = connect(place.target).await.map_err(|error| format!("Redis: {}", reason_of(&error)))?;
    let known = KnownSources { own: place.own, ..KnownSources::default() };
    let keys = Keys::new(place.prefix);
    let comparison = Comparison { link: &link, keys: &keys, site: place.site, known: &known };
    work(comparison).await.map_err(|error| error.to_string())
}
