//! `thongke` counts the visits of a portal's pages and serves the figures for the box at their foot.
//!
//! Three promises shape the code:
//! * A hit that was answered is on disk and is counted once, whatever crashes.
//! * Its day is decided once, when it is accepted, in the site's time zone, and travels with it.
//! * Every node is a complete counter. Redis is where nodes meet: it may be away, go back or be emptied, and
//!   is brought up to date from the nodes' files.
//!
//! # Rooms
//! ```text
//! command_line, config    the operator's settings, checked
//! app                     builds the node and everything around it; knows all rooms
//! operate                 the operator's commands, on a running node or on its files
//! counter                 the pure core: no I/O, no clock, no waiting; of other rooms only page
//! page                    the rule by which a url becomes a page's address; no other room
//! bots                    the bot lists, and records of uncounted hits
//! doctor                  findings about a portal's page; pure, of other rooms only counter
//! ledger                  the node's durable counter: one SQLite file, one thread that writes it
//! change_feed             changes that wait to be published, between ledger and redis
//! redis                   publication of the file's counts, and the other nodes' counts
//! server                  HTTP: the public and the admin listener
//! metrics, clock          the node's measurements, and the wall clock
//! obstacle                files that the system refuses: what is in the way, and what to do
//! ```
//! `ARCHITECTURE.md` has the sub-rooms, the directions of imports, the invariants, and four requests followed
//! from end to end. A test checks the directions.

// One exception: clock/kernel.rs.
#![deny(unsafe_code)]
// A panic would abort the node and every hit in flight; the clock and queues: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic))]

pub mod app;
pub mod bots;
pub mod change_feed;
pub mod clock;
pub mod command_line;
pub mod config;
pub mod counter;
pub mod doctor;
pub mod ledger;
pub mod metrics;
pub mod obstacle;
pub mod operate;
pub mod page;
pub mod redis;
pub mod server;
