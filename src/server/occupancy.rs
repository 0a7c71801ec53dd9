//! Connections that are open at a listener, in all and of each address; its workers share the count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::{TrustedProxies, household};

#[derive(Debug)]
pub struct Occupancy {
    connections_max: usize,
    connections_per_address_max: u32,
    /// They have the connections of all their clients.
    proxies: TrustedProxies,
    open: AtomicUsize,
    workers: AtomicUsize,
    /// Never more addresses than connections. The hasher is a keyed one: the addresses are strangers'.
    of_address: Mutex<HashMap<IpAddr, u32>>,
}

/// The address has as many connections as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressFull;

impl Default for Occupancy {
    fn default() -> Self {
        Self::new(16_384, 4_096, TrustedProxies::default())
    }
}

impl Occupancy {
    pub fn new(connections_max: usize, connections_per_address_max: u32, proxies: TrustedProxies) -> Self {
        Self {
            connections_max,
            connections_per_address_max,
            proxies,
            open: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            of_address: Mutex::default(),
        }
    }

    /// The caller will take seats.
    pub fn add_worker(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker with fewer connections has not filled the place: others must make room.
    pub fn least_to_relieve(&self) -> usize {
        self.connections_max / self.workers.load(Ordering::Relaxed).max(1) / 2
    }

    pub fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.connections_max
    }

    /// Whether those who have waited longest should make room, before there is none.
    pub fn is_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.connections_max - self.connections_max / 16
    }

    /// Counts a connection until its seat is dropped. Without an address, or with a proxy's, only the
    /// sum is limited.
    pub fn take_seat(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Seat, AddressFull> {
        let address = peer.filter(|_| !self.proxies.believes(peer)).map(|peer| household(peer.to_canonical()));
        if let Some(address) = address {
            let mut of_address = self.of_address();
            let open = of_address.entry(address).or_default();
            if *open >= self.connections_per_address_max {
                return Err(AddressFull);
            }
            *open += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { occupancy: Arc::clone(self), address })
    }

    fn of_address(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.of_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place.
#[derive(Debug)]
pub struct Seat {
    occupancy: Arc<Occupancy>,
    address: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.occupancy.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut of_address = self.occupancy.of_address();
        if let Some(open) = of_address.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                of_address.remove(&address);
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
    fn an_address_has_so_many_seats_and_a_proxy_has_all() {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let proxies = TrustedProxies { networks, ..TrustedProxies::default() };
        let occupancy = Arc::new(Occupancy::new(32, 2, proxies));
        let mut seats: Vec<_> = (1..3).map(|host| occupancy.take_seat(address(&format!("2001:db8::{host}")))).collect();
        assert!(seats.iter().all(Result::is_ok));
        // The same household.
        assert!(occupancy.take_seat(address("2001:db8::9:1")).is_err());
        seats.extend((0..20).map(|_| occupancy.take_seat(address("10.1.2.3"))));
        seats.extend((0..8).map(|_| occupancy.take_seat(None)));
        assert!(seats.iter().all(Result::is_ok) && occupancy.is_crowded() && !occupancy.is_full());
        seats.truncate(1);
        assert!(occupancy.take_seat(address("2001:db8::3")).is_ok());
        seats.clear();
        assert!(occupancy.of_address().is_empty(), "who has gone is forgotten");
        assert_eq!(occupancy.open.load(Ordering::Relaxed), 0);
    }
}
