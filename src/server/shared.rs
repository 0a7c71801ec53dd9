//! Answers that take some work: made at most once a second for all who ask a worker the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use hyper::header::HeaderValue;

use super::refusal::Refusal;

const AGE_MAX: Duration = Duration::from_secs(1);

/// Answers kept: some 100 kB the largest. Beyond, each is made for itself.
const ANSWERS_MAX: usize = 256;

/// What is sent, and its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub body: Bytes,
    pub etag: HeaderValue,
}

type Making = Shared<LocalBoxFuture<'static, Result<Made, Refusal>>>;

/// One worker's answers, by what was asked.
#[derive(Default)]
pub struct SharedAnswers {
    answers: RefCell<HashMap<String, (Instant, Making)>>,
}

impl SharedAnswers {
    /// The answer that is there or being made, or else the one that `make` makes.
    pub async fn get<F>(&self, asked: String, make: impl FnOnce() -> F) -> Result<Made, Refusal>
    where
        F: Future<Output = Result<Made, Refusal>> + 'static,
    {
        let making = self.making(asked, make);
        making.await
    }

    fn making<F>(&self, asked: String, make: impl FnOnce() -> F) -> Making
    where
        F: Future<Output = Result<Made, Refusal>> + 'static,
    {
        let now = Instant::now();
        let mut answers = self.answers.borrow_mut();
        if let Some((_, making)) = answers.get(&asked).filter(|(begun, _)| now.duration_since(*begun) < AGE_MAX) {
            return making.clone();
        }
        let making = make().boxed_local().shared();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (begun, _)| now.duration_since(*begun) < AGE_MAX);
        }
        if answers.len() < ANSWERS_MAX {
            answers.insert(asked, (now, making.clone()));
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
    async fn those_who_ask_the_same_share_one_answer() {
        let (answers, made) = (SharedAnswers::default(), Rc::new(Cell::new(0)));
        let make = || {
            let made = Rc::clone(&made);
            async move {
                tokio::task::yield_now().await;
                made.set(made.get() + 1);
                Ok(Made { body: Bytes::new(), etag: HeaderValue::from_static("x") })
            }
        };
        let ask = |asked: &str| answers.get(asked.to_owned(), make);
        let (one, two, other) = tokio::join!(ask("a"), ask("a"), ask("b"));
        assert!(one == two && other.is_ok());
        assert_eq!(made.get(), 2);
        for number in 0..2 * ANSWERS_MAX {
            assert!(ask(&number.to_string()).await.is_ok());
        }
        assert!(answers.answers.borrow().len() <= ANSWERS_MAX);
    }
}
