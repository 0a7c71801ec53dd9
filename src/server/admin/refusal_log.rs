//! Lines about refused requests: each is said, but for a flood, which must not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::server::http::{HttpError, RequestId};

/// Lines within an interval. The rest is summed up in the next interval's first line.
const LINES_MAX: u32 = 60;
const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

/// Part of a refusal in the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    None,
    /// So many refusals before have no line.
    After(u64),
}

impl RefusalLog {
    pub fn say(&self, error: &HttpError, id: &RequestId, now: Instant) {
        let Line::After(unsaid) = self.line(now) else { return };
        if unsaid > 0 {
            tracing::warn!(requests = unsaid, "admin requests refused, more than the log has lines for");
        }
        let (status, reason) = (error.status.as_u16(), error.reason);
        tracing::warn!(request_id = %id, status, reason, "admin request refused");
    }

    fn line(&self, now: Instant) -> Line {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = state.since.is_none_or(|since| now.saturating_duration_since(since) >= INTERVAL);
        if is_over {
            let unsaid = state.unsaid;
            *state = State { since: Some(now), said: 1, unsaid: 0 };
            return Line::After(unsaid);
        }
        if state.said < LINES_MAX {
            state.said += 1;
            return Line::After(0);
        }
        state.unsaid += 1;
        Line::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_sixty_lines_a_minute_and_a_number() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let lines = |now| (0..1_000).filter(|_| log.line(now) == Line::After(0)).count();
        assert_eq!(lines(start), 60);
        assert_eq!(lines(start + INTERVAL / 2), 0);
        assert_eq!(log.line(start + INTERVAL), Line::After(1_940));
        assert_eq!(log.line(start + INTERVAL), Line::After(0));
    }
}
