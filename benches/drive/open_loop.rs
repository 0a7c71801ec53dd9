//! An open loop: requests are due at fixed times, whether or not the last have been answered, and a
//! request's latency counts from when it was due. What a server delays delays nobody's arrival, as
//! it is with page views.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::closed_loop::Connection;
use super::requests::Requests;
use super::stats;

/// Drives a server at `rate` requests per second; the latencies of all that were due after `warm_up`.
pub fn drive(
    address: SocketAddr,
    requests: &mut Requests,
    connections: usize,
    rate: u32,
    warm_up: Duration,
    duration: Duration,
) -> Vec<u32> {
    // Timers of ordinary threads may be 50 µs late, to save power.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1));
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let mut connections: Vec<_> = (0..connections).map(|_| Connection::open(address)).collect();
    connections.iter().enumerate().for_each(|(at, connection)| connection.register(&epoll, at));
    let mut due_at = vec![Instant::now(); connections.len()];
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut nanos = Vec::with_capacity((f64::from(rate) * duration.as_secs_f64()) as usize + 1);
    let mut events = Vec::with_capacity(1024);

    let started = Instant::now();
    let measured_from = started + warm_up;
    let end = measured_from + duration;
    let due = |number: u64| started + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
    let mut number = 0;
    loop {
        let now = Instant::now();
        // Where no connection is free a request waits for one, and its time runs.
        while due(number) <= now.min(end)
            && let Some(at) = free.pop_front()
        {
            due_at[at] = due(number);
            number += 1;
            connections[at].send(requests.next());
        }
        if due(number) > end && free.len() == connections.len() {
            return nanos;
        }
        let until_due = if free.is_empty() || due(number) > end {
            None
        } else {
            let wait = due(number).saturating_duration_since(Instant::now());
            Some(Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) })
        };
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), until_due.as_ref()).expect("epoll waits");
        for event in &events {
            let event: &epoll::Event = event;
            let at = event.data.u64() as usize;
            if connections[at].receive(true) {
                if due_at[at] >= measured_from {
                    nanos.push(stats::nanos(due_at[at].elapsed()));
                }
                free.push_back(at);
            }
        }
    }
}
