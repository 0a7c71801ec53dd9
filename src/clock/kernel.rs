//! The kernel's word on its clock, by `adjtimex(2)`. No well-kept library has that call.

use chrono::{DateTime, Utc};

/// Most seconds between two readings of the same clock.
const READINGS_APART_MAX: u64 = 5;
/// Maximal error at which the kernel itself takes its clock for unsynchronised.
const ERROR_MAX_US: i64 = 16_000_000;

/// True if the kernel says that its clock is synchronised. None if it may not be asked, or if `now` is not its time: a
/// clock that was given to this program alone.
pub fn is_synchronised(now: DateTime<Utc>) -> Option<bool> {
    let state = state()?;
    let is_its_time = now.timestamp().abs_diff(state.time.tv_sec) <= READINGS_APART_MAX;
    is_its_time.then_some(state.status & libc::STA_UNSYNC == 0 && state.maxerror < ERROR_MAX_US)
}

#[expect(unsafe_code, reason = "a call of libc on a structure of this function's own")]
fn state() -> Option<libc::timex> {
    // SAFETY: a `timex` is integers alone, for which zeros are valid; with `modes` 0 the kernel changes nothing, and it
    // writes only into the structure, which outlives the call.
    unsafe {
        let mut state: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut state) >= 0).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_kernels_word_is_about_its_own_time_alone() {
        assert!(is_synchronised(clock::now()).is_some(), "a test may ask the kernel");
        assert_eq!(is_synchronised(clock::now() + chrono::TimeDelta::days(45)), None);
        assert_eq!(is_synchronised(clock::now() - chrono::TimeDelta::minutes(1)), None);
    }
}
