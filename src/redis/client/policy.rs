//! Eviction policy: a Redis that evicts would delete counters when its memory is full. The same answer shows
//! that a server was restarted or replaced, which may have cost counts.

use std::time::Duration;

use redis::InfoDict;

use super::connection::Connections;
use super::health::Health;
use super::link::Link;
use super::reply::{Fault, fault_of};

const INTERVAL: Duration = Duration::from_secs(5);
const NO_EVICTION: &str = "noeviction";
/// Its name in `INFO`.
pub const POLICY: &str = "maxmemory_policy";

/// Reads the policy on each connection and every 5 s, and holds publication while it is wrong.
/// Never returns.
pub async fn run(connections: &Connections, health: &Health, allow_eviction: bool) {
    let mut known = Vec::new();
    let read = async |link: &Link| {
        // From INFO, since CONFIG is often denied.
        let infos: Vec<InfoDict> = match link.query_primaries(&redis::cmd("INFO")).await {
            Err(error) if fault_of(&error) == Fault::Site => Vec::new(),
            infos => infos?,
        };
        let mut servers: Vec<_> = infos.iter().map(server_in).collect();
        servers.sort_unstable();
        let before = std::mem::replace(&mut known, servers);
        if !before.is_empty() && before != known {
            connections.note_other_server();
        }
        let policies: Vec<String> = infos.iter().filter_map(|info| info.get(POLICY)).collect();
        apply(health, &policies, allow_eviction);
        Ok(INTERVAL)
    };
    connections.check(INTERVAL, read).await;
}

fn apply(health: &Health, policies: &[String], allow_eviction: bool) {
    let evicting = policies.iter().find_map(|policy| danger(policy)).filter(|_| !allow_eviction);
    let reason =
        evicting.map(|danger| format!("nothing is published: {danger}, or allow eviction in the configuration"));
    if health.set_policy(reason.clone()) {
        match reason {
            Some(reason) => tracing::warn!("{reason}"),
            None => tracing::info!("Redis evicts no counters; publishing"),
        }
    }
}

/// Effect of a policy on counters, and what to do about it; none if it keeps them.
pub fn danger(policy: &str) -> Option<String> {
    (policy != NO_EVICTION).then(|| {
        format!(
            "Redis's maxmemory-policy is {policy}, under which it deletes counters when its memory is full; set it to {NO_EVICTION}"
        )
    })
}

/// The server's run and its history of replication.
fn server_in(info: &InfoDict) -> [Option<String>; 2] {
    ["run_id", "master_replid"].map(|part| info.get(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_read_from_info_and_only_noeviction_is_safe() {
        let info = |text| InfoDict::new(text);
        let policy = |text| info(text).get::<String>(POLICY);
        assert_eq!(policy("# Memory\r\nused_memory:1\r\nmaxmemory_policy:allkeys-lru\r\n").unwrap(), "allkeys-lru");
        assert_eq!(policy("used_memory:1\r\n"), None);
        let server = info("# Server\r\nrun_id:5\r\nrole:master\r\nmaster_replid:7\r\nmaster_replid2:0\r\n");
        assert_eq!(server_in(&server).map(Option::unwrap), ["5", "7"]);
        assert_eq!(danger("noeviction"), None);
        // Counters without expiry are safe from it, keys of pages are not.
        assert!(danger("volatile-ttl").unwrap().contains("maxmemory-policy is volatile-ttl"));
    }

    #[test]
    fn one_evicting_server_holds_publication_unless_eviction_is_allowed() {
        let health = Health::default();
        assert!(health.is_held(), "nothing is published before the policy is known");
        let policies = ["noeviction".to_owned(), "allkeys-lru".to_owned()];
        apply(&health, &policies, false);
        assert!(health.is_held());
        apply(&health, &policies, true);
        assert!(!health.is_held());
        apply(&health, &policies[..1], false);
        assert!(!health.is_held());
        // A server that may not be asked is trusted.
        apply(&health, &[], false);
        assert!(!health.is_held());
    }
}
