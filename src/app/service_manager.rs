//! What systemd is told of this process, where it asks (`Type=notify`); without systemd, nothing.

use std::time::Duration;

use sd_notify::NotifyState;

use super::Running;

/// The node counts.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; `ready` follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("systemd is not told of the reload: {error}"),
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the watchdog that the node lives, as often as it wants and as long as it is so; never returns.
pub async fn feed_watchdog(running: &Running) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // Three chances before the process is killed: a machine that stutters is no reason.
    let interval = (timeout / 3).max(Duration::from_millis(1));
    loop {
        match tokio::time::timeout(interval, running.lives()).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(_) => tracing::error!("a thread of this process has not answered for {interval:?}"),
        }
        tokio::time::sleep(interval).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd can't be told how this process is: {error}");
    }
}
