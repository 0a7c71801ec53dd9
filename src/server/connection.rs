//! One client's connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::answer::AnswerBody;
use super::lane::{self, Left, PlainRequest};
use super::limits::HEAD_BYTES_MAX;
use super::refusal::Refusal;
use super::wire::{Order, Phase, Wire, WireIo};

/// What answers requests: the public listener's endpoints, or the admin listener's.
pub trait Answer: 'static {
    /// What the paths of the lane's requests begin with; none where there is no lane.
    fn lane_prefix(&self) -> Option<&str> {
        None
    }

    /// Does what is asked and writes the answer; true if that is the connection's last.
    fn answer_in_lane(&self, request: &PlainRequest<'_>, wire: &Wire, out: &mut Vec<u8>) -> impl Future<Output = bool>;

    fn answer(&self, request: Request<Incoming>, wire: &Wire) -> impl Future<Output = Response<AnswerBody>>;

    /// What a client is told whose request can't be read, or doesn't come.
    fn refuse(&self, refusal: &Refusal) -> Response<AnswerBody>;
}

/// How a connection came to its end.
enum Ended {
    Expired,
    MadeRoom,
    ByProtocol(hyper::Result<()>),
}

/// How every connection speaks HTTP/1.
pub fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // A client that has sent all it has to say still gets its answer.
        .half_close(true)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(2 * HEAD_BYTES_MAX)
        // Deadlines are the wire's: a timer per request costs more.
        .header_read_timeout(None);
    protocol
}

pub async fn serve<A: Answer>(protocol: &http1::Builder, wire: Rc<Wire>, answers: Rc<A>) {
    let mut lane = pin!(lane::serve(Rc::clone(&wire), Rc::clone(&answers)));
    let left = poll_fn(|context| {
        wire.remember_task(context);
        match wire.order() {
            Order::Expire | Order::MakeRoom => return Poll::Ready(Left::Ended),
            Order::Finish if wire.is_between_requests() => return Poll::Ready(Left::Ended),
            Order::Serve | Order::Part | Order::Finish => {}
        }
        lane.as_mut().poll(context)
    });
    match left.await {
        Left::Ended => wire.linger().await,
        // In memory of its own: most connections never need it. Nothing is awaited in between: told to
        // finish, hyper would end before it had looked at what was put back.
        Left::ToHyper => Box::pin(serve_all(protocol, wire, answers)).await,
    }
}

/// Answers whatever is asked, through hyper.
async fn serve_all<A: Answer>(protocol: &http1::Builder, wire: Rc<Wire>, answers: Rc<A>) {
    let refusal = {
        let service = service_fn(|request: Request<Incoming>| {
            let (wire, answers) = (Rc::clone(&wire), Rc::clone(&answers));
            async move {
                wire.enter(if request.body().is_end_stream() { Phase::Work } else { Phase::Body });
                let mut response = answers.answer(request, &wire).await;
                if response.headers().contains_key(CONNECTION) {
                    // Refused before all of it was read.
                    wire.set_closing();
                } else if wire.order() == Order::Part {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                wire.enter(Phase::Write);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(WireIo(Rc::clone(&wire))), service));
        let mut finishing = false;
        let ended = poll_fn(|context| {
            wire.remember_task(context);
            match wire.order() {
                Order::Serve | Order::Part => {}
                Order::Expire => return Poll::Ready(Ended::Expired),
                Order::MakeRoom => return Poll::Ready(Ended::MadeRoom),
                Order::Finish if finishing => {}
                Order::Finish => {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            connection.as_mut().poll(context).map(Ended::ByProtocol)
        });
        match ended.await {
            Ended::Expired => wire.why_expired(),
            Ended::MadeRoom => return,
            Ended::ByProtocol(Ok(())) => None,
            Ended::ByProtocol(Err(error)) => {
                // Clients go away and send nonsense all day.
                tracing::debug!(error = %error, "connection ended early");
                wire.set_closing();
                wire.why_unreadable(&error)
            }
        }
    };
    if let Some(refusal) = refusal {
        wire.say(answers.refuse(&refusal)).await;
    }
    wire.linger().await;
}
