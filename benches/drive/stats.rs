//! Medians and percentiles.

use std::time::Duration;

/// A duration in a latency record; four seconds and more are one value.
pub fn nanos(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX)
}

/// The percentile, in milliseconds; sorts its input.
pub fn percentile_ms(nanos: &mut [u32], percent: f64) -> f64 {
    if nanos.is_empty() {
        return f64::NAN;
    }
    let at = ((nanos.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, nanos.len()) - 1;
    f64::from(*nanos.select_nth_unstable(at).1) / 1e6
}

/// The median; NaN for no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}
