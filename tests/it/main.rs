//! Tests against real parts: the node's file, the program, a Redis server, a browser.

/// The admin listener: who may do what, and a Prometheus that scrapes it.
mod admin;
/// Attacks that worked on other counters.
mod attacks;
/// Bad requests, each with its error.
mod bad_input;
/// The box on a portal's page, in a real browser.
mod browser;
/// Programs whose clock starts at a known moment.
mod clock;
/// What is said of a configuration, and of what it names.
mod config;
/// Connections: how many, and how long they may wait.
mod connections;
/// Names that users rely on: routes, flags, keys, metrics.
mod contract;
/// The demo page: for everybody to use, and steady.
mod demo_page;
/// Starts browsers for the others.
mod driver;
/// What goes wrong around a running node.
mod faults;
/// Every figure, from every arrangement of nodes.
mod figures;
/// A crash amid a fold.
mod folds;
/// HTTP/1.1 and the ways to misread it.
mod framing;
/// The public listener's answers: caching, CORS, assets, prefix.
mod http;
/// What the node's file promises: acknowledged hits survive, nothing is counted twice.
mod ledger;
/// Rate limits of hits.
mod limits;
/// Bots, prefetches and reloads, which are not counted.
mod machines;
/// Starts the program for the others.
#[allow(dead_code, reason = "shared with the experiments, which use other parts of it")]
mod node;
/// Taking over an old counter, as a citizen sees it.
mod old_counter;
/// What answers say of themselves to a browser.
mod output;
/// What a page goes through in a reader's browser, and how often that counts.
mod page_life;
/// Ports for other programs.
mod port;
/// Other programs that tests start.
mod process;
/// The program as its users start it.
mod program;
/// Proxies in front of a node: who the client is, and what reaches the node at all.
mod proxies;
/// The script that publishes, whatever happens around it.
mod raise;
/// Nodes and a real Redis.
mod redis;
/// Starts that are refused.
mod refused_starts;
/// Two nodes and Redis through whatever happens to them.
mod restarts;
/// Directions of the rooms, and circles among files.
mod rooms;
/// What one node knows of what others have done.
mod several;
/// Visitors in the node's file.
mod sketches;
/// Differences between file and Redis that are found, and mended.
mod verify;
/// Visitors and who is online.
mod visitors;
