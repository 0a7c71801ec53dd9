//! Experiments: the program runs as its users run it, something breaks, and the counts are compared with the
//! acknowledged hits, counter by counter.
//!
//! Each has a short form, for every run of the tests, and a long one: `EXPERIMENT_LONG=1 EXPERIMENT_SEED=7
//! cargo test --test experiments` (or `tests/run --long --seed 7`).

/// The clients' own book of every hit, and the comparison of counts with it.
mod book;
/// A node's directory and configuration, and the node while it is up.
mod host;
/// Short or long, and the seed.
mod length;
/// Clients that load nodes and write the book.
mod load;
#[allow(dead_code, reason = "shared with the other tests, which use other parts of it")]
#[path = "../it/node.rs"]
mod node;
/// Ports for them.
#[path = "../it/port.rs"]
mod port;
/// Redis servers that can be killed, paused and started again.
mod redis_server;
/// Public figures, sampled in every experiment.
mod sampler;

/// 12: random operations against a model.
mod any_order;
/// 14: all attacks at once.
mod attacks;
/// 7: a disk that fails, stalls or is full.
mod bad_disk;
/// 11: clocks that pass midnight, change to summer time, jump.
mod clocks;
/// 4: a cluster whose servers fail.
mod cluster;
/// 6: killed at each call that changes the files.
mod crash_points;
/// 8: truncated, flipped, swapped, removed.
mod damage;
/// A power cut's effect on a node's files.
mod disk;
/// 13: a Redis that forgets very many counters.
mod forgets;
/// Old keys that come back alone, and sites that come and go.
mod going_back;
/// A data directory that vanishes under load.
mod gone;
/// 1: node and Redis killed under load; how long a start takes.
mod kills;
/// A machine that loses its power, with node and Redis on it.
mod machine;
/// 5: several nodes; copied and restored data directories; retired nodes; many restarts.
mod nodes;
/// 3 and 10: Redis away for a time, and keys that it lost.
mod outage;
/// 6: the power is cut at each sync.
mod power_cut;
/// A proxy that loses, delays and swallows traffic.
mod proxy;
/// 2: replies that the network loses or delays.
mod replies;
/// 3: a failover that forgets.
mod sentinel;
/// The program under the system call tracer.
mod traced;
/// 9: keys and servers that can't be used.
mod wrong_type;
