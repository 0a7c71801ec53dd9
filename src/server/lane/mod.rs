//! The lane: requests of those that are asked most and are as browsers send them, without a detour.
//!
//! Hits, the pixel, the figures and the script are nearly all that a counter is asked, and nearly all of these
//! requests arrive whole, in one segment, with nothing about them that needs a second look. They are
//! read and answered here, with less work. Anything else (another path, a part of a request,
//! chunks, a doubtful length) goes to hyper with every byte that was read, and the connection stays
//! hyper's from then on. So there is one opinion on what is malformed, and it is not this lane's.

mod answer;
mod request;

use std::rc::Rc;

pub use answer::{put_date, write};
pub use request::PlainRequest;

use super::connection::Answer;
use super::wire::{Order, Phase, Wire};

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    Ended,
    /// The wire holds what was read.
    ToHyper,
}

/// What a connection keeps between requests; a larger buffer is given back.
const KEPT_BYTES_MAX: usize = 2_048;

pub async fn serve<A: Answer>(wire: Rc<Wire>, answers: Rc<A>) -> Left {
    let Some(prefix) = answers.lane_prefix() else { return Left::ToHyper };
    let (mut read, mut out) = (Vec::new(), Vec::new());
    loop {
        if read.is_empty() && !matches!(wire.receive(&mut read).await, Ok(1..)) {
            wire.set_peer_ended();
            return Left::Ended;
        }
        let Some(request) = PlainRequest::of(&read, prefix) else {
            wire.put_back(read);
            return Left::ToHyper;
        };
        // Whatever comes after it is not the connection's first request.
        wire.take_first_head();
        wire.enter(Phase::Work);
        let is_last = answers.answer_in_lane(&request, &wire, &mut out).await;
        let length = request.length;
        read.drain(..length);
        wire.enter(Phase::Write);
        if wire.send(&out).await.is_err() {
            return Left::Ended;
        }
        wire.enter(Phase::Idle);
        if is_last || wire.order() == Order::Finish {
            if !read.is_empty() {
                // It is not answered; a reset would take the answer to the last one with it.
                wire.set_closing();
            }
            wire.shut_down().await;
            return Left::Ended;
        }
        out.clear();
        for buffer in [&mut read, &mut out] {
            if buffer.is_empty() && buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
    }
}
