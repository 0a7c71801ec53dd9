//! Parameters of a site's addresses in one day: which made pages apart, which were dropped, which look like noise.
//!
//! A parameter is watched by the folder of its paths: `t` may name an article in one and be a clock in another.
//! Of each there are a number and two small sketches: one of its values, one of its pages' titles. A title counts
//! together with the rest of the address, since a clock on many articles has as many titles as there are articles.
//!
//! Everything comes from strangers, so everything is bounded: 64 parameters of a site, and the length of each text.
//! A further parameter displaces the rarest one and inherits its number ("Space-Saving"), so that a flood of names
//! can't keep a common one out. The sketches hash with a key of this process.

use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::address::PageAddress;
use super::query::Fate;
use super::small_sketch::SmallSketch;

/// Parameters of a site that are watched in a day.
pub const WATCHED_MAX: usize = 64;
/// Parameters of one address that are looked at: as many as an address holds, and as many that were dropped.
const OF_ADDRESS_MAX: usize = 16;
const EXAMPLES_MAX: usize = 3;
const EXAMPLE_BYTES_MAX: usize = 160;
const FOLDER_BYTES_MAX: usize = 96;
const NAME_BYTES_MAX: usize = 48;

/// New addresses of a day beyond which a parameter is judged.
const ADDRESSES_MANY: u32 = 200;
/// Fewest values of a parameter that looks like noise: `view=print` doubles addresses, but means something.
const VALUES_MANY: u32 = 100;
/// Values for each title, from which on a parameter looks like noise.
const VALUES_OF_TITLE: u32 = 3;

/// A site's parameters of one day.
#[derive(Debug, Default)]
pub struct DayParameters {
    watched: Vec<Watched>,
    /// Times that a parameter had to make room.
    displaced: u64,
    keyed: RandomState,
}

#[derive(Debug)]
struct Watched {
    folder: Box<str>,
    name: Box<str>,
    fate: Fate,
    /// New addresses, with those inherited.
    addresses: u32,
    inherited: u32,
    values: SmallSketch,
    titles: SmallSketch,
    examples: Vec<Box<str>>,
    is_reported: bool,
}

/// A parameter as `thongke pages SITE --parameters` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterReport {
    pub folder: String,
    /// Empty for a query that is a path.
    pub name: String,
    pub fate: String,
    /// Addresses that were new to the node this day and had the parameter.
    pub addresses: u32,
    /// Estimates; none of a dropped parameter.
    pub values: Option<u32>,
    pub titles: Option<u32>,
    pub looks_like_noise: bool,
    /// Pages on which it was seen. Never a value that was dropped: it may be a session.
    pub examples: Vec<String>,
}

impl DayParameters {
    /// Notes the parameters of a url whose address is new today, of which `room` may be watched beside the present
    /// ones. Returns one that begins to look like noise.
    pub fn note(
        &mut self,
        page: &PageAddress,
        fates: &[(String, String, Fate)],
        title: Option<&str>,
        room: usize,
    ) -> Option<ParameterReport> {
        let watched_max = WATCHED_MAX.min(self.watched.len().saturating_add(room));
        let path = page.path();
        let folder = shortened(folder_of(path), FOLDER_BYTES_MAX);
        let kept = fates.iter().filter(|(.., fate)| *fate == Fate::Kept);
        let dropped = fates.iter().filter(|(.., fate)| *fate != Fate::Kept);
        let half = OF_ADDRESS_MAX / 2;
        let mut suspect = None;
        for (name, value, fate) in kept.take(half).chain(dropped.take(half)) {
            // Pages without a title have one title.
            let hashes = (*fate == Fate::Kept).then(|| {
                let rest = fates.iter().filter(|(other, .., fate)| *fate == Fate::Kept && other != name);
                let rest: Vec<_> = rest.map(|(name, value, _)| (name, value)).collect();
                (self.keyed.hash_one((name, value)), self.keyed.hash_one((path, rest, title)))
            });
            let name = shortened(name, NAME_BYTES_MAX);
            let Some(watched) = self.watched(&folder, &name, *fate, watched_max) else { break };
            watched.addresses = watched.addresses.saturating_add(1);
            if let Some((value, title)) = hashes {
                watched.values.add(value);
                watched.titles.add(title);
            }
            if watched.examples.len() < EXAMPLES_MAX {
                let example = shortened(page.as_str(), EXAMPLE_BYTES_MAX);
                if !watched.examples.contains(&example) {
                    watched.examples.push(example);
                }
            }
            if !watched.is_reported && watched.looks_like_noise() {
                watched.is_reported = true;
                suspect = suspect.or_else(|| Some(watched.report()));
            }
        }
        suspect
    }

