//! Sessions of editors and operators in a browser: what it keeps, and how it gets there.
//!
//! ```text
//! way           how a request came: by TLS, from this machine, or neither
//! cookie        cookies, read and written
//! ticket        the signed text that a browser keeps after a login
//! form_token    tokens of forms
//! attempts      limits of failed attempts
//! return_path   the page after a login
//! ```

pub mod attempts;
pub mod cookie;
pub mod form_token;
pub mod return_path;
pub mod ticket;
pub mod way;

pub use attempts::Attempts;
pub use way::Way;
