//! Tests of the operator's files: everything in `deploy/` and the pages in `docs/`, each in real use.

/// Servers that a test runs beside the program.
mod beside;
/// The image and the composition.
mod containers;
/// Documents compared with the program.
mod documents;
/// Steady load over HTTP that records every answer.
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
/// Ends processes with all their descendants.
#[path = "../it/process.rs"]
mod process;
/// Behind nginx, Caddy and Apache.
mod proxied;
/// Each recommended arrangement of Redis.
mod redis_guides;
/// A relay that records the traffic between a proxy and a node.
mod relay;
/// The runbooks of docs/operations.md, carried out.
mod runbooks;
/// The tutorial of several nodes.
mod scale_out;
/// Under systemd: socket activation, notifications, the units.
mod systemd;
/// Files and Redis layouts of other versions.
mod versions;
/// Prometheus and Grafana: rules and dashboard.
mod watched;
