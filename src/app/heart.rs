//! Whether a worker thread still runs its tasks: each beats in its own thread, on request.

use tokio::sync::{mpsc, oneshot};

/// Asks a thread for a sign of life.
#[derive(Debug, Clone)]
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// The thread's end, which answers.
#[derive(Debug)]
pub struct Heart(mpsc::Receiver<oneshot::Sender<()>>);

pub fn heart() -> (Pulse, Heart) {
    let (ask, asked) = mpsc::channel(1);
    (Pulse(ask), Heart(asked))
}

impl Heart {
    /// Answers for ever, among the thread's other tasks.
    pub async fn beat(mut self) {
        while let Some(answer) = self.0.recv().await {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(());
        }
    }
}

impl Pulse {
    /// Resolves when the thread has answered; never, if it has ended or is stuck.
    pub async fn feel(&self) {
        let (beat, felt) = oneshot::channel();
        if self.0.send(beat).await.is_err() || felt.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
