//! Admin listener: probes, metrics, and the operator's commands.

pub mod auth;
mod handler;
pub mod pages;
mod probes;
mod refusal_log;
pub mod reload;
pub mod sites;
pub mod tokens;
mod transfer;

use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde::Serialize;

pub use handler::AdminService;

use super::hit::{Canonicals, Parameters, Warnings};
use super::http::{AnswerBody, response};
use super::net::ConnectionLimit;
use super::refusals::Refusals;
use auth::Tokens;
use reload::ReloadOrders;

/// Settings of the admin listener.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    pub tokens: Tokens,
    pub connection_limit: Arc<ConnectionLimit>,
    /// Canonical addresses, as the public listener's workers note them.
    pub canonicals: Arc<Canonicals>,
    pub parameters: Arc<Parameters>,
    pub warnings: Arc<Warnings>,
    pub refusals: Arc<Refusals>,
    pub reload: ReloadOrders,
}

fn json(value: &impl Serialize) -> Response<AnswerBody> {
    response::json(StatusCode::OK, value)
}
