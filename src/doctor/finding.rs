//! A finding: one sentence about the page or the counter, and what to do.

use std::fmt;

/// Weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Fine,
    /// Views count today; something about it deserves a look.
    Warning,
    /// It keeps views from being counted.
    Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    pub text: String,
}

impl Finding {
    pub fn fine(text: impl Into<String>) -> Self {
        Self { weight: Weight::Fine, text: text.into() }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, text: text.into() }
    }

    pub fn wrong(text: impl Into<String>) -> Self {
        Self { weight: Weight::Wrong, text: text.into() }
    }
}

/// Texts of a stranger's page stand in findings: no control character reaches the terminal.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.weight {
            Weight::Fine => "ok",
            Weight::Warning => "warning",
            Weight::Wrong => "error",
        };
        write!(f, "{:<9}", format!("{name}:"))?;
        let is_plain = |c: &char| {
            !c.is_control()
                && !matches!(*c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        self.text.chars().filter(is_plain).try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_begins_with_its_weight_and_has_no_control_characters() {
        assert_eq!(Finding::fine("a").to_string(), "ok:      a");
        assert_eq!(Finding::wrong("a\u{1b}[31m\u{202e}b\n").to_string(), "error:   a[31mb");
        assert_eq!(Finding::warning("é").to_string(), "warning: é");
    }
}
