//! Tests against real parts: the node's file, the program, a Redis server, a browser.

/// A page in a real browser, at a known time.
mod browser;
/// What is said of a configuration, and of what it names.
mod config;
/// Every figure, from every arrangement of nodes.
mod figures;
/// What the node's file promises: acknowledged hits survive, nothing is counted twice.
mod ledger;
/// Starts the program for the others.
mod node;
/// The program as its users start it.
mod program;
/// The script that publishes, whatever happens around it.
mod raise;
/// Nodes and a real Redis.
mod redis;
/// Which room may know which.
mod rooms;
