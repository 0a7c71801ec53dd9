//! Single flight: a costly value is made at most once a second for all equal requests of a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::rc::Rc;
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
    kept: Rc<RefCell<Kept<K, T>>>,
}

struct Kept<K, T: Clone> {
    values: HashMap<K, (Instant, Making<T>)>,
    /// A task drops values that are too old, until none is left: after a flood of requests none stays.
    is_swept: bool,
}

impl<K: Eq + Hash + 'static, T: Clone + 'static> SingleFlight<K, T> {
    pub fn new(kept_max: usize) -> Self {
        Self { kept_max, kept: Rc::new(RefCell::new(Kept { values: HashMap::new(), is_swept: false })) }
    }

    /// The value of less than a second ago, finished or in the making.
    pub fn known(&self, request: &K) -> Option<Making<T>> {
        let kept = self.kept.borrow();
        let (begun, making) = kept.values.get(request)?;
        (begun.elapsed() < AGE_MAX).then(|| making.clone())
    }

    /// The known value, or else the one that `make` makes.
    pub fn get<F: Future<Output = T> + 'static>(&self, request: K, make: impl FnOnce() -> F) -> Making<T> {
        if let Some(making) = self.known(&request) {
            return making;
        }
        let (now, making) = (Instant::now(), make().boxed_local().shared());
        let mut kept = self.kept.borrow_mut();
        if kept.values.len() >= self.kept_max {
            kept.drop_old(now);
        }
        if kept.values.len() < self.kept_max {
            kept.values.insert(request, (now, making.clone()));
            if !std::mem::replace(&mut kept.is_swept, true) {
                tokio::task::spawn_local(sweep(Rc::clone(&self.kept)));
            }
        }
        making
    }
}

impl<K: Eq + Hash, T: Clone> Kept<K, T> {
    fn drop_old(&mut self, now: Instant) {
        self.values.retain(|_, (begun, _)| now.duration_since(*begun) < AGE_MAX);
    }
}

async fn sweep<K: Eq + Hash, T: Clone>(kept: Rc<RefCell<Kept<K, T>>>) {
    loop {
        tokio::time::sleep(AGE_MAX).await;
        let mut kept = kept.borrow_mut();
        kept.drop_old(Instant::now());
        if kept.values.is_empty() {
            *kept = Kept { values: HashMap::new(), is_swept: false };
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn equal_requests_share_one_answer_and_none_is_kept_after_them() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
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
            let kept = || answers.kept.borrow().values.capacity();
            assert!(answers.kept.borrow().values.len() <= 256 && kept() > 0);
            while kept() > 0 {
                tokio::time::sleep(AGE_MAX / 10).await;
            }
            ask("again").await;
            assert!(answers.kept.borrow().is_swept);
        });
    }
}
