//! What stands in Redis, and under which names. `{site}` in braces is the hash tag: all keys of a
//! site live in one slot, so that one script call can touch them.
//!
//! **`PREFIX:{SITE}:hits`**, a hash: the site's own counters and what they were made from, in one
//! key, so that no loss of a key can part them.
//!
//! | field | value |
//! |---|---|
//! | `PERIOD` | the shared counter: the sum of the contributions below |
//! | `PERIOD SOURCE` | what a source contributed: `HITS` of a run, `GENERATION HITS` of an import |
//! | `writes SOURCE` | how many calls have changed anything of the source in this site, pages too |
//!
//! **`PREFIX:{SITE}:pages:PERIOD`**, a sorted set for days, months and `total`; days and months
//! expire.
//!
//! | member | score |
//! |---|---|
//! | a page's address | the shared counter |
//! | `\x01SOURCE\x01PAGEID` | minus what a source contributed |
//! | `\x01SOURCE\x01PAGEID\x01g` | minus the generation of that, for imports |
//! | `\x01SOURCE\x01` | the marker: all that the source has for this key is in it (-1), or is being brought (-2) |
//!
//! Scores of what is no page are negative, so that the highest scores are pages; only an import's
//! negative count makes a positive one. `\x01` begins no page's address.
//!
//! Why `writes` and markers: they tell whether Redis forgot something. A Redis that goes back to an
//! earlier state goes back in `writes` too, whichever key the last call changed; a key that is lost
//! alone takes its markers along.
//!
//! **`PREFIX:{SITE}:titles`**, a hash: a page's address → `MILLISECONDS TITLE`, what the page called
//! itself last, and when. Of several the latest holds. It is no count: a title that is lost is
//! brought again by the page's next reader.
//!
//! **`PREFIX:{SITE}:visitors:DAY`**, **`PREFIX:{SITE}:online:MINUTE`**, HyperLogLogs of the visitors
//! of a day, and of a minute since 1970-01-01T00:00Z, merged from all nodes' (see `visitors/merge.lua`). In
//! a day's first minutes there is also `…:online:MINUTE:DAY` of the day before: its visitors under
//! that day's salt. A day's expires when it is no longer yesterday, plus a day; a minute's soon.
//!
//! **`PREFIX:{SITE}:visitors`**, a hash: day → how many visitors it had, about; kept for ever. Nodes
//! write it by the maximum.
//!
//! **`PREFIX:{SITE}:salt:DAY`**, a string: the salt of visitors' keys, in 32 hexadecimal digits, of
//! whichever node was first; expires a few minutes after the day. Agreed on a day ahead.
//!
//! **`PREFIX:{SITE}:meta`**, a hash: what nodes must agree on before they count into the same keys.

use chrono::{NaiveTime, TimeZone as _};

use crate::counter::{
    Contribution, Day, Minute, PageAddress, PageTitle, Period, Register, Site, SiteId, Source, Window,
};

/// Changes with every change of this file that an older program would misread.
pub const VERSION: u32 = 1;

/// Numbers in Lua and scores are doubles: integers are exact up to here.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// Names of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn hits(&self, site: &SiteId) -> String {
        format!("{}:{{{site}}}:hits", self.prefix)
    }

    pub fn pages(&self, site: &SiteId, period: Period) -> String {
        format!("{}:{{{site}}}:pages:{period}", self.prefix)
    }

    pub fn titles(&self, site: &SiteId) -> String {
        format!("{}:{{{site}}}:titles", self.prefix)
    }

    /// Written and deleted again by those who want to know whether they may.
    pub fn probe(&self) -> String {
        format!("{}:{{check}}:probe", self.prefix)
    }

    pub fn sketch(&self, site: &Site, window: Window) -> String {
        let Self { prefix } = self;
        let Site { id, time_zone, .. } = site;
        match window.minute.map(Minute::number) {
            None => format!("{prefix}:{{{id}}}:visitors:{}", window.day),
            Some(minute) if window.is_earlier(*time_zone) => {
                format!("{prefix}:{{{id}}}:online:{minute}:{}", window.day)
            }
            Some(minute) => format!("{prefix}:{{{id}}}:online:{minute}"),
        }
    }

    /// Where a sketch stands while it is merged; no other client ever sees it.
    pub fn merging(&self, site: &SiteId) -> String {
        format!("{}:{{{site}}}:visitors:merging", self.prefix)
    }

    pub fn estimates(&self, site: &SiteId) -> String {
        format!("{}:{{{site}}}:visitors", self.prefix)
    }

    pub fn salt(&self, site: &SiteId, day: Day) -> String {
        format!("{}:{{{site}}}:salt:{day}", self.prefix)
    }

    pub fn meta(&self, site: &SiteId) -> String {
        format!("{}:{{{site}}}:meta", self.prefix)
    }
}

