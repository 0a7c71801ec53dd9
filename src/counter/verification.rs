//! Results of comparing a site's counts in all places.

use serde::{Deserialize, Serialize};

/// Findings that are named; the rest is a number.
const NAMED_MAX: usize = 100;

/// Kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The node's file is damaged, or its counts don't add up.
    File,
    /// A counter in Redis is not the sum of what it was made from.
    NoSum,
    /// Redis has less of a source than the node's file.
    Lacking,
    /// Redis has more of a run of this node than the node's own file.
    Beyond,
    /// Something that is no number, or of the wrong type.
    Unreadable,
    /// Nodes are not configured alike.
    Disagreement,
    /// Redis could not be asked.
    Away,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    /// In words, with what to do where nothing does it by itself.
    pub what: String,
}

/// Findings, of which a bounded number is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    pub named: Vec<Finding>,
    /// Number of findings that are not listed.
    pub more: u64,
}

impl Findings {
    pub fn add(&mut self, kind: Kind, what: impl Into<String>) {
        if self.named.len() < NAMED_MAX {
            self.named.push(Finding { kind, what: what.into() });
        } else {
            self.more += 1;
        }
    }

    pub fn extend(&mut self, others: Self) {
        self.more += others.more;
        others.named.into_iter().for_each(|finding| self.add(finding.kind, finding.what));
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

/// Result of comparing one site's counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub agrees: bool,
    /// Counts of the node's file that were held against Redis, by source, period and page.
    pub compared: u64,
    /// Counters of Redis that were held against the sum of what they were made from.
    pub summed: u64,
    /// False: the node runs without Redis, and only its file was looked at.
    pub with_redis: bool,
    pub findings: Findings,
}

impl Verification {
    /// The file's faults, and the comparison with Redis or the reason why it failed; none without Redis.
    pub fn of(faults: impl IntoIterator<Item = String>, compared: Option<Result<Self, String>>) -> Self {
        let mut findings = Findings::default();
        faults.into_iter().for_each(|fault| findings.add(Kind::File, fault));
        let mut verification = match compared {
            None => Self::default(),
            Some(compared) => compared.unwrap_or_else(|reason| {
                findings.add(Kind::Away, reason);
                Self { with_redis: true, ..Self::default() }
            }),
        };
        findings.extend(std::mem::take(&mut verification.findings));
        Self { agrees: findings.is_empty(), findings, ..verification }
    }
}

/// Result of a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Counters of Redis that are the sum of their parts again, each in words.
    pub mended: Vec<String>,
    /// All that the node's file has of the site has been brought to Redis, or is on its way.
    pub raised: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_beyond_the_limit_are_counted_and_not_listed() {
        let mut findings = Findings::default();
        assert!(findings.is_empty());
        (0..NAMED_MAX).for_each(|_| findings.add(Kind::NoSum, "a"));
        assert_eq!((findings.named.len(), findings.more, findings.is_empty()), (NAMED_MAX, 0, false));
        findings.add(Kind::NoSum, "a");
        findings.add(Kind::NoSum, "a");
        assert_eq!((findings.named.len(), findings.more), (NAMED_MAX, 2));
        let mut both = Findings { more: 1, ..Findings::default() };
        both.add(Kind::File, "b");
        both.extend(findings);
        assert_eq!((both.named.len(), both.named[0].kind, both.more), (NAMED_MAX, Kind::File, 4));
    }

    #[test]
    fn a_faulty_file_or_an_unreachable_redis_agrees_with_nothing() {
        let sound = || Verification { compared: 3, with_redis: true, ..Verification::default() };
        let kinds = |of: &Verification| of.findings.named.iter().map(|finding| finding.kind).collect::<Vec<_>>();
        let alone = Verification::of([], None);
        assert!(alone.agrees && !alone.with_redis);
        let both = Verification::of([], Some(Ok(sound())));
        assert!(both.agrees && both.with_redis && both.compared == 3);
        let faulty = Verification::of(["a".to_owned()], Some(Ok(sound())));
        assert_eq!((faulty.agrees, kinds(&faulty)), (false, vec![Kind::File]));
        let away = Verification::of([], Some(Err("refused".to_owned())));
        assert_eq!((away.agrees, kinds(&away)), (false, vec![Kind::Away]));
    }
}
