//! Limit on a listener's open connections, in all and for each client; the workers share the count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::TrustedProxies;
use crate::counter::ClientPrefix;

#[derive(Debug)]
pub struct ConnectionLimit {
    connections_max: usize,
    connections_per_client_max: u32,
    /// Proxies hold the connections of all their clients, so they have no limit of their own.
    proxies: TrustedProxies,
    open: AtomicUsize,
    workers: AtomicUsize,
    /// Never more clients than connections. The hasher is keyed, since strangers choose the keys.
    per_client: Mutex<HashMap<ClientPrefix, u32>>,
}

impl ConnectionLimit {
    pub fn new(connections_max: usize, connections_per_client_max: u32, proxies: TrustedProxies) -> Self {
        Self {
            connections_max,
            connections_per_client_max,
            proxies,
            open: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            per_client: Mutex::default(),
        }
    }

    /// Limit of the admin listener, for which descriptors are kept free.
    pub fn of_admin(connections_max: usize) -> Self {
        Self::new(connections_max, u32::MAX, TrustedProxies::default())
    }

    /// Connections that a client may have now: fewer when more than half of all places are taken, so that
    /// nobody gets the last ones alone.
    fn per_client_max(&self) -> u32 {
        /// As many as a browser's tabs need.
        const MIN: usize = 32;
        let most = (self.connections_per_client_max as usize).min(self.connections_max);
        let free = self.connections_max.saturating_sub(self.open.load(Ordering::Relaxed));
        let shrunk = most.saturating_mul(2 * free) / self.connections_max.max(1);
        u32::try_from(shrunk.max(MIN).min(most)).unwrap_or(u32::MAX)
    }

    /// Registers a worker that will take permits.
    pub fn add_worker(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Least number of connections from which a worker evicts: one with fewer has not filled the node.
    pub fn eviction_min(&self) -> usize {
        self.connections_max / self.workers.load(Ordering::Relaxed).max(1) / 2
    }

    pub fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.connections_max
    }

    /// True when eviction should begin, before the limit is reached.
    pub fn is_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.connections_max - self.connections_max / 16
    }

    /// Counts a connection until its permit is dropped. A proxy, or a peer without an address, is
    /// limited only by the sum. None: the client has as many as it may have.
    pub fn permit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Permit> {
        let client = peer.filter(|_| !self.proxies.is_trusted(peer)).map(ClientPrefix::of);
        if let Some(client) = client {
            let most = self.per_client_max();
            let mut per_client = self.per_client();
            let open = per_client.entry(client).or_default();
            if *open >= most {
                return None;
            }
            *open += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Permit { limit: Arc::clone(self), client })
    }

    fn per_client(&self) -> MutexGuard<'_, HashMap<ClientPrefix, u32>> {
        self.per_client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission for one open connection.
#[derive(Debug)]
pub struct Permit {
    limit: Arc<ConnectionLimit>,
    client: Option<ClientPrefix>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut per_client = self.limit.per_client();
        if let Some(open) = per_client.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                per_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_client_may_have_fewer_connections_when_most_places_are_taken() {
        let limit = Arc::new(ConnectionLimit::new(896, 4_096, TrustedProxies::default()));
        let take =
            |host: u8| std::iter::from_fn(|| limit.permit(address(&format!("192.0.2.{host}")))).collect::<Vec<_>>();
        let counts: Vec<_> = (1..5).map(take).collect();
        assert_eq!(counts.iter().map(Vec::len).collect::<Vec<_>>(), [598, 199, 66, 32]);
        drop(counts);
        assert_eq!(limit.per_client_max(), 896);
        assert_eq!(ConnectionLimit::new(896, 8, TrustedProxies::default()).per_client_max(), 8);
        assert_eq!(ConnectionLimit::of_admin(8).per_client_max(), 8);
    }

    #[test]
    fn a_client_has_so_many_permits_and_a_proxy_has_all() {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let proxies = TrustedProxies { networks, ..TrustedProxies::default() };
        let limit = Arc::new(ConnectionLimit::new(32, 2, proxies));
        let mut permits: Vec<_> = (1..3).map(|host| limit.permit(address(&format!("2001:db8::{host}")))).collect();
        assert!(permits.iter().all(Option::is_some));
        // The same client.
        assert!(limit.permit(address("2001:db8::9:1")).is_none());
        permits.extend((0..20).map(|_| limit.permit(address("10.1.2.3"))));
        permits.extend((0..8).map(|_| limit.permit(None)));
        assert!(permits.iter().all(Option::is_some) && limit.is_crowded() && !limit.is_full());
        permits.truncate(1);
        assert!(limit.permit(address("2001:db8::3")).is_some());
        permits.clear();
        assert!(limit.per_client().is_empty(), "a client without connections is forgotten");
        assert_eq!(limit.open.load(Ordering::Relaxed), 0);
    }
}
