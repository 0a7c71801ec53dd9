//! `thongke health`: checks that the node of this data directory counts, for container engines and scripts.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::Method;

use crate::config::Config;
use crate::ledger::DirectoryLock;

use super::{NodeRequest, ask};
use crate::server::routes::Admin;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the running node's `/readyz`.
pub fn health(config: &Config) -> anyhow::Result<()> {
    let Some(admin) = DirectoryLock::holder(&config.data_dir).and_then(|holder| holder.admin_address) else {
        bail!("no node runs on the data directory {}", config.data_dir.display());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime
        .block_on(async {
            let request = NodeRequest::of_node(Method::GET, Admin::Ready);
            tokio::time::timeout(TIMEOUT, ask(config, &admin, request)).await
        })
        .with_context(|| format!("the node on {admin} has not answered within {TIMEOUT:?}"))?;
    super::print(&String::from_utf8_lossy(&answer.context("the node can't make hits durable")?))
}
