//! Trust in a node's clock. A wrong clock may take hits into a wrong day, but it must not delete counts that are kept.
//!
//! A clock is believed near the moment at which it was last believed. Farther away it is doubted, until Redis, the
//! kernel, an operator or a day of running vouches for it. A jump of a running clock is judged by the same rule.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Day;

/// Farthest that a believed clock has gone on while no node ran.
const AHEAD_MAX: TimeDelta = TimeDelta::days(3);
/// Farthest that a believed clock has gone back.
const BEHIND_MAX: TimeDelta = TimeDelta::hours(1);
/// Farthest that Redis's clock and the node's are apart where Redis vouches.
const REDIS_APART_MAX: TimeDelta = TimeDelta::hours(1);
/// Time of running after which a doubted clock is believed.
const DOUBT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Time zones lie at most so far ahead of UTC, and so far behind.
const ZONE_AHEAD_MAX: TimeDelta = TimeDelta::hours(14);
const ZONE_BEHIND_MAX: TimeDelta = TimeDelta::hours(12);

/// The newest day with hits of a node's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestDay {
    pub day: Day,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

impl NewestDay {
    /// The day of a site. Without a zone, of a site that is no longer configured, it is as long as in all zones.
    pub fn of(day: Day, zone: Option<Tz>) -> Self {
        let (starts_at, ends_at) = match zone {
            Some(zone) => (day.previous().ends_at(zone), day.ends_at(zone)),
            None => (day.previous().ends_at(Tz::UTC) - ZONE_AHEAD_MAX, day.ends_at(Tz::UTC) + ZONE_BEHIND_MAX),
        };
        Self { day, starts_at, ends_at }
    }

    /// The newest of two sites' days.
    pub fn or_newer(self, other: Self) -> Self {
        Self {
            day: self.day.max(other.day),
            starts_at: self.starts_at.max(other.starts_at),
            ends_at: self.ends_at.max(other.ends_at),
        }
    }
}

/// The file's record of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockRecord {
    /// The moment at which the clock was last believed.
    pub believed_at: DateTime<Utc>,
    /// No day with hits was newer then.
    pub newest_day: Day,
}

impl ClockRecord {
    /// The record of a clock that is believed now.
    pub fn of(now: DateTime<Utc>, newest: Option<NewestDay>) -> Self {
        let today = Day::at(now + ZONE_AHEAD_MAX, Tz::UTC);
        Self { believed_at: now, newest_day: newest.map_or(today, |newest| today.max(newest.day)) }
    }
}

/// Moments between which a right clock stood last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reference {
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
}

impl Reference {
    fn at(moment: DateTime<Utc>) -> Self {
        Self { earliest: moment, latest: moment }
    }

    /// The same, some time later.
    fn after(self, elapsed: Duration) -> Self {
        let elapsed = TimeDelta::from_std(elapsed).unwrap_or_default();
        Self { earliest: self.earliest + elapsed, latest: self.latest + elapsed }
    }

    fn doubt(self, now: DateTime<Utc>) -> Option<Doubt> {
        if now < self.earliest - BEHIND_MAX {
            Some(Doubt::Behind { of: self.earliest })
        } else if now > self.latest + AHEAD_MAX {
            Some(Doubt::Ahead { of: self.latest })
        } else {
            None
        }
    }
}

/// Reason to doubt a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    Ahead { of: DateTime<Utc> },
    Behind { of: DateTime<Utc> },
}

impl Doubt {
    /// The doubt about a clock that says `now`, and what to do.
    pub fn in_words(self, now: DateTime<Utc>) -> String {
        let at = |moment: DateTime<Utc>| moment.format("%Y-%m-%d %H:%M UTC");
        let what = match self {
            Self::Ahead { of } => format!(
                "{} days past {}, until when this node's file knows a clock that was right",
                (now - of).num_days(),
                at(of)
            ),
            Self::Behind { of } => format!("before {}, which this node's file has reached", at(of)),
        };
        format!(
            "the clock says {}, {what}; hits count by this clock, and nothing is deleted; set the clock right, or, if it \
             is right, run `thongke clock accept`",
            at(now)
        )
    }
}

