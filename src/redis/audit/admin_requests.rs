//! Verifications and repairs that operators ask a running node for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::compare::{AuditError, Comparison, KnownSources};
use crate::counter::SiteNumber;
use crate::counter::verification::{Repair, Verification};
use crate::redis::client::connection::Connections;
use crate::redis::keys::Keys;
use crate::redis::ports::Node;

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
    /// Sites that the publisher shall bring again as a whole.
    pub backfills: mpsc::Sender<SiteNumber>,
}

impl<N: Node> AdminRequests<N> {
    /// Never returns.
    pub async fn serve(self, mut requests: mpsc::Receiver<(SiteNumber, AdminRequest)>) {
        while let Some((site, request)) = requests.recv().await {
            let rows = async |after, limit| self.node.rows(site, after, limit, false).await;
            // A caller that has gone needs no answer.
            match request {
                AdminRequest::Verify(done) => {
                    drop(
                        done.send(
                            self.compare(site, async |comparison| comparison.verify(&rows, WAIT_MAX).await).await,
                        ),
                    );
                }
                AdminRequest::Repair(done) => {
                    let mended = self.compare(site, async |comparison| comparison.repair(&rows).await).await;
                    let raised = mended.is_ok() && self.backfills.send(site).await.is_ok();
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
        let published = self.node.published_sources(number, usize::MAX).await?;
        let known = KnownSources { own, current, published };
        let outcome = work(Comparison { link: &link, keys: &self.keys, site, known: &known }).await;
        outcome.map_err(|error| {
            if let AuditError::Redis(error) = &error {
                self.connections.failed(connection, error);
            }
            error.to_string()
        })
    }
}
