//! The address under which a page is counted: rule 2.
//!
//! One article is one page, however it was linked. Scheme, host and fragment are dropped. The path is
//! percent-decoded where that is safe, in Unicode's NFC, without sessions, doubled slashes and what a
//! server shows for the folder itself. The query is part of the address, less what is known to be noise.
//!
//! - `address`: the address itself, bounded and hashed; how it is made of a url
//! - `rules`: a site's own say: parameters, case, language
//! - `path`: the path's part; leaves an ordinary path as it stands, without a copy
//! - `query`: the query's part: what stays, sorted
//! - `link`: the real address, where the folded one may not open
//! - `noise`: the table `noise.tsv`, from which the rule is built
//! - [`parameters`]: which parameters made pages apart or were dropped, in one day; `small_sketch`: its sketches
//! - [`rule_1`]: the addresses of 0.1, under which older counts stand
//! - `shape`, `pattern`: tests of a value and of a name; `text`: safe characters, decoding
//!
//! Absences: no I/O, no clock, no regular expressions. The same url has the same address on every node.
//!
//! A url is walked so: `path` yields `/xem.php` of `/xem.php;jsessionid=1`; `query` splits `a=1&amp;b=2` at `&`
//! and `;`, lets an engine's rows (class a) name the article alone, else drops noise (b, c) and personal data (d),
//! sorts the rest and keeps eight; `address` joins both and bounds the whole.

mod address;
mod link;
mod noise;
pub mod parameters;
mod path;
mod pattern;
mod query;
pub mod rule_1;
mod rules;
mod shape;
mod small_sketch;
mod text;

pub use address::PageAddress;
pub use link::link_of;
pub use pattern::{Pattern, PatternError};
pub use query::Fate;
pub use rules::{PageCase, PageCaseError, PageParams, PageRules};
pub use text::is_safe_byte;

/// Version of the rule, kept in the node's file and in Redis: addresses of another one are others.
pub const PAGE_RULE_VERSION: u32 = 2;

#[cfg(test)]
mod tests;
