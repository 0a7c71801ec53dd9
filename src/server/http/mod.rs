//! HTTP below the endpoints: reading requests, writing answers, errors.

pub mod body;
mod byte_set;
mod client_ip;
pub mod conditional;
pub mod cors;
pub mod date;
mod error;
pub mod form;
pub mod forwarded;
pub mod framing;
mod header_sink;
pub mod headers;
mod host;
mod latency;
mod request_id;
pub mod response;
mod single_flight;

pub use byte_set::ByteSet;
pub use client_ip::ClientIp;
pub use conditional::Rendered;
pub use error::{HttpError, REASONS, shown};
pub(crate) use header_sink::fixed;
pub use header_sink::{FixedFields, HeaderSink};
pub use headers::{Field, HeaderFields};
pub use host::Host;
pub use latency::Latency;
pub use request_id::RequestId;
pub use response::{
    AnswerBody, CLOSE, CROSS_ORIGIN, CSS, CSV, ContentType, GIF, HTML, JAVASCRIPT, JSON, NO_STORE, PROMETHEUS_TEXT,
    SVG, StreamError, TEXT, THONGKE_HIT, THONGKE_HIT_KIND, XLSX,
};
pub use single_flight::{Making, SingleFlight};
