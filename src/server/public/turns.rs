//! Turns of a worker: between two answers that take long to make, it serves the hits that have arrived.

use tokio::sync::{Semaphore, SemaphorePermit};

/// One worker's turns. A turn is held while an answer is made, and by the request that waits for it, so that it goes with
/// its client.
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Turns {
    /// Waits for the turns before, and lets the worker look at its sockets.
    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        let turn = self.0.acquire().await.ok();
        tokio::task::yield_now().await;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_answer_is_made_at_a_time_and_a_client_that_goes_away_holds_up_nobody() {
        let turns = Turns::default();
        let waits = turns.take();
        let mut waits = Box::pin(waits);
        assert!((&mut waits).now_or_never().is_none(), "the worker looks at its sockets first");
        let mut next = Box::pin(turns.take());
        assert!((&mut next).now_or_never().is_none());
        drop(waits);
        assert!(next.await.is_some());
    }

    #[tokio::test]
    async fn what_is_ready_runs_between_two_answers() {
        let (turns, log) = (Turns::default(), RefCell::new(Vec::new()));
        let answer = async |name| {
            let _turn = turns.take().await;
            log.borrow_mut().push(name);
        };
        let (sent, mut received) = tokio::net::UnixStream::pair().unwrap();
        sent.try_write(b"hit").unwrap();
        let hit = async {
            let mut bytes = [0; 3];
            tokio::io::AsyncReadExt::read_exact(&mut received, &mut bytes).await.unwrap();
            log.borrow_mut().push("hit");
        };
        tokio::join!(answer("first"), answer("second"), answer("third"), hit);
        let at = log.borrow().iter().position(|name| *name == "hit").unwrap();
        assert!(at < 2, "{:?}", log.borrow());
    }
}
