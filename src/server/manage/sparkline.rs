//! Sparkline: a row's last days as one path.

use std::fmt::Write as _;

/// Width of a day, in the path's units.
const STEP: usize = 4;
/// Height of the tallest day.
const HEIGHT: i64 = 22;

/// The line of these values from left to right, in a box of [`width`] × 24. A row without values has none.
pub fn path(values: &[i64]) -> Option<String> {
    let highest = values.iter().copied().max().filter(|highest| *highest > 0)?;
    let mut path = String::with_capacity(8 * values.len());
    for (at, value) in values.iter().enumerate() {
        let height = (value.clamp(&0, &highest) * 2 * HEIGHT / highest + 1) / 2;
        // Writing to a string can't fail.
        let _ = write!(path, "{}{} {}", if at == 0 { "M" } else { "L" }, at * STEP, HEIGHT + 1 - height);
    }
    Some(path)
}

/// Width of a line of so many values.
pub fn width(count: usize) -> usize {
    count.saturating_sub(1) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reaches_from_the_least_to_the_most_and_nothing_has_none() {
        assert_eq!(path(&[0, 5, 10]).unwrap(), "M0 23L4 12L8 1");
        assert_eq!(path(&[-3, 7]).unwrap(), "M0 23L4 1");
        assert_eq!((path(&[0, 0]), path(&[])), (None, None));
        assert!(path(&[1, i64::MAX / 64]).is_some());
        assert_eq!((width(30), width(0)), (116, 0));
    }
}
