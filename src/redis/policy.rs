//! Whether Redis may throw counters away when its memory is full.

use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connections, Fault, fault_of};
use super::health::Health;
use super::raise::text;

const INTERVAL: Duration = Duration::from_secs(10);
const WANTED: &str = "noeviction";

/// Looks at Redis's eviction policy when it connects and every 10 s. Never returns.
pub async fn run(connections: Arc<Connections>, health: Arc<Health>, allow_eviction: bool) {
    let mut current = connections.watch();
    loop {
        // Closed only with the connections.
        let _ = current.wait_for(|number| *number != 0).await;
        if let Some((number, link)) = connections.get() {
            // From INFO, since CONFIG is often denied.
            match link.query_primaries(redis::cmd("INFO").arg("memory")).await {
                Ok(answers) => {
                    let policies: Vec<String> =
                        answers.iter().filter_map(text).filter_map(|info| policy_in(&info)).collect();
                    judge(&health, &policies, allow_eviction);
                }
                Err(error) if fault_of(&error) == Fault::Site => judge(&health, &[], allow_eviction),
                Err(error) => connections.failed(number, &error),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = current.changed() => {}
        }
    }
}

fn judge(health: &Health, policies: &[String], allow_eviction: bool) {
    let evicting = policies.iter().find_map(|policy| danger(policy)).filter(|_| !allow_eviction);
    let reason =
        evicting.map(|danger| format!("nothing is published: {danger}, or allow eviction in the configuration"));
    if health.set_policy(reason.clone()) {
        match reason {
            Some(reason) => tracing::warn!("{reason}"),
            None => tracing::info!("Redis keeps what it is given; publishing"),
        }
    }
}

/// What a policy does to counters, and what to do about it; none if it keeps them.
pub fn danger(policy: &str) -> Option<String> {
    (policy != WANTED).then(|| {
        format!(
            "Redis's maxmemory-policy is {policy}, under which it deletes counters when its memory is full; set it to {WANTED}"
        )
    })
}

pub fn policy_in(info: &str) -> Option<String> {
    info.lines().find_map(|line| line.trim().strip_prefix("maxmemory_policy:")).map(str::to_owned)
}
