//! Cores and their tasks: the measured server has one to itself.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores of this process: the first is the server's and the last the client's. Redis has one between them, or
/// else shares the client's.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub client: usize,
    pub redis: usize,
    pub count: usize,
}

impl Cores {
    pub fn find() -> Self {
        let allowed = sched_getaffinity(None).expect("the cores this process may use");
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let first = *cores.first().expect("at least one core");
        let last = *cores.last().unwrap_or(&first);
        let between = cores.get(1).copied().unwrap_or(last);
        Self { server: first, client: last, redis: between, count: cores.len() }
    }
}

/// Keeps the calling thread on a core.
pub fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a thread may be kept on a core");
}

/// Runs `work` on a core and returns to the former cores; processes that it starts stay there.
pub fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("the cores of the thread");
    stay_on(core);
    let outcome = work();
    sched_setaffinity(None, &before).expect("a thread may return to its cores");
    outcome
}

/// CPU time of the calling thread.
pub fn cpu_of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
