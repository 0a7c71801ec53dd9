//! Reading a request's body, bounded, and in one piece.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::refusal::Refusal;
use super::wire::{Phase, Wire};

/// The whole body, or why not. It is not copied where it came in one piece, as a hit's does.
pub async fn collect(mut body: Incoming, max: usize, wire: &Wire) -> Result<Bytes, Refusal> {
    let too_large = Refusal::BodyLarge { max };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large);
    }
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        // Trailers say nothing about a hit.
        let Ok(data) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else { continue };
        if joined.len() + whole.len() + data.len() > max {
            return Err(too_large);
        }
        if whole.is_empty() && joined.is_empty() {
            whole = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&data);
        }
    }
    wire.enter(Phase::Work);
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}