    /// Parameters watched now.
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    /// All of them, the most frequent first.
    pub fn reports(&self) -> Vec<ParameterReport> {
        let mut reports: Vec<_> = self.watched.iter().map(Watched::report).collect();
        reports.sort_by(|a, b| {
            b.addresses
                .cmp(&a.addresses)
                .then_with(|| (&a.folder, &a.name, &a.fate).cmp(&(&b.folder, &b.name, &b.fate)))
        });
        reports
    }

    fn watched(&mut self, folder: &str, name: &str, fate: Fate, watched_max: usize) -> Option<&mut Watched> {
        let is_same = |watched: &Watched| *watched.name == *name && watched.fate == fate && *watched.folder == *folder;
        let mut at = self.watched.iter().position(is_same);
        if at.is_none() {
            let rarest = self.watched.iter().enumerate().min_by_key(|(_, watched)| watched.addresses);
            let full = rarest.filter(|_| self.watched.len() >= watched_max);
            let inherited = full.map_or(0, |(_, rarest)| rarest.addresses);
            let new = Watched {
                folder: folder.into(),
                name: name.into(),
                fate,
                addresses: inherited,
                inherited,
                values: SmallSketch::default(),
                titles: SmallSketch::default(),
                examples: Vec::new(),
                is_reported: false,
            };
            if let Some((rarest, _)) = full {
                self.displaced += 1;
                self.watched[rarest] = new;
                at = Some(rarest);
            } else if self.watched.len() < watched_max {
                at = Some(self.watched.len());
                self.watched.push(new);
            }
        }
        self.watched.get_mut(at?)
    }
}

impl Watched {
    /// Many values, few titles.
    fn looks_like_noise(&self) -> bool {
        if self.fate != Fate::Kept || self.addresses - self.inherited <= ADDRESSES_MANY {
            return false;
        }
        let values = self.values.estimate();
        values >= VALUES_MANY && self.titles.estimate().saturating_mul(VALUES_OF_TITLE) <= values
    }

    fn report(&self) -> ParameterReport {
        let estimate = |sketch: &SmallSketch| (self.fate == Fate::Kept).then(|| sketch.estimate());
        ParameterReport {
            folder: self.folder.to_string(),
            name: self.name.to_string(),
            fate: self.fate.as_str().to_owned(),
            addresses: self.addresses - self.inherited,
            values: estimate(&self.values),
            titles: estimate(&self.titles),
            looks_like_noise: self.looks_like_noise(),
            examples: self.examples.iter().map(|example| example.to_string()).collect(),
        }
    }
}

/// `/tin-tuc` of `/tin-tuc/bai-1`, `/` of `/xem.php`.
fn folder_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}

