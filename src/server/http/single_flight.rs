//! Single flight: a costly answer is made at most once a second for all equal requests of a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};

use super::{HttpError, Rendered};

const AGE_MAX: Duration = Duration::from_secs(1);

/// Answers kept, the largest about 100 kB. Beyond that number, each request makes its own.
const ANSWERS_MAX: usize = 256;

/// A future of an answer.
pub type Making = Shared<LocalBoxFuture<'static, Result<Rendered, HttpError>>>;

/// One worker's answers, by request.
#[derive(Default)]
pub struct SingleFlight {
    answers: RefCell<HashMap<String, (Instant, Making)>>,
}

impl SingleFlight {
    /// The answer of less than a second ago, finished or in the making, or else the one that `make` makes.
    pub fn get<F>(&self, request: String, make: impl FnOnce() -> F) -> Making
    where
        F: Future<Output = Result<Rendered, HttpError>> + 'static,
    {
        let now = Instant::now();
        let mut answers = self.answers.borrow_mut();
        if let Some((_, making)) = answers.get(&request).filter(|(begun, _)| now.duration_since(*begun) < AGE_MAX) {
            return making.clone();
        }
        let making = make().boxed_local().shared();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (begun, _)| now.duration_since(*begun) < AGE_MAX);
        }
        if answers.len() < ANSWERS_MAX {
            answers.insert(request, (now, making.clone()));
        }
        making
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use bytes::Bytes;
    use hyper::header::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn equal_requests_share_one_answer() {
        let (answers, made) = (SingleFlight::default(), Rc::new(Cell::new(0)));
        let make = || {
            let made = Rc::clone(&made);
            async move {
                tokio::task::yield_now().await;
                made.set(made.get() + 1);
                Ok(Rendered { body: Bytes::new(), etag: HeaderValue::from_static("x") })
            }
        };
        let ask = |request: &str| answers.get(request.to_owned(), make);
        let (one, two, other) = tokio::join!(ask("a"), ask("a"), ask("b"));
        assert!(one == two && other.is_ok());
        assert_eq!(made.get(), 2);
        for number in 0..2 * ANSWERS_MAX {
            assert!(ask(&number.to_string()).await.is_ok());
        }
        assert!(answers.answers.borrow().len() <= ANSWERS_MAX);
    }
}
