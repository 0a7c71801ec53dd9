use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

/// How much higher than its port a Redis Cluster's node talks to the others.
const BUS: u16 = 10_000;

/// A port for a server of another program, that no other test is given.
///
/// It and its bus lie below the ports that the kernel gives to outgoing connections: another test's
/// client could have it when the server starts, or starts again. No port is another's bus.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut given = GIVEN.lock().unwrap();
    let given = given.get_or_insert_default();
    let mut candidates = std::iter::repeat_with(|| rand::random_range(BUS..2 * BUS)).take(1_000);
    let free = candidates.find(|port| is_free(*port) && is_free(port + BUS) && given.insert(*port));
    free.expect("a port is free")
}
