pub mod counter;
pub mod ledger;
pub mod metrics;
pub mod redis;
pub mod server {
    pub mod node;
}
