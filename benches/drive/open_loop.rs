//! An open loop: requests are due at fixed times, whether or not the last ones are answered. A latency counts
//! from the due time. A slow server delays no arrival, as with page views.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::closed_loop::Connection;
use super::requests::Requests;
use super::stats;

/// The client's record of the requests that were due after its warm-up.
#[derive(Debug, Default)]
pub struct OpenDrove {
    /// Times from a request's due time to its answer.
    pub nanos: Vec<u32>,
    /// Times from the due time to sending. Above a few microseconds the client, or a lack of free
    /// connections, is a part of the measurement.
    pub late: Vec<u32>,
    /// Number of sent requests.
    pub requests: u64,
}

/// A sleep may end up to a tick late, where the kernel's timers are no finer.
const SLEEP_MIN: Duration = Duration::from_millis(3);

/// Drives a server at `rate` requests per second.
pub fn drive(
    address: SocketAddr,
    requests: &mut Requests,
    connections: usize,
    rate: u32,
    warm_up: Duration,
    duration: Duration,
) -> OpenDrove {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let mut connections: Vec<_> = (0..connections).map(|_| Connection::open(address)).collect();
    connections.iter().enumerate().for_each(|(at, connection)| connection.register(&epoll, at));
    let mut due_at = vec![Instant::now(); connections.len()];
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut drove = OpenDrove::default();
    let mut events = Vec::with_capacity(1024);

    let started = Instant::now();
    let measured_from = started + warm_up;
    let end = measured_from + duration;
    let due = |number: u64| started + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
    let mut number = 0;
    loop {
        let now = Instant::now();
        // Without a free connection a request waits for one, and its time runs.
        while due(number) <= now.min(end)
            && let Some(at) = free.pop_front()
        {
            due_at[at] = due(number);
            if due_at[at] >= measured_from {
                drove.late.push(stats::nanos(due_at[at].elapsed()));
            }
            number += 1;
            connections[at].send(requests.next());
        }
        if due(number) > end && free.len() == connections.len() {
            drove.requests = number;
            return drove;
        }
        let until_due = if free.is_empty() || due(number) > end {
            None
        } else {
            let wait = due(number).saturating_duration_since(Instant::now());
            // This close to the next request the client polls, and yields to others on its core.
            let sleep = wait.checked_sub(SLEEP_MIN).unwrap_or_else(|| {
                std::thread::yield_now();
                Duration::ZERO
            });
            Some(Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: i64::from(sleep.subsec_nanos()) })
        };
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), until_due.as_ref()).expect("epoll waits");
        for event in &events {
            let event: &epoll::Event = event;
            let at = event.data.u64() as usize;
            if connections[at].receive(true) {
                if due_at[at] >= measured_from {
                    drove.nanos.push(stats::nanos(due_at[at].elapsed()));
                }
                free.push_back(at);
            }
        }
    }
}