/// Reason to believe a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// It is near the moment at which it was last believed.
    Nearness,
    Redis,
    Kernel,
    /// A day of running.
    Patience,
    Operator,
}

impl Voucher {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Nearness => "it is near the days of this node's file again",
            Self::Redis => "Redis's clock agrees",
            Self::Kernel => "the kernel says that it is synchronised",
            Self::Patience => "the node has run with it for a day",
            Self::Operator => "an operator has accepted it",
        }
    }
}

/// Answer to an operator who accepts a clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The clock's time, in RFC 3339.
    pub accepted: String,
}

impl Accepted {
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { accepted: now.to_rfc3339_opts(SecondsFormat::Secs, true) }
    }
}

/// Outside witnesses of the time. They are asked only about a clock that is doubted.
pub trait Witnesses {
    /// Redis's time.
    fn redis(&self) -> Option<DateTime<Utc>>;
    /// The kernel's word: its clock, which says `now`, is synchronised.
    fn kernel(&self, now: DateTime<Utc>) -> bool;
}

/// The witness that vouches for a clock; none if no one does.
pub fn vouched(now: DateTime<Utc>, witnesses: &impl Witnesses) -> Option<Voucher> {
    let agrees = |redis: DateTime<Utc>| (redis - now).abs() <= REDIS_APART_MAX;
    if witnesses.redis().is_some_and(agrees) {
        return Some(Voucher::Redis);
    }
    witnesses.kernel(now).then_some(Voucher::Kernel)
}

/// The doubt about a clock, given what a file knows; none about the clock of an empty file.
pub fn doubt(now: DateTime<Utc>, record: Option<ClockRecord>, newest: Option<NewestDay>) -> Option<Doubt> {
    reference(record, newest).and_then(|reference| reference.doubt(now))
}

fn reference(record: Option<ClockRecord>, newest: Option<NewestDay>) -> Option<Reference> {
    match (record, newest) {
        (None, None) => None,
        (None, Some(newest)) => Some(Reference { earliest: newest.starts_at, latest: newest.ends_at }),
        (Some(record), newest) => {
            let mut reference = Reference::at(record.believed_at);
            // Hits of a later day were counted after the clock was last believed, perhaps by a clock that was not.
            if let Some(newest) = newest.filter(|newest| newest.day > record.newest_day) {
                reference.earliest = reference.earliest.max(newest.starts_at);
            }
            Some(reference)
        }
    }
}

/// A moment by the wall clock, and by the clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub now: DateTime<Utc>,
    pub since_boot: Duration,
}

/// Opinion of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Believed,
    Doubted(Doubt),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The file has no hits of a run, so there is nothing to judge a clock by.
    NoHits,
    /// The reference, at a time since boot.
    Reference(Reference, Duration),
}

/// Trust in the clock of a running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockTrust {
    known: Known,
    record: Option<ClockRecord>,
    /// Time since boot.
    doubted_since: Option<Duration>,
}

/// A changed opinion, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Doubted(Doubt),
    Believed(Voucher),
}

impl ClockTrust {
    /// Trust at the start, by what the file knows.
    pub fn new(record: Option<ClockRecord>, newest: Option<NewestDay>, has_hits: bool, since_boot: Duration) -> Self {
        let reference = reference(record, newest).filter(|_| has_hits);
        let known = reference.map_or(Known::NoHits, |reference| Known::Reference(reference, since_boot));
        Self { known, record, doubted_since: None }
    }

    /// Takes the newest day that the file had at the start, which is read later.
    pub fn learn(&mut self, newest: Option<NewestDay>) {
        if let (Known::Reference(known, _), Some(found)) = (&mut self.known, reference(self.record, newest)) {
            known.earliest = known.earliest.max(found.earliest);
        }
    }

