//! Single flight: a costly value is made at most once a second for all equal requests of a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};

const AGE_MAX: Duration = Duration::from_secs(1);

/// A future of a value.
pub type Making<T> = Shared<LocalBoxFuture<'static, T>>;

/// One worker's values, by request. The hasher is keyed, since strangers choose the keys.
pub struct SingleFlight<K, T: Clone> {
    /// Values kept. Beyond that number, each request makes its own.
    kept_max: usize,
    kept: RefCell<HashMap<K, (Instant, Making<T>)>>,
}

impl<K: Eq + Hash, T: Clone> SingleFlight<K, T> {
    pub fn new(kept_max: usize) -> Self {
        Self { kept_max, kept: RefCell::default() }
    }

    /// The value of less than a second ago, finished or in the making.
    pub fn known(&self, request: &K) -> Option<Making<T>> {
        let kept = self.kept.borrow();
        let (begun, making) = kept.get(request)?;
        (begun.elapsed() < AGE_MAX).then(|| making.clone())
    }

    /// The known value, or else the one that `make` makes.
    pub fn get<F: Future<Output = T> + 'static>(&self, request: K, make: impl FnOnce() -> F) -> Making<T> {
        if let Some(making) = self.known(&request) {
            return making;
        }
        let (now, making) = (Instant::now(), make().boxed_local().shared());
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= self.kept_max {
            kept.retain(|_, (begun, _)| now.duration_since(*begun) < AGE_MAX);
        }
        if kept.len() < self.kept_max {
            kept.insert(request, (now, making.clone()));
        }
        making
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn equal_requests_share_one_answer() {
        let (answers, made) = (SingleFlight::new(256), Rc::new(Cell::new(0)));
        let make = || {
            let made = Rc::clone(&made);
            async move {
                tokio::task::yield_now().await;
                made.set(made.get() + 1);
                made.get()
            }
        };
        let ask = |request: &str| answers.get(request.to_owned(), make);
        assert!(answers.known(&"a".to_owned()).is_none());
        let (one, two, other) = tokio::join!(ask("a"), ask("a"), ask("b"));
        assert!(one == two && other != one && answers.known(&"a".to_owned()).is_some());
        assert_eq!(made.get(), 2);
        for number in 0..512 {
            ask(&number.to_string()).await;
        }
        assert!(answers.kept.borrow().len() <= 256);
    }
}
