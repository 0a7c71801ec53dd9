//! Keys in Redis and their contents. `{SITE}` in braces is the hash tag: all keys of a site live in one
//! slot, so that one script call can touch them. It is the id under which the site's counts are kept.
//!
//! **`PREFIX:{SITE}:hits`**, a hash: the site's own counters and their contributions, in one key, so that
//! no loss of a key can part them.
//!
//! | field | value |
//! |---|---|
//! | `PERIOD` | the shared counter: the sum of the contributions below |
//! | `PERIOD SOURCE` | a source's contribution: `HITS` of a run, `GENERATION HITS` of an import |
//! | `digest SOURCE` | the digest of the source's contributions above, see `counter/digest.rs` |
//!
//! **`PREFIX:{SITE}:pages:PERIOD`**, a sorted set for days, months and `total`; days and months
//! expire.
//!
//! | member | score |
//! |---|---|
//! | a page's address | the shared counter |
//! | `\x01SOURCE\x01PAGEID` | minus a source's contribution |
//! | `\x01SOURCE\x01PAGEID\x01g` | minus the contribution's generation, for imports |
//! | `\x01SOURCE\x01d` | -(1 + the digest of the source's contributions in this key) |
//!
//! Scores of other members than pages are negative, so that the highest scores are pages'. Only an
//! import's negative count makes a positive one. `\x01` begins no page's address.
//!
//! Digests show what Redis lacks, whatever it forgot and whenever: a node compares each with that of its
//! file's rows. A digest is in the key of its contributions, so they are lost or go back together.
//!
//! **`PREFIX:{SITE}:titles`**, a hash: a page's address → `MILLISECONDS TITLE`, the page's last title and
//! its time. Of several the latest holds. A title that is lost comes again with the page's next reader.
//! The field `\1` and the address → `MILLISECONDS LINK`, where the page's real address is another.
//!
//! **`PREFIX:{SITE}:visitors:DAY`**, **`PREFIX:{SITE}:online:MINUTE`**, HyperLogLogs of the visitors
//! of a day, and of a minute since 1970-01-01T00:00Z, merged from all nodes' (see `visitors/merge.lua`). In
//! a day's first minutes there is also `…:online:MINUTE:DAY` of the day before: its visitors under
//! that day's salt. A day's sketch expires a day after it is no longer yesterday's; a minute's soon.
//!
//! **`PREFIX:{SITE}:visitors`**, a hash: day → estimate of its visitors, kept for ever. Of several the
//! greatest holds.
//!
//! **`PREFIX:{SITE}:salt:DAY`**, a string: the salt of visitors' keys, in 32 hexadecimal digits. The first
//! node to write it decides, a day ahead. It expires a few minutes after the day.
//!
//! **`PREFIX:{SITE}:vouch:DAY`**, a hash: tags of the networks that have read something on a day, 8 hexadecimal digits
//! each, at most 5. The empty field is the site, a page's id a page that isn't vouched for, and `PAGEID HASH` a title of
//! a page. `\x01before` is the number of the site's networks on the day before. It expires with the day's salt, which
//! is the tags' key. A page with a counter in `pages:total` is vouched for.
//!
//! **`PREFIX:{SITE}:page_rules`**, a hash: `KIND PAGE` → `MILLISECONDS VALUE`, an editor's rule of a page, or `MILLISECONDS`
//! of one that is undone. Of several the one written last holds, and of two in one millisecond the greater value. Kinds
//! are `title`, `merge`, `hide` and `delete`; `VALUE` is the title, the page into which it is merged, or `1`.
//!
//! **`PREFIX:sites`**, a hash: `SITE` → `1`, of sites that were ever published, written with their `meta`. Only lists of
//! removed sites need it.
//! **`PREFIX:tokens`**, a hash: a token's name → `MILLISECONDS GRANT`, or `MILLISECONDS` of one that is revoked, as with
//! rules of pages. `GRANT` is JSON (`counter/tokens/grant.rs`), with a hash and nothing that opens anything. The field
//! `\x01stamp` has another value after each change, so that nodes need not read the rest.
//!
//! **`PREFIX:{SITE}:meta`**, a hash: settings on which nodes must agree before they count into the same
//! keys. Its field `page_rule` holds the highest version of the rule of page addresses by which any of them counts.

