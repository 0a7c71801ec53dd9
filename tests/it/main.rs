//! Tests against real parts: the node's file, the program, a Redis server, a browser.

/// The admin listener: permissions, and a scraping Prometheus.
mod admin;
/// Attacks that worked on other counters.
mod attacks;
/// Bad requests, each with its error.
mod bad_input;
/// Clocks that are not believed: nothing is deleted.
mod believed_clock;
/// Generated requests on both HTTP paths.
mod both_paths;
/// The box on a portal's page, in a real browser.
mod browser;
/// Programs whose clock starts at a known moment.
mod clock;
/// Commands that read, and commands that are refused.
mod commands;
/// Messages about a configuration and the files that it names.
mod config;
/// Connections: their limit and their timeouts.
mod connections;
/// Names that users rely on: routes, flags, keys, metrics.
mod contract;
/// The demo page: accessible and steady.
mod demo_page;
/// The lock of a data directory, for tests that open its ledger themselves.
mod directory_lock;
/// `thongke doctor`: pages that count, and pages that don't.
mod doctor;
/// Starts browsers for the others.
mod driver;
/// Editors at their pages: tokens, sessions, share links.
mod editors;
/// Faults around a running node.
mod faults;
/// Every figure, from every arrangement of nodes.
mod figures;
/// Crashes amid a fold.
mod folds;
/// HTTP/1.1 and bytes that parsers could split differently.
mod framing;
/// A Redis that goes back to an earlier state.
mod going_back;
/// The public listener's answers: caching, CORS, assets, prefix.
mod http;
/// Imports that are cut short.
mod imports;
/// Promises of the node's file: acknowledged hits survive, nothing counts twice.
mod ledger;
/// Rate limits of hits.
mod limits;
/// Bots, prefetches and reloads, which are not counted.
mod machines;
/// The editors' pages: private, true, accessible, and of use without scripts.
mod manage;
/// Starts the program for the others.
#[allow(dead_code, reason = "shared with the experiments, which use other parts of it")]
mod node;
/// Taking over an old counter, as a citizen sees it.
mod old_counter;
/// Security headers of replies, and log lines.
mod output;
/// What an operator is told about page addresses.
mod page_addresses;
/// A page's life in a reader's browser, and its number of counts.
mod page_life;
/// Editors' rules of pages.
mod page_rules;
/// Ports for other programs.
mod port;
/// Portals for the others: web servers whose pages a test makes.
mod portal;
/// Other programs that tests start.
mod process;
/// The program as its users start it.
mod program;
/// Proxies in front of a node: the client's address, and the requests that reach the node.
mod proxies;
/// Parts of a site that are closed to strangers.
mod public_parts;
/// The script that publishes, under repeats, losses and deletions.
mod raise;
/// Reads of history, and what other nodes change in it.
mod reads;
/// Nodes and a real Redis.
mod redis;
/// Refused hits: what an operator learns of them.
mod refused;
/// Starts that are refused.
mod refused_starts;
/// Tables and reports to take along: CSV, XLSX, print, text.
mod report;
/// Figures that are set to zero, and taken back.
mod resets;
/// Two nodes and Redis through random kills and losses.
mod restarts;
/// Directions of the rooms, and cycles among files.
mod rooms;
/// One node's view of the others' work.
mod several;
/// Sites that are renamed, merged and removed, and sites that share a host.
mod site_names;
/// A folder with a file a site.
mod sites_dir;
/// Visitors in the node's file.
mod sketches;
/// Files that are taken away while the node runs.
mod taken_away;
/// Tokens of editors.
mod tokens;
/// Differences between file and Redis: found and repaired.
mod verify;
/// Visitors and who is online.
mod visitors;
/// Networks that vouch for pages, and strangers who want to.
mod vouching;
