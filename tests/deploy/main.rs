//! Tests of what an operator is given: the files in `deploy/` and the pages in `docs/`, each put to
//! its real use.

/// Servers that a test runs beside the program.
mod beside;
/// The image and the composition.
mod containers;
/// What is written about the program, held against it.
mod documents;
/// Steady load over HTTP that knows what was answered.
mod load;
/// Starts the program.
#[path = "../it/node.rs"]
#[expect(dead_code, reason = "the other tests' helper can do more than these need")]
mod node;
/// The OpenAPI documents.
mod openapi;
/// The Debian package.
mod package;
/// Ports for servers.
#[path = "../it/port.rs"]
mod port;
/// Ends processes with all that they have started.
#[path = "../it/process.rs"]
mod process;
/// Behind nginx, Caddy and Apache.
mod proxied;
/// Each advised arrangement of Redis.
mod redis_guides;
/// Sees what passes between a proxy and a node.
mod relay;
/// What docs/operations.md tells to do, done.
mod runbooks;
/// The tutorial of several nodes.
mod scale_out;
/// Under systemd: sockets handed over, word sent back, the units.
mod systemd;
/// Files and Redis layouts of other versions.
mod versions;
/// What Prometheus and Grafana see.
mod watched;