use crate::counter::vouching::Subject;
use crate::counter::{
    Contribution, Day, Digest, EditorRule, EditorToken, Minute, PageAddress, PageTitle, Period, Register, RuleKind,
    Site, SiteId, Source, Weight, Window,
};

/// Field of the tokens' key that changes with it.
pub const STAMP: &str = "\x01stamp";

/// Version of the layout: changes with every change that an older program would misread.
pub const VERSION: u32 = 2;

/// Numbers in Lua and scores are doubles: integers are exact up to here.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// Names of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    pub prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn of(&self, site: &SiteId, end: impl std::fmt::Display) -> String {
        format!("{}:{{{site}}}:{end}", self.prefix)
    }

    pub fn hits(&self, site: &SiteId) -> String {
        self.of(site, "hits")
    }

    pub fn pages(&self, site: &SiteId, period: Period) -> String {
        self.of(site, format_args!("pages:{period}"))
    }

    /// Key of counters: of pages, or the site's own.
    pub fn counters(&self, site: &SiteId, pages_of: Option<Period>) -> String {
        pages_of.map_or_else(|| self.hits(site), |period| self.pages(site, period))
    }

    pub fn titles(&self, site: &SiteId) -> String {
        self.of(site, "titles")
    }

    /// Key of all sites that were ever published.
    pub fn sites(&self) -> String {
        format!("{}:sites", self.prefix)
    }

    /// Key on which preflight tries commands; it is gone afterwards.
    pub fn probe(&self) -> String {
        format!("{}:{{check}}:probe", self.prefix)
    }

    pub fn sketch(&self, site: &Site, window: Window) -> String {
        let Site { counted_as: id, time_zone, .. } = site;
        match window.minute.map(Minute::number) {
            None => self.of(id, format_args!("visitors:{}", window.day)),
            Some(minute) if window.is_earlier(*time_zone) => {
                self.of(id, format_args!("online:{minute}:{}", window.day))
            }
            Some(minute) => self.of(id, format_args!("online:{minute}")),
        }
    }

    /// Place of a sketch while it is merged; no other client ever sees it.
    pub fn merging(&self, site: &SiteId) -> String {
        self.of(site, "visitors:merging")
    }

    pub fn estimates(&self, site: &SiteId) -> String {
        self.of(site, "visitors")
    }

    pub fn salt(&self, site: &SiteId, day: Day) -> String {
        self.of(site, format_args!("salt:{day}"))
    }

    pub fn votes(&self, site: &SiteId, day: Day) -> String {
        format!("{}:{{{site}}}:vouch:{day}", self.prefix)
    }

    pub fn page_rules(&self, site: &SiteId) -> String {
        self.of(site, "page_rules")
    }

    /// Key of editors' tokens, which belong to no site.
    pub fn tokens(&self) -> String {
        format!("{}:tokens", self.prefix)
    }

    pub fn meta(&self, site: &SiteId) -> String {
        self.of(site, "meta")
    }
}

pub fn contribution_field(period: Period, source: &Source) -> String {
    format!("{period} {source}")
}

/// Name of a source's digest in the hash of hits, or in a key of pages.
pub fn digest_name(pages_of: Option<Period>, source: &Source) -> String {
    match pages_of {
        None => format!("digest {source}"),
        Some(_) => format!("\x01{source}\x01d"),
    }
}

/// Digest that is kept as this value; none if the value is no digest.
pub fn digest(pages_of: Option<Period>, value: &str) -> Option<Digest> {
    let number = match pages_of {
        None => integer(value)?,
        Some(_) => -score(value)? - 1,
    };
    Digest::from_number(u64::try_from(number).ok()?)
}

/// Value under which a digest is kept.
pub fn digest_text(pages_of: Option<Period>, digest: Digest) -> String {
    match pages_of {
        None => digest.number().to_string(),
        Some(_) => format!("-{}", digest.number() + 1),
    }
}

