//! Eviction policy: a Redis that evicts would delete counters when its memory is full. The same answer shows
//! that a server was restarted or replaced, which may have cost counts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::connection::Connections;
use super::health::Health;
use super::link::Link;
use super::reply::{Fault, fault_of, text};

const INTERVAL: Duration = Duration::from_secs(5);
const NO_EVICTION: &str = "noeviction";

/// Reads the policy on each connection and every 5 s, and holds publication while it is wrong.
/// Never returns.
pub async fn run(connections: &Connections, health: &Health, allow_eviction: bool) {
    let known: Mutex<Vec<String>> = Mutex::default();
    let read = async |link: Link| {
        // From INFO, since CONFIG is often denied.
        let answers = match link.query_primaries(&redis::cmd("INFO")).await {
            Err(error) if fault_of(&error) == Fault::Site => Vec::new(),
            answers => answers?,
        };
        let infos: Vec<String> = answers.iter().filter_map(text).collect();
        let mut servers: Vec<String> = infos.iter().map(|info| server_in(info)).collect();
        servers.sort_unstable();
        let before = std::mem::replace(&mut *known.lock().unwrap_or_else(PoisonError::into_inner), servers.clone());
        if !before.is_empty() && before != servers {
            connections.note_other_server();
        }
        let policies: Vec<String> = infos.iter().filter_map(|info| policy_in(info)).collect();
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

/// Policy that `INFO` names.
pub fn policy_in(info: &str) -> Option<String> {
    info.lines().find_map(|line| line.trim().strip_prefix("maxmemory_policy:")).map(str::to_owned)
}

/// The server's run and its history of replication.
fn server_in(info: &str) -> String {
    let is_part = |line: &&str| line.starts_with("run_id:") || line.starts_with("master_replid:");
    info.lines().filter(is_part).map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_read_from_info_and_only_noeviction_is_safe() {
        let info = "# Memory\r\nused_memory:1\r\nmaxmemory_policy:allkeys-lru\r\n";
        assert_eq!(policy_in(info).as_deref(), Some("allkeys-lru"));
        assert_eq!(policy_in("used_memory:1\r\n"), None);
        let info = "# Server\r\nrun_id:5\r\nrole:master\r\nmaster_replid:7\r\nmaster_replid2:0\r\n";
        assert_eq!(server_in(info), "run_id:5 master_replid:7");
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