    /// Notes that the file has hits now.
    pub fn note_hits(&mut self, moment: Moment) {
        if self.known == Known::NoHits {
            self.believe(moment);
        }
    }

    pub fn has_hits(&self) -> bool {
        self.known != Known::NoHits
    }

    /// Judges the clock; the change is none if the opinion is the one before.
    pub fn judge(&mut self, moment: Moment, witnesses: &impl Witnesses) -> (Verdict, Option<Change>) {
        let (reference, at) = match self.known {
            Known::NoHits => return (Verdict::Believed, None),
            Known::Reference(reference, at) => (reference, at),
        };
        let elapsed = moment.since_boot.saturating_sub(at);
        let doubt = reference.after(elapsed).doubt(moment.now);
        let Some(doubt) = doubt else {
            let change = self.doubted_since.map(|_| Change::Believed(Voucher::Nearness));
            self.believe(moment);
            return (Verdict::Believed, change);
        };
        let has_waited = |since: Duration| moment.since_boot.saturating_sub(since) >= DOUBT_MAX;
        let patience = self.doubted_since.is_some_and(has_waited).then_some(Voucher::Patience);
        if let Some(voucher) = vouched(moment.now, witnesses).or(patience) {
            self.believe(moment);
            return (Verdict::Believed, Some(Change::Believed(voucher)));
        }
        let is_news = self.doubted_since.is_none();
        self.doubted_since.get_or_insert(moment.since_boot);
        (Verdict::Doubted(doubt), is_news.then_some(Change::Doubted(doubt)))
    }

