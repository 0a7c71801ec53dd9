//! Request bodies, bounded: read whole, or forwarded in chunks.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use tokio::sync::mpsc;

use super::HttpError;
use crate::server::net::{ConnState, Phase};

/// Reads the whole body. One that arrives in one piece, as a hit's does, is not copied.
pub async fn collect(mut body: Incoming, max: usize, conn: &ConnState) -> Result<Bytes, HttpError> {
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        // Trailers have no meaning here.
        let Ok(data) = frame.map_err(|_| HttpError::BODY_BROKEN)?.into_data() else { continue };
        if joined.len() + whole.len() + data.len() > max {
            return Err(too_large(max));
        }
        if whole.is_empty() && joined.is_empty() {
            whole = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&data);
        }
    }
    conn.enter(Phase::Work);
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

/// Forwards the body to its end, also when nobody takes the chunks any more.
pub async fn forward(
    mut body: Incoming,
    max: usize,
    conn: &ConnState,
    chunks: mpsc::Sender<Bytes>,
) -> Result<(), HttpError> {
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let mut length = 0;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        // Trailers have no meaning here.
        let Ok(data) = frame.map_err(|_| HttpError::BODY_BROKEN)?.into_data() else { continue };
        length += data.len();
        if length > max {
            return Err(too_large(max));
        }
        let _ = chunks.send(data).await;
    }
    conn.enter(Phase::Work);
    Ok(())
}

fn too_large(max: usize) -> HttpError {
    HttpError::size(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {max} bytes"))
}
