//! `thongke` counts the visits of a portal's pages and serves the figures for the box at their foot.
//!
//! # What holds
//! * A hit that was answered is on disk, and is counted once, whatever crashes.
//! * Its day is decided once, when it is accepted, in the site's time zone, and travels with it.
//! * Every node is a complete counter. Redis is where nodes meet: it may be away, go back, or be
//!   emptied, and is brought up to date from the nodes' files.
//!
//! # The rooms
//! ```text
//! command_line, config    what the operator says, checked
//! app                     builds the node and everything around it; knows all
//! operate                 the operator's commands, on a running node or on its files
//! counter                 the pure core: sites, periods, pages, hits, tallies, figures
//! bots                    hits that are no reader's: the lists, the kinds, how many of which
//! ledger                  the node's durable counter: one SQLite file, one thread that writes it
//! change_feed             changes that wait for publication, noted by the ledger
//! redis                   publication of the file's counts, and the other nodes' counts from there
//! server                  HTTP: the public and the admin listener
//! web                     the widget script and the demo page
//! metrics                 what a node measures of itself
//! ```
//! Dependencies go one way. `counter` does no I/O, reads no clock, waits for nothing, and knows none
//! of the others. `ledger`, `redis` and `server` know `counter` and `metrics`, not one another
//! (`server` also knows `bots`, `ledger` the `change_feed`): what `server` and `redis` need of the node they say in a trait
//! (`server::ports::Node`, `redis::ports::Node`), and `app` answers with the ledger. A test holds these
//! lines.
//!
//! # One hit
//! A worker, single-threaded and with a listening socket of its own, reads a request. One that posts
//! a hit or asks for the pixel, the figures or the script, has come whole and has nothing strange about it
//! is read and answered in `server::fast_path`; any other goes through hyper (`server::driver`) to its endpoint
//! (`server::routes`). Both paths share requests and replies (`server::hot_endpoints`): site, page and
//! origin are checked by `server::hit`, and the resulting [`counter::Hit`] joins the worker's batch
//! (`ledger::commit`), which a task hands to the committer once no more hits are at hand (or a
//! millisecond is over). The committer takes all batches that have come while it wrote the last, sums
//! them into one [`counter::Tally`], writes that as one journal row, and syncs. It changes the figures
//! in memory and wakes the batches; each hit is answered with the figures.
//!
//! A url that this worker does not know from earlier today is first admitted (`ledger::memory::page_admission`): a day has a
//! bounded number of new pages, and a hit of one too many counts under `(other)`, unless the page is
//! found in the file or, known to another node, in Redis.
//!
//! Later the journal is folded into `counts`, a few rows with each commit. Where there is Redis,
//! `redis::publish` merges this run's contributions into the site's shared counters.
//!
//! Where a site counts visitors, the hit also says which register of that day's sketch its visitor
//! raises ([`counter::visitor`]); that is journalled in the same row, folded into the file's sketch,
//! and merged into Redis's by `redis::visitors`.
//!
//! # One query
//! It is read as a hit is, by the fast path or by hyper. The site is found; with Redis, a read of its totals
//! is awaited if none is younger than a second (`redis::read`, shared by all who wait). The figures
//! are the sum in memory plus what Redis knows beyond it, rendered once per state and second
//! (`server::public::figures`).
//!
//! Pages and history are not kept in memory. A reader of their own reads the file
//! (`ledger::query::pages`), adds what is journalled and not folded (`ledger::fold::unfolded`), and what Redis has
//! besides is read for the occasion (`redis::read`); a worker makes an answer once a second for
//! all who ask the same (`server::http::single_flight`).

#![forbid(unsafe_code)]
// A panic would abort the node and every hit in flight; the clock and queues: clippy.toml.

pub mod app;
pub mod bots;
pub mod change_feed;
pub mod clock;
pub mod command_line;
pub mod config;
pub mod counter;
pub mod ledger;
pub mod metrics;
pub mod operate;
pub mod redis;
pub mod server;