fn shortened(text: &str, bytes_max: usize) -> Box<str> {
    if text.len() <= bytes_max {
        return text.into();
    }
    let mut end = bytes_max - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::super::PageRules;
    use super::*;

    fn note(day: &mut DayParameters, text: &str, title: Option<&str>) -> Option<ParameterReport> {
        let rules = PageRules::with_defaults("vi");
        let url = Url::parse(&format!("https://a.vn{text}")).unwrap();
        day.note(&PageAddress::of(&url, &rules), &rules.fates(&url), title, WATCHED_MAX)
    }

    fn of<'a>(reports: &'a [ParameterReport], name: &str) -> &'a ParameterReport {
        reports.iter().find(|report| report.name == name).unwrap()
    }

    #[test]
    fn a_clock_on_many_articles_looks_like_noise_and_their_ids_do_not() {
        let mut day = DayParameters::default();
        let suspects: Vec<_> = (0..2_000)
            .filter_map(|hit| {
                let article = hit % 150;
                note(&mut day, &format!("/tin/xem?bai={article}&luc=x{hit}"), Some(&format!("Bài {article}")))
            })
            .collect();
        assert_eq!(suspects.len(), 1, "once a day");
        assert_eq!((suspects[0].name.as_str(), suspects[0].folder.as_str()), ("luc", "/tin"));
        let reports = day.reports();
        let (clock, article) = (of(&reports, "luc"), of(&reports, "bai"));
        assert!(clock.looks_like_noise && !article.looks_like_noise);
        assert_eq!((clock.addresses, clock.fate.as_str(), clock.examples.len()), (2_000, "kept", EXAMPLES_MAX));
        assert!((1_000..4_000).contains(&clock.values.unwrap()), "{clock:?}");
        assert!((60..400).contains(&clock.titles.unwrap()), "{clock:?}");
    }

    #[test]
    fn articles_with_titles_of_their_own_look_like_articles() {
        let mut day = DayParameters::default();
        for article in 0..3_000 {
            let title = format!("Quyết định {article}");
            assert_eq!(note(&mut day, &format!("/?pageid=27160&docid={article}"), Some(&title)), None);
        }
        // Two views of each, and pages that give no title but have paths of their own.
        for article in 0..300 {
            for view in ["in", "xem"] {
                let title = format!("Bài {article}");
                assert_eq!(note(&mut day, &format!("/bai/{article}?kieu={view}"), Some(&title)), None);
            }
            assert_eq!(note(&mut day, &format!("/anh/{article}?so={article}"), None), None);
        }
    }

    #[test]
    fn addresses_without_a_title_have_one_title() {
        let mut day = DayParameters::default();
        let suspects: Vec<_> =
            (0..400).filter_map(|hit| note(&mut day, &format!("/tin/xem?luc=x{hit}"), None)).collect();
        assert_eq!(suspects.len(), 1);
        assert_eq!((suspects[0].name.as_str(), suspects[0].titles), ("luc", Some(1)));
    }

    #[test]
    fn dropped_parameters_are_shown_with_their_page_and_without_their_value() {
        let mut day = DayParameters::default();
        note(&mut day, "/tin/bai-1?fbclid=IwAR0secret&PHPSESSID=abcdef&me=a%40b.vn", Some("Bài"));
        let reports = day.reports();
        assert_eq!(reports.len(), 3);
        for (name, fate) in [("fbclid", "noise"), ("phpsessid", "noise"), ("me", "personal")] {
            let report = of(&reports, name);
            assert_eq!((report.fate.as_str(), report.values, report.looks_like_noise), (fate, None, false));
            assert_eq!(report.examples, ["/tin/bai-1"]);
        }
    }

    #[test]
    fn a_flood_of_names_keeps_no_common_parameter_out() {
        let mut day = DayParameters::default();
        for hit in 0..20_000 {
            note(&mut day, &format!("/x{hit}/a?n{hit}={hit}"), Some("x"));
            if hit % 20 == 0 {
                note(&mut day, &format!("/tin/xem?so={hit}"), Some("Tin"));
            }
        }
        assert_eq!(day.len(), WATCHED_MAX);
        assert!(day.displaced() > 19_000);
        let reports = day.reports();
        assert!(of(&reports, "so").looks_like_noise, "{:?}", of(&reports, "so"));
    }

    #[test]
    fn texts_and_parameters_of_an_address_are_bounded() {
        let mut day = DayParameters::default();
        let name = "ả".repeat(200);
        note(&mut day, &format!("/{}/b?{name}=1", "ơ".repeat(200)), None);
        let report = &day.reports()[0];
        assert!(report.name.len() <= NAME_BYTES_MAX && report.folder.len() <= FOLDER_BYTES_MAX);
        assert!(report.examples[0].len() <= EXAMPLE_BYTES_MAX && report.examples[0].ends_with('…'));
        let many: Vec<_> = (0..500).map(|at| format!("a{at}=1&utm_x{at}=1")).collect();
        note(&mut day, &format!("/b?{}", many.join("&")), None);
        assert!(day.len() <= 1 + OF_ADDRESS_MAX, "{}", day.len());
        let fates = [("a".to_owned(), "1".to_owned(), Fate::Kept), ("b".to_owned(), "1".to_owned(), Fate::Kept)];
        for room in [0, 1] {
            let mut small = DayParameters::default();
            let page = PageAddress::from_stored("/?a=1&b=1");
            small.note(&page, &fates[..1], None, room);
            small.note(&page, &fates, None, 0);
            assert_eq!(small.len(), room);
        }
    }

    #[test]
    fn a_folder_is_what_stands_before_the_last_slash() {
        for (path, folder) in [("/", "/"), ("/xem.php", "/"), ("/tin/bai", "/tin"), ("/a/b/c", "/a/b"), ("", "/")] {
            assert_eq!(folder_of(path), folder);
        }
    }
}