    /// Believes the clock as it stands.
    pub fn believe(&mut self, moment: Moment) {
        self.known = Known::Reference(Reference::at(moment.now), moment.since_boot);
        self.doubted_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: Tz = Tz::Asia__Ho_Chi_Minh;

    #[derive(Default)]
    struct Says {
        redis: Option<DateTime<Utc>>,
        kernel: bool,
    }

    impl Witnesses for Says {
        fn redis(&self) -> Option<DateTime<Utc>> {
            self.redis
        }

        fn kernel(&self, _: DateTime<Utc>) -> bool {
            self.kernel
        }
    }

    const NOBODY: Says = Says { redis: None, kernel: false };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn newest(day: u32) -> NewestDay {
        NewestDay::of(Day::from_ymd(2024, 6, day).unwrap(), Some(ZONE))
    }

    fn record(text: &str) -> ClockRecord {
        ClockRecord::of(at(text), None)
    }

    fn is_ahead(doubt: Option<Doubt>) -> bool {
        matches!(doubt, Some(Doubt::Ahead { .. }))
    }

    fn is_behind(doubt: Option<Doubt>) -> bool {
        matches!(doubt, Some(Doubt::Behind { .. }))
    }

    #[test]
    fn a_file_without_a_record_believes_from_its_newest_day_to_three_days_past_it() {
        // In Viet Nam the 17th is from 17:00 of the 16th to 17:00 of the 17th, UTC.
        let doubt = |now: &str| doubt(at(now), None, Some(newest(17)));
        assert!(is_behind(doubt("2024-06-16T15:59:59Z")));
        for near in ["2024-06-16T16:00:00Z", "2024-06-17T10:00:00Z", "2024-06-20T17:00:00Z"] {
            assert_eq!(doubt(near), None, "{near}");
        }
        assert!(is_ahead(doubt("2024-06-20T17:00:01Z")));
        assert_eq!(super::doubt(at("1970-01-01T00:00:00Z"), None, None), None, "an empty file believes");
    }

    #[test]
    fn a_record_counts_for_more_than_days_that_a_doubted_clock_has_counted() {
        let record = record("2024-06-17T03:00:00Z");
        let doubt = |now: &str, day| doubt(at(now), Some(record), Some(newest(day)));
        // Hits of the 30th were counted by a clock that nobody believed: it is doubted again.
        assert!(is_ahead(doubt("2024-06-30T03:00:00Z", 30)));
        // The right clock is before the file's newest day, and that is reported.
        assert!(is_behind(doubt("2024-06-17T05:00:00Z", 30)));
        assert_eq!(doubt("2024-06-17T05:00:00Z", 17), None);
        assert_eq!(doubt("2024-06-17T02:00:00Z", 17), None);
        assert!(is_behind(doubt("2024-06-17T01:59:59Z", 17)));
        // Once the clock was believed beside such days, they are no reason to doubt it again.
        let accepted = ClockRecord::of(at("2024-06-17T05:00:00Z"), Some(newest(30)));
        assert_eq!(super::doubt(at("2024-06-18T05:00:00Z"), Some(accepted), Some(newest(30))), None);
    }

    #[test]
    fn a_site_that_is_not_configured_has_the_longest_of_days() {
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let of_any = NewestDay::of(day, None);
        for zone in [Tz::Pacific__Kiritimati, Tz::Etc__GMTPlus12, ZONE] {
            let of_zone = NewestDay::of(day, Some(zone));
            assert!(of_any.starts_at <= of_zone.starts_at && of_any.ends_at >= of_zone.ends_at, "{zone}");
        }
        assert_eq!(newest(16).or_newer(newest(17)), newest(17));
    }

    #[test]
    fn redis_vouches_within_an_hour_and_the_kernel_if_it_is_synchronised() {
        let now = at("2024-08-01T12:00:00Z");
        let says = |redis: Option<&str>, kernel| vouched(now, &Says { redis: redis.map(at), kernel });
        assert_eq!(says(None, false), None);
        assert_eq!(says(Some("2024-08-01T13:00:00Z"), false), Some(Voucher::Redis));
        assert_eq!(says(Some("2024-08-01T11:00:00Z"), false), Some(Voucher::Redis));
        assert_eq!(says(Some("2024-08-01T13:00:01Z"), false), None);
        assert_eq!(says(Some("2024-06-17T12:00:00Z"), true), Some(Voucher::Kernel));
    }

    fn moment(now: &str, since_boot_h: u64) -> Moment {
        Moment { now: at(now), since_boot: Duration::from_secs(since_boot_h * 3_600) }
    }

    #[test]
    fn a_start_far_ahead_is_doubted_until_the_node_has_run_for_a_day() {
        let mut trust = ClockTrust::new(Some(record("2024-06-17T03:00:00Z")), None, true, Duration::ZERO);
        let (verdict, change) = trust.judge(moment("2024-08-01T03:00:00Z", 0), &NOBODY);
        let Verdict::Doubted(doubt) = verdict else { panic!("{verdict:?}") };
        assert_eq!(change, Some(Change::Doubted(doubt)));
        let words = doubt.in_words(at("2024-08-01T03:00:00Z"));
        assert!(words.contains("45 days past 2024-06-17 03:00 UTC") && words.contains("clock accept"), "{words}");
        let (verdict, change) = trust.judge(moment("2024-08-02T02:00:00Z", 23), &NOBODY);
        assert!(matches!(verdict, Verdict::Doubted(_)) && change.is_none(), "one warning is enough");
        let believed = (Verdict::Believed, Some(Change::Believed(Voucher::Patience)));
        assert_eq!(trust.judge(moment("2024-08-02T03:00:00Z", 24), &NOBODY), believed);
        assert_eq!(trust.judge(moment("2024-08-02T04:00:00Z", 25), &NOBODY), (Verdict::Believed, None));
    }

    #[test]
    fn each_voucher_ends_a_doubt() {
        let doubted = || {
            let mut trust = ClockTrust::new(Some(record("2024-06-17T03:00:00Z")), None, true, Duration::ZERO);
            assert!(matches!(trust.judge(moment("2024-08-01T03:00:00Z", 0), &NOBODY).0, Verdict::Doubted(_)));
            trust
        };
        let redis = Says { redis: Some(at("2024-08-01T03:10:00Z")), ..Says::default() };
        let kernel = Says { kernel: true, ..Says::default() };
        for (says, voucher) in [(redis, Voucher::Redis), (kernel, Voucher::Kernel)] {
            let outcome = doubted().judge(moment("2024-08-01T03:00:00Z", 0), &says);
            assert_eq!(outcome, (Verdict::Believed, Some(Change::Believed(voucher))));
        }
        let mut corrected = doubted();
        let outcome = corrected.judge(moment("2024-06-17T03:30:00Z", 0), &NOBODY);
        assert_eq!(outcome, (Verdict::Believed, Some(Change::Believed(Voucher::Nearness))));
        let mut accepted = doubted();
        accepted.believe(moment("2024-08-01T03:00:00Z", 0));
        assert_eq!(accepted.judge(moment("2024-08-01T04:00:00Z", 1), &NOBODY), (Verdict::Believed, None));
    }

    #[test]
    fn a_jump_of_a_running_clock_is_what_the_time_since_boot_does_not_explain() {
        let start = || {
            let mut trust = ClockTrust::new(Some(record("2024-06-17T03:00:00Z")), None, true, Duration::ZERO);
            assert_eq!(trust.judge(moment("2024-06-17T03:00:00Z", 0), &NOBODY), (Verdict::Believed, None));
            trust
        };
        // A machine that slept for ten days.
        assert_eq!(start().judge(moment("2024-06-27T03:00:00Z", 240), &NOBODY).0, Verdict::Believed);
        assert!(matches!(start().judge(moment("2024-06-27T03:00:00Z", 1), &NOBODY).0, Verdict::Doubted(_)));
        assert!(matches!(start().judge(moment("2024-06-17T01:00:00Z", 1), &NOBODY).0, Verdict::Doubted(_)));
        assert_eq!(start().judge(moment("2024-06-20T03:00:00Z", 1), &NOBODY).0, Verdict::Believed);
    }

    #[test]
    fn an_empty_file_believes_and_a_file_without_a_record_goes_by_its_newest_day() {
        let mut empty = ClockTrust::new(None, None, false, Duration::ZERO);
        assert_eq!(empty.judge(moment("1970-01-01T00:00:00Z", 0), &NOBODY), (Verdict::Believed, None));
        assert_eq!(empty.judge(moment("2024-06-17T03:00:00Z", 1), &NOBODY), (Verdict::Believed, None));
        empty.note_hits(moment("2024-06-17T03:00:00Z", 1));
        assert!(empty.has_hits());
        assert!(matches!(empty.judge(moment("2024-08-01T03:00:00Z", 2), &NOBODY).0, Verdict::Doubted(_)));
        let mut old = ClockTrust::new(None, Some(newest(17)), true, Duration::ZERO);
        assert!(matches!(old.judge(moment("2024-08-01T03:00:00Z", 0), &NOBODY).0, Verdict::Doubted(_)));
        // Only an import: there is no newest day.
        let mut imported = ClockTrust::new(None, None, true, Duration::ZERO);
        assert_eq!(imported.judge(moment("2024-08-01T03:00:00Z", 0), &NOBODY).0, Verdict::Believed);
    }

    #[test]
    fn days_that_were_counted_after_the_record_are_learned_after_the_start() {
        let mut trust = ClockTrust::new(Some(record("2024-06-17T03:00:00Z")), None, true, Duration::ZERO);
        assert_eq!(trust.judge(moment("2024-06-17T04:00:00Z", 0), &NOBODY).0, Verdict::Believed);
        trust.learn(Some(newest(30)));
        assert!(matches!(trust.judge(moment("2024-06-17T04:00:00Z", 0), &NOBODY).0, Verdict::Doubted(_)));
    }
}