pub fn contribution_member(source: &Source, page: &PageAddress) -> String {
    member(source, &page.id())
}

pub fn generation_member(source: &Source, page: &PageAddress) -> String {
    member(source, &page.id()) + GENERATION
}

fn member(source: &Source, page_id: &str) -> String {
    format!("\x01{source}\x01{page_id}")
}

/// Behind a contribution's name.
const GENERATION: &str = "\x01g";

/// Names of a contribution in its key: one, or two of an import's page, whose generation stands apart.
pub fn contribution_names(period: Period, page: Option<&PageAddress>, source: &Source) -> Vec<String> {
    match page {
        None => vec![contribution_field(period, source)],
        Some(page) => contribution_members(&page.id(), source),
    }
}

/// The same of the page with this id, which many periods share.
pub fn contribution_members(page_id: &str, source: &Source) -> Vec<String> {
    let contribution = member(source, page_id);
    match source {
        Source::Run(_) => vec![contribution],
        Source::Import(_) => {
            let generation = [&contribution, GENERATION].concat();
            vec![contribution, generation]
        }
    }
}

/// Contribution with the values of these names, if there is one; none if a value is no count.
pub fn contributed(
    is_page: bool,
    source: &Source,
    values: &mut impl Iterator<Item = Option<String>>,
) -> Option<Option<Register>> {
    let value = values.next()?;
    let generation = if is_page && matches!(source, Source::Import(_)) { values.next()? } else { None };
    let Some(value) = value else { return Some(None) };
    if is_page { member_register(source, &value, generation.as_deref()) } else { register(source, &value) }.map(Some)
}

/// Counter and its contributions, of whose names these are the values; none if a value is no count.
pub fn counter<'a>(
    is_page: bool,
    sources: impl Iterator<Item = &'a Source>,
    values: &mut impl Iterator<Item = Option<String>>,
) -> Option<(i64, Vec<Option<Register>>)> {
    let total = values.next()?;
    let total = total.map_or(Some(0), |total| if is_page { score(&total) } else { integer(&total) })?;
    Some((total, sources.map(|source| contributed(is_page, source, values)).collect::<Option<_>>()?))
}

/// Contribution in the hash of hits; none for any other field, and for values that this version never
/// writes.
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

/// Contribution to a page, with its generation if it has one.
pub fn member_register(source: &Source, value: &str, generation: Option<&str>) -> Option<Register> {
    let hits = -score(value)?;
    let generation = || generation.map_or(Some(0), |generation| u64::try_from(-score(generation)?).ok());
    Some(match source {
        Source::Run(_) => Register::Grown(hits),
        Source::Import(_) => Register::Written { generation: generation()?, hits },
    })
}

pub fn register_text(register: Register) -> String {
    match register {
        Register::Grown(hits) => hits.to_string(),
        Register::Written { generation, hits } => format!("{generation} {hits}"),
    }
}

/// Field of a vote. The hash is the same on every node.
pub fn vote_field(subject: &Subject) -> String {
    match subject {
        Subject::Site => String::new(),
        Subject::Page(page) => page.id(),
        Subject::Title(page, title, _) => {
            let [first, second] = Weight::of_id(title.as_str(), &page.id()).residues();
            format!("{} {first:07x}{second:07x}", page.id())
        }
    }
}

/// Field of a page's link, beside its title. No address begins so.
pub fn link_field(page: &PageAddress) -> String {
    format!("\u{1}{page}")
}

/// Title with its page's link, and the millisecond in which it was given. A link of another millisecond is of an
/// earlier title.
pub fn title(value: &str, link: Option<&str>) -> Option<(i64, PageTitle)> {
    let (given, title) = value.split_once(' ')?;
    let link = link.and_then(|link| link.split_once(' ')).filter(|(of, _)| *of == given).map(|(_, link)| link);
    Some((integer(given)?, PageTitle::of(title)?.with_link(link)))
}

/// Field of an editor's rule.
pub fn rule_field(kind: RuleKind, page: &PageAddress) -> String {
    format!("{kind} {page}")
}

