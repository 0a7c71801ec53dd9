//! Liveness of the worker threads: each answers a probe as one of its own tasks.

use tokio::sync::{mpsc, oneshot};

/// Checks that a thread still runs its tasks.
#[derive(Debug, Clone)]
pub struct Probe(mpsc::Sender<oneshot::Sender<()>>);

/// Answers a probe, on the thread that is checked.
#[derive(Debug)]
pub struct Responder(mpsc::Receiver<oneshot::Sender<()>>);

pub fn probe() -> (Probe, Responder) {
    let (requests, received) = mpsc::channel(1);
    (Probe(requests), Responder(received))
}

impl Responder {
    /// Never returns.
    pub async fn run(mut self) {
        while let Some(reply) = self.0.recv().await {
            // The probe may have given up.
            let _ = reply.send(());
        }
    }
}

impl Probe {
    /// Resolves when the thread has answered; never, if it has ended or is stuck.
    pub async fn check(&self) {
        let (reply, answered) = oneshot::channel();
        if self.0.send(reply).await.is_err() || answered.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
