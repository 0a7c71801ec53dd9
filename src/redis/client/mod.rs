//! Connection to Redis: target, connecting, scripts, replies, and what is wrong with it.

pub mod connect;
pub mod connection;
pub mod health;
pub mod link;
pub mod policy;
pub mod preflight;
pub mod reply;
pub mod server_time;
pub mod target;
