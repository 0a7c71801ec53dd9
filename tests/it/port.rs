use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

/// Offset of a Redis Cluster node's bus port.
const BUS: u16 = 10_000;

/// A port for a server of another program; no other test gets it.
///
/// The port and its bus lie below the kernel's ports for outgoing connections: another test's client could
/// take those before a start. No port is another's bus.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut given = GIVEN.lock().unwrap();
    let given = given.get_or_insert_default();
    let mut candidates = std::iter::repeat_with(|| rand::random_range(BUS..2 * BUS)).take(1_000);
    let free = candidates.find(|port| is_free(*port) && is_free(port + BUS) && given.insert(*port));
    free.expect("a port is free")
}
