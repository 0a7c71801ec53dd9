//! Threads, each with a single-threaded runtime of its own.

use std::future::Future;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use super::liveness::Responder;

pub async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: the process ends too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Runs a task on a new thread, which also answers its liveness probe.
pub fn spawn<F: Future<Output = ()>>(
    name: &str,
    responder: Responder,
    serve: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(async {
                let responding = tokio::task::spawn_local(responder.run());
                serve().await;
                responding.abort();
            }),
            Err(error) => tracing::error!("can't start a thread's runtime: {error}"),
        })
        .context("can't start a thread")
}