pub fn contribution_field(period: Period, source: &Source) -> String {
    format!("{period} {source}")
}

pub fn writes_field(source: &Source) -> String {
    format!("writes {source}")
}

pub fn marker(source: &Source) -> String {
    format!("\x01{source}\x01")
}

pub fn contribution_member(source: &Source, page: &PageAddress) -> String {
    format!("\x01{source}\x01{}", page.id())
}

pub fn generation_member(source: &Source, page: &PageAddress) -> String {
    format!("\x01{source}\x01{}\x01g", page.id())
}

/// A contribution out of the hash of hits; none for any other field, and for what nobody of this
/// version wrote.
pub fn contribution(field: &str, value: &str) -> Option<Contribution> {
    let (period, source) = field.split_once(' ')?;
    let source: Source = source.parse().ok()?;
    let register = register(&source, value)?;
    Some(Contribution { source, period: period.parse().ok()?, page: None, register })
}

pub fn register(source: &Source, value: &str) -> Option<Register> {
    match source {
        Source::Run(_) => integer(value).map(Register::Grown),
        Source::Import(_) => {
            let (generation, hits) = value.split_once(' ')?;
            let generation = u64::try_from(integer(generation)?).ok()?;
            Some(Register::Written { generation, hits: integer(hits)? })
        }
    }
}

pub fn register_text(register: Register) -> String {
    match register {
        Register::Grown(hits) => hits.to_string(),
        Register::Written { generation, hits } => format!("{generation} {hits}"),
    }
}

/// A title, and the millisecond in which it was given.
pub fn title(value: &str) -> Option<(i64, PageTitle)> {
    let (given, title) = value.split_once(' ')?;
    Some((integer(given)?, PageTitle::of(title)?))
}

/// A whole number that is exact in Redis.
pub fn integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.unsigned_abs() <= EXACT_MAX.unsigned_abs())
}

/// The Unix second at which the pages' key of a period expires: the same whoever sets it. None for
/// the total, which is kept for ever.
pub fn expiry(site: &Site, period: Period) -> Option<i64> {
    let day_after = site.page_retention.last_day_kept(period)?.next();
    let midnight = day_after.date().and_time(NaiveTime::MIN);
    // A zone whose clocks skip this midnight: as if they had not, which is close enough.
    let second = site
        .time_zone
        .from_local_datetime(&midnight)
        .earliest()
        .map_or_else(|| midnight.and_utc().timestamp(), |time| time.timestamp());
    Some(second)
}

/// What every node that publishes a site must agree on, as fields of its `meta`.
pub fn agreement(site: &Site) -> [(&'static str, String); 4] {
    [
        ("layout", VERSION.to_string()),
        ("time_zone", site.time_zone.name().to_owned()),
        ("page_days", site.page_retention.days.to_string()),
        ("page_months", site.page_retention.months.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contribution_reads_as_it_is_written() {
        let run = contribution("2024-06-17 00000000000000ff", "42").unwrap();
        assert_eq!(run.register, Register::Grown(42));
        assert_eq!(contribution_field(run.period, &run.source), "2024-06-17 00000000000000ff");
        let import = contribution("total import:old", "1718600000000000 -3").unwrap();
        assert_eq!(import.register, Register::Written { generation: 1_718_600_000_000_000, hits: -3 });
    }

    #[test]
    fn what_is_no_contribution_is_passed_over() {
        for (field, value) in [
            ("2024-06-17", "42"),
            ("writes 00000000000000ff", "42"),
            ("total 00000000000000ff", "4x"),
            ("total 00000000000000ff", "9007199254740993"),
            ("total 00000000000000ff", "-9223372036854775808"),
            ("total import:old", "3"),
            ("total import:old", "-1 3"),
            ("total someone", "3"),
        ] {
            assert_eq!(contribution(field, value), None, "{field} {value}");
        }
    }

    #[test]
    fn the_pages_of_a_day_expire_after_their_retention_in_the_sites_own_zone() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        // Kept up to 27 July: gone at 28 July 00:00 in Vietnam.
        assert_eq!(expiry(&site, "2024-06-17".parse().unwrap()), Some(1_722_099_600));
        assert_eq!(expiry(&site, Period::Total), None);
    }
}
