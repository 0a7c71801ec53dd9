//! Difference between two numbers, as pages show it.

/// A change, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub text: String,
    /// `up`, `down` or nothing.
    pub direction: &'static str,
}

impl Change {
    /// `compared`: the number now, and the former one. None if there is nothing to compare.
    pub fn of(compared: Option<(i64, i64)>) -> Self {
        match compared.and_then(|(now, former)| percent(now, former)) {
            None => Self { text: "–".to_owned(), direction: "" },
            Some(0) => Self { text: "0%".to_owned(), direction: "" },
            Some(percent @ 1..) => Self { text: format!("+{}%", percent.min(9_999)), direction: "up" },
            Some(percent) => Self { text: format!("−{}%", -percent), direction: "down" },
        }
    }
}

/// The difference in percent of the former number; none if that is 0.
pub fn percent(now: i64, former: i64) -> Option<i64> {
    (former > 0).then(|| ((now - former) as f64 * 100.0 / former as f64).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_its_sign_and_nothing_grows_from_nothing() {
        assert_eq!((percent(150, 100), percent(1, 3), percent(5, 0)), (Some(50), Some(-67), None));
        let shown = |compared| Change::of(compared).text;
        assert_eq!(
            [shown(Some((150, 100))), shown(Some((1, 3))), shown(Some((1, 1))), shown(None)],
            ["+50%", "−67%", "0%", "–"]
        );
    }
}
