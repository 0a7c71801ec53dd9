pub mod connection;
pub mod layout;
pub mod node;
pub mod raise;
pub mod target;