/// Editor's rule that a field holds; none if this version writes no such rule.
pub fn rule(field: &str, value: &str) -> Option<EditorRule> {
    let (kind, page) = field.split_once(' ')?;
    let (given, value) = register_parts(value);
    EditorRule::stored(page, kind, value, integer(given)?)
}

/// Editor's token that a field holds; none if this version writes no such token.
pub fn token(field: &str, value: &str) -> Option<EditorToken> {
    let (given, value) = register_parts(value);
    EditorToken::stored(field, value, integer(given)?)
}

/// Time and value of a register.
fn register_parts(written: &str) -> (&str, Option<&str>) {
    match written.split_once(' ') {
        Some((given, value)) => (given, Some(value)),
        None => (written, None),
    }
}

/// Whole number that is exact in Redis.
pub fn integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.unsigned_abs() <= EXACT_MAX.unsigned_abs())
}

/// Whole number that is kept as a score.
pub fn score(text: &str) -> Option<i64> {
    whole(text.parse::<f64>().ok()?)
}

/// Score that is a whole number.
pub fn whole(score: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
    (score.fract() == 0.0 && score.abs() <= EXACT_MAX as f64).then_some(score as i64)
}

/// Unix second at which the pages' key of a period expires, the same on every node. None for the total,
/// which is kept for ever.
pub fn expiry(site: &Site, period: Period) -> Option<i64> {
    let last_day = site.page_retention.last_day_kept(period)?;
    Some(last_day.ends_at(site.time_zone).timestamp())
}

