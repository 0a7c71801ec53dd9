//! The pure core: sites, periods, pages, hits, visitors and figures.
//!
//! Nothing here does I/O, reads a clock, or waits: time and configuration come in as arguments.

pub mod account;
pub mod by_site;
pub mod client_prefix;
pub mod clock_trust;
pub mod contribution;
pub mod csv;
pub mod day;
pub mod digest;
pub mod editor_rules;
pub mod figure_key;
pub mod figures;
pub mod history;
pub mod hyperloglog;
pub mod known;
pub mod language;
pub mod origin;
pub mod page;
pub mod page_cap;
pub mod page_index;
pub mod period;
pub mod plain_url;
pub mod public_part;
pub mod site;
pub mod source;
pub mod span;
pub mod tally;
pub mod title;
pub mod verification;
pub mod visitor;
pub mod vouching;

pub use by_site::{BySite, SiteNumber};
pub use client_prefix::ClientPrefix;
pub use contribution::{ChangedPage, Contribution, Register, RemoteCounter, RowKey, Standing};
pub use day::Day;
pub use digest::{Digest, FileDigest, Place, Weight};
pub use editor_rules::{EditorRule, EditorRules, RuleKind};
pub use figure_key::FigureKey;
pub use figures::Figures;
pub use hyperloglog::{Sketch, Trace};
pub use known::{Counter, Known, ShownFigure};
pub use language::{LabelStyle, Language};
pub use origin::Origin;
pub use page::PageAddress;
pub use page_index::{Former, Listing, PageIndex};
pub use period::Period;
pub use plain_url::PlainUrl;
pub use public_part::{PublicPart, PublicParts};
pub use site::{RegisteredSite, Site, SiteId, Sites};
pub use source::Source;
pub use span::{Span, Week};
pub use tally::{Arrival, Hit, Tally};
pub use title::{ChangedTitle, GivenTitle, PageTitle};
pub use visitor::{Minute, Salt, Visit, VisitorCounts, Window};
