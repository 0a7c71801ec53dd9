//! Tests against real parts: the node's file, the program, a Redis server, a browser.

/// What the node's file promises: acknowledged hits survive, nothing is counted twice.
mod ledger;
/// The program as its users start it.
mod program;
/// Starts the program for the others.
mod node;