/// Settings on which all nodes of a site must agree, as fields of its `meta`.
pub fn agreement(site: &Site) -> [(&'static str, String); 4] {
    [
        ("layout", VERSION.to_string()),
        ("time_zone", site.time_zone.name().to_owned()),
        ("page_days", site.page_retention.days.to_string()),
        ("page_months", site.page_retention.months.to_string()),
    ]
}

/// Field of `meta` with the highest version of the rule of page addresses.
pub const PAGE_RULE: &str = "page_rule";

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
    fn a_rule_reads_as_it_is_written_and_other_fields_are_passed_over() {
        let read = rule("title /tin tức", "1718600000000 Tin  mới");
        assert_eq!(read, None, "no title has two spaces");
        let read = rule("title /tin", "1718600000000 Tin mới").unwrap();
        assert_eq!((read.value.as_deref(), read.given_ms), (Some("Tin mới"), 1_718_600_000_000));
        assert_eq!(rule_field(read.kind, &read.page), "title /tin");
        assert_eq!(rule("hide /tin", "7").unwrap().value, None);
        for (field, value) in
            [("reset ", "7 1"), ("hide", "7 1"), ("hide /a", "x 1"), ("hide /a", "9007199254740993 1")]
        {
            assert_eq!(rule(field, value), None, "{field} {value}");
        }
    }

    #[test]
    fn fields_that_are_no_contributions_are_passed_over() {
        for (field, value) in [
            ("2024-06-17", "42"),
            ("digest 00000000000000ff", "2"),
            ("x import:old", "1 1"),
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

    #[test]
    fn all_keys_of_a_site_have_its_hash_tag_and_their_published_names() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let keys = Keys::new("p");
        for (name, end) in [
            (keys.hits(&site.counted_as), "hits"),
            (keys.pages(&site.counted_as, Period::Total), "pages:total"),
            (keys.pages(&site.counted_as, day.month()), "pages:2024-06"),
            (keys.titles(&site.counted_as), "titles"),
            (keys.sketch(&site, Window { day, minute: None }), "visitors:2024-06-17"),
            (keys.merging(&site.counted_as), "visitors:merging"),
            (keys.estimates(&site.counted_as), "visitors"),
            (keys.salt(&site.counted_as, day), "salt:2024-06-17"),
            (keys.page_rules(&site.counted_as), "page_rules"),
            (keys.meta(&site.counted_as), "meta"),
        ] {
            assert_eq!(name, format!("p:{{demo}}:{end}"));
        }
        assert_eq!((keys.probe(), keys.sites()), ("p:{check}:probe".to_owned(), "p:sites".to_owned()));
        assert_eq!(keys.probe(), "p:{check}:probe");
        assert_eq!(keys.tokens(), "p:tokens");
        let source = Source::Run(255);
        let page = PageAddress::from_stored("/a");
        let day = Some(Period::Day(day));
        assert_eq!(digest_name(None, &source), "digest 00000000000000ff");
        assert_eq!(digest_name(day, &source), "\x0100000000000000ff\x01d");
        assert_eq!(contribution_member(&source, &page), format!("\x0100000000000000ff\x01{}", page.id()));
        assert_eq!(generation_member(&source, &page), format!("\x0100000000000000ff\x01{}\x01g", page.id()));
    }

    #[test]
    fn a_digest_reads_as_it_is_written() {
        for number in [0, 1, (1 << 52) - 1_000_000_000] {
            let kept = Digest::from_number(number).unwrap();
            for pages_of in [None, Some(Period::Total)] {
                assert_eq!(digest(pages_of, &digest_text(pages_of, kept)), Some(kept));
            }
        }
        assert_eq!(digest_text(Some(Period::Total), Digest::default()), "-1", "no page has a score below zero");
        assert_eq!((digest(None, "-1"), digest(Some(Period::Total), "0"), digest(None, "x")), (None, None, None));
    }

    #[test]
    fn a_title_keeps_its_spaces_and_needs_its_time() {
        let (given_ms, text) = title("1718600000000 Tin tức mới", Some("1718600000000 /Tin/")).unwrap();
        assert_eq!((given_ms, text.as_str()), (1_718_600_000_000, "Tin tức mới"));
        assert_eq!(text.link(), Some("/Tin/"));
        // A title without a link came later; or the link did.
        for other in ["1718599999999 /Tin/", "1718600000001 /Tin/", "/Tin/"] {
            assert_eq!(title("1718600000000 Tin", Some(other)).unwrap().1.link(), None, "{other}");
        }
        assert_eq!(title("Tin tức", None), None);
        assert_eq!(title("1718600000000", None), None);
    }

    #[test]
    fn a_minute_under_the_day_before_has_a_key_of_its_own() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let keys = Keys::new("t");
        let [day, next] = [17, 18].map(|day| Day::from_ymd(2024, 6, day).unwrap());
        let minute = Minute::at("2024-06-17T17:02:00Z".parse().unwrap());
        let number = minute.number();
        assert_eq!(keys.sketch(&site, Window::of_minute(next, minute)), format!("t:{{demo}}:online:{number}"));
        assert_eq!(
            keys.sketch(&site, Window::of_minute(day, minute)),
            format!("t:{{demo}}:online:{number}:2024-06-17")
        );
    }

    #[test]
    fn a_pages_counter_is_read_with_its_contributions_of_which_an_imports_has_two_names() {
        let sources = [Source::Run(1), "import:old".parse().unwrap()];
        let page = PageAddress::from_stored("/a");
        let names = sources.iter().map(|source| contribution_names(Period::Total, Some(&page), source).len());
        assert_eq!(names.collect::<Vec<_>>(), [1, 2]);
        let read = |texts: &[&str]| {
            let mut values = texts.iter().map(|text| Some((*text).to_owned()).filter(|text| !text.is_empty()));
            counter(true, sources.iter(), &mut values)
        };
        let written = Register::Written { generation: 7, hits: 3 };
        assert_eq!(read(&["9", "-6", "-3", "-7"]), Some((9, vec![Some(Register::Grown(6)), Some(written)])));
        assert_eq!(read(&["", "", "", ""]), Some((0, vec![None, None])));
        for unreadable in [["x", "", "", ""], ["9", "1.5", "", ""], ["9", "", "-3", "7"]] {
            assert_eq!(read(&unreadable), None, "{unreadable:?}");
        }
        assert_eq!(read(&["9", "-6", "-3"]), None, "too short");
    }

    #[test]
    fn a_register_reads_as_it_is_written() {
        assert_eq!(register_text(Register::Grown(42)), "42");
        assert_eq!(register_text(Register::Written { generation: 3, hits: -4 }), "3 -4");
    }
}
