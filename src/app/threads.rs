//! Threads, each with a single-threaded runtime of its own, and the probes of their liveness.
//!
//! A thread answers a probe as one of its own tasks.

use std::future::Future;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};

pub async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: the process ends too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Runs a task on a new thread, which also answers its liveness probe.
pub fn spawn<F: Future<Output = ()>>(
    name: &str,
    serve: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<(JoinHandle<()>, Probe)> {
    let (requests, received) = mpsc::channel(1);
    // A node whose thread serves nothing must not seem to have started.
    let (begun, beginning) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = begun.send(Err(error));
                    return;
                }
            };
            let _ = begun.send(Ok(()));
            runtime.block_on(async {
                let responding = tokio::task::spawn_local(answer(received));
                serve().await;
                responding.abort();
            });
        })
        .context("can't start a thread")?;
    let failed =
        || format!("can't start the {name} thread: raise `LimitNOFILE=` or `ulimit -n` if too few files may be open");
    beginning.recv().map_err(anyhow::Error::from).and_then(|begun| Ok(begun?)).with_context(failed)?;
    Ok((thread, Probe(requests)))
}

/// Answers a thread's probes; never returns.
async fn answer(mut probes: mpsc::Receiver<oneshot::Sender<()>>) {
    while let Some(reply) = probes.recv().await {
        // The probe may have given up.
        let _ = reply.send(());
    }
}

/// Checks that a thread still runs its tasks.
#[derive(Debug, Clone)]
pub struct Probe(mpsc::Sender<oneshot::Sender<()>>);

impl Probe {
    /// Resolves when the thread has answered; never, if it has ended or is stuck.
    pub async fn check(&self) {
        let (reply, answered) = oneshot::channel();
        if self.0.send(reply).await.is_err() || answered.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
