//! HTTP below the endpoints: reading requests, writing answers, errors.

pub mod body;
pub mod client_ip;
pub mod conditional;
pub mod cors;
pub mod date;
pub mod error;
pub mod form;
pub mod framing;
pub mod header_sink;
pub mod headers;
pub mod host;
pub mod latency;
pub mod request_id;
pub mod response;
pub mod single_flight;
