//! Audit of a site: does Redis hold what the file holds, and is every counter the sum of its parts?

mod compare;
pub mod key_audit;
pub mod recount;
mod repair;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::compare::{AuditError, Comparison, KnownSources, Rows};
use super::client::connect::connect;
use super::client::connection::Connections;
use super::client::reply::{Fault, fault_of, reason_of};
use super::client::target::Target;
use super::keys::Keys;
use super::ports::Node;
use crate::counter::verification::{Repair, Verification};
use crate::counter::{RegisteredSite, SiteNumber, Source};

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

/// Limit of the wait for counts that the node may still be publishing.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Request of an operator, with the sender of its answer.
pub enum AdminRequest {
    Verify(oneshot::Sender<Result<Verification, String>>),
    Repair(oneshot::Sender<Result<Repair, String>>),
}

/// Serves operators' requests, one after the other.
pub struct AdminRequests<N> {
    pub node: Arc<N>,
    pub keys: Keys,
    pub connections: Arc<Connections>,
    /// Repaired sites, about which the publisher shall ask.
    pub repaired: mpsc::Sender<SiteNumber>,
}

impl<N: Node> AdminRequests<N> {
    /// Never returns.
    pub async fn serve(self, mut requests: mpsc::Receiver<(SiteNumber, AdminRequest)>) {
        while let Some((site, request)) = requests.recv().await {
            let rows = async |after, limit| self.node.rows(site, after, limit).await;
            // A caller that has gone needs no answer.
            match request {
                AdminRequest::Verify(done) => {
                    let verified =
                        self.compare(site, async |comparison| comparison.verify(&rows, WAIT_MAX).await).await;
                    drop(done.send(verified));
                }
                AdminRequest::Repair(done) => {
                    let mended = self.compare(site, async |comparison| comparison.repair(&rows).await).await;
                    let raised = mended.is_ok() && self.repaired.send(site).await.is_ok();
                    drop(done.send(mended.map(|mended| Repair { mended, raised })));
                }
            }
        }
        std::future::pending().await
    }

    async fn compare<T>(
        &self,
        number: SiteNumber,
        work: impl AsyncFnOnce(Comparison<'_>) -> Result<T, AuditError>,
    ) -> Result<T, String> {
        let sites = self.node.sites();
        let site = sites.by_number(number).ok_or("the site is no longer configured")?;
        let Some((connection, link)) = self.connections.get() else {
            let reason = self.connections.down().map_or(String::new(), |(_, reason)| format!(": {reason}"));
            return Err(format!("Redis is away{reason}"));
        };
        let own = self.node.own_sources(number).await?;
        let current = self.node.recent(number).first().map(|row| row.source.clone());
        let known = KnownSources { own, current };
        let outcome = work(Comparison { link: &link, keys: &self.keys, site, known: &known }).await;
        outcome.map_err(|error| {
            if let AuditError::Redis(error) = &error {
                self.connections.failed(connection, error);
            }
            error.to_string()
        })
    }
}
