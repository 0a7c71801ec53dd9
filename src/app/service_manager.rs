//! Notifications to systemd (`Type=notify`); without systemd, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

use super::Running;

/// Reports that the node counts.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the configuration is being read again; `ready` follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("can't notify systemd of the reload: {error}"),
    }
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds systemd's watchdog while all threads answer; never returns.
pub async fn feed_watchdog(running: &Running) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // Three chances before the process is killed: a slow machine is no reason.
    let interval = (timeout / 3).max(Duration::from_millis(1));
    loop {
        match tokio::time::timeout(interval, running.lives()).await {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(_) => tracing::error!("a thread of this process has not answered for {interval:?}"),
        }
        tokio::time::sleep(interval).await;
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("can't notify systemd: {error}");
    }
}
