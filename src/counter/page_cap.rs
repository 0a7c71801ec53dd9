//! The cap on a site's distinct pages of a day, and each client's part of it.
//!
//! A page is cheap to count and costs rows in files and Redis for years, and anyone can make up
//! addresses. So there is a cap on a day's distinct pages that aren't vouched for, and a part of it for each client,
//! and for each network that one client may have: pages beyond count as `(other)`. Vouched pages never do.
//!
//! The numbers of each client are only in memory, since no address may be on disk. After a restart they are
//! lost. Then each client has a part of the day's remainder, so that a restart gives an attacker nothing.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{ClientPrefix, Day};

/// Bringer of new pages: an IPv4 /24 or an IPv6 /64, which one client as a rule can't leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Bringer(u64);

/// An IPv6 /48, which is what one customer may be given: 65,536 client prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u64);

impl Bringer {
    fn of(client: ClientPrefix) -> Self {
        Self(if client.is_ipv4() { client.number() & !0xff } else { client.number() })
    }
}

/// The client's network. None of IPv4: a /16 there is a carrier with a hundred thousand readers.
fn network(client: ClientPrefix) -> Option<Network> {
    (!client.is_ipv4()).then_some(Network(client.number() >> 16))
}

/// One client's share of a day's pages.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// One in so many.
    of: u32,
    /// And at least so many, where the cap is small.
    min: u32,
}

const CLIENTS: Part = Part { of: 20, min: 20 };
const NETWORKS: Part = Part { of: 10, min: 40 };
/// Pages beyond the cap that count because nobody can tell now if they are vouched for.
const UNKNOWABLE: Part = Part { of: 10, min: 40 };

impl Part {
    fn of(self, pages: u32) -> u32 {
        (pages / self.of).max(self.min)
    }
}

/// The pages that a site has had in one day, as hashes of their addresses: two that collide are
/// counted as one here, and apart everywhere else.
#[derive(Debug)]
pub struct PagesOfDay {
    day: Day,
    /// Pages that are vouched for, which have no limit.
    vouched: Pages,
    /// The others.
    seen: Pages,
    /// Pages of which nobody knows any more who has brought them.
    before: u32,
    unknowable: u32,
    /// Vouched pages are new ones as well: the site asks for no networks.
    caps_all: bool,
    /// None before anyone has: most sites have few pages, and a node may have many sites.
    bringers: Option<Box<Bringers>>,
}

/// Hashes of pages. Most sites have few in a day, and those need no table of their own.
#[derive(Debug)]
enum Pages {
    Few { pages: [u64; FEW], count: u8 },
    Many(FxHashSet<u64>),
}

/// Most pages whose list takes no more room than an empty table.
const FEW: usize = 4;

impl Default for Pages {
    fn default() -> Self {
        Self::Few { pages: [0; FEW], count: 0 }
    }
}

impl Pages {
    fn contains(&self, page: u64) -> bool {
        match self {
            Self::Few { pages, count } => pages[..usize::from(*count)].contains(&page),
            Self::Many(pages) => pages.contains(&page),
        }
    }

    /// False: it was there.
    fn insert(&mut self, page: u64) -> bool {
        let (pages, count) = match self {
            Self::Many(pages) => return pages.insert(page),
            Self::Few { pages, count } => (pages, count),
        };
        if pages[..usize::from(*count)].contains(&page) {
            return false;
        }
        match pages.get_mut(usize::from(*count)) {
            Some(place) => {
                *place = page;
                *count += 1;
            }
            None => *self = Self::Many(pages.iter().copied().chain([page]).collect()),
        }
        true
    }

    fn remove(&mut self, page: u64) {
        match self {
            Self::Many(pages) => drop(pages.remove(&page)),
            Self::Few { pages, count } => {
                let last = usize::from(*count).saturating_sub(1);
                if let Some(at) = pages[..usize::from(*count)].iter().position(|known| *known == page) {
                    pages.swap(at, last);
                    *count -= 1;
                }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Few { count, .. } => usize::from(*count),
            Self::Many(pages) => pages.len(),
        }
    }
}

/// Numbers of new pages by client and network. A table has at most one entry a page.
#[derive(Debug, Default)]
struct Bringers {
    pages: FxHashMap<u64, ClientPrefix>,
    clients: FxHashMap<Bringer, u32>,
    networks: FxHashMap<Network, u32>,
}

impl Bringers {
    fn brought_by(&self, client: ClientPrefix) -> u32 {
        self.clients.get(&Bringer::of(client)).copied().unwrap_or(0)
    }

    fn brought_by_network(&self, client: ClientPrefix) -> u32 {
        network(client).and_then(|network| self.networks.get(&network).copied()).unwrap_or(0)
    }

    fn has_brought(&mut self, client: ClientPrefix, page: u64) {
        self.pages.insert(page, client);
        *self.clients.entry(Bringer::of(client)).or_default() += 1;
        if let Some(network) = network(client) {
            *self.networks.entry(network).or_default() += 1;
        }
    }

    /// A page is vouched for: its client has brought nothing.
    fn settle(&mut self, page: u64) {
        let Some(client) = self.pages.remove(&page) else { return };
        let by_network = network(client).and_then(|network| self.networks.get_mut(&network));
        for count in by_network.into_iter().chain(self.clients.get_mut(&Bringer::of(client))) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Decision on a hit's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Counts,
    /// Only if it is vouched for; else it is one too many, and why.
    IfVouched(Excess),
}

/// Limit that a page exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Excess {
    /// The site has had its pages for the day.
    Site,
    /// The client has brought its part of them.
    Client,
    /// Its network has.
    Network,
}

impl Excess {
    pub const ALL: [Self; 3] = [Self::Site, Self::Client, Self::Network];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Client => "client",
            Self::Network => "network",
        }
    }
}

impl PagesOfDay {
    /// A day that has had no page yet.
    pub fn new(day: Day) -> Self {
        Self {
            day,
            vouched: Pages::default(),
            seen: Pages::default(),
            before: 0,
            unknowable: 0,
            caps_all: false,
            bringers: None,
        }
    }

    pub fn day(&self) -> Day {
        self.day
    }

    /// Decides on a page, and remembers it if it counts. `client`: none where clients have no limit.
    pub fn admit(&mut self, page: u64, client: Option<ClientPrefix>, cap: u32) -> Verdict {
        if self.seen.contains(page) || self.vouched.contains(page) {
            return Verdict::Counts;
        }
        if self.seen.len() >= usize::try_from(cap).unwrap_or(usize::MAX) {
            return Verdict::IfVouched(Excess::Site);
        }
        if let Some(client) = client {
            let left = cap.saturating_sub(self.before);
            let bringers = self.bringers.get_or_insert_default();
            if bringers.brought_by(client) >= CLIENTS.of(left) {
                return Verdict::IfVouched(Excess::Client);
            }
            if bringers.brought_by_network(client) >= NETWORKS.of(left) {
                return Verdict::IfVouched(Excess::Network);
            }
            bringers.has_brought(client, page);
        }
        self.seen.insert(page);
        Verdict::Counts
    }

    /// Decides on a page that counts only if it is known, where Redis and the file can't be read. A few such pages
    /// count, so that a known one seldom counts under `(other)`.
    pub fn admit_unknowable(&mut self, page: u64, cap: u32) -> bool {
        let counts = self.seen.contains(page) || self.unknowable < UNKNOWABLE.of(cap);
        if counts && self.seen.insert(page) {
            self.unknowable += 1;
        }
        counts
    }

    /// True if the client or its network has so many pages that the day's earlier pages matter.
    pub fn has_brought_much(&self, client: ClientPrefix) -> bool {
        self.bringers.as_ref().is_some_and(|bringers| {
            bringers.brought_by(client) >= CLIENTS.min || bringers.brought_by_network(client) >= NETWORKS.min
        })
    }

    /// Pages that the day had before this run of the node, whoever brought them.
    pub fn had(&mut self, pages: impl IntoIterator<Item = u64>) {
        let before = pages.into_iter().filter(|page| self.seen.insert(*page)).count();
        self.before = u32::try_from(before).unwrap_or(u32::MAX);
    }

    /// A page turned out to be vouched for: it has no limit, and its client has brought nothing.
    pub fn note_vouched(&mut self, page: u64) {
        if !self.caps_all {
            self.seen.remove(page);
        }
        self.vouched.insert(page);
        if let Some(bringers) = &mut self.bringers {
            bringers.settle(page);
        }
    }

    /// Sets if pages that nobody must vouch for have a limit too.
    pub fn set_caps_all(&mut self, caps_all: bool) {
        self.caps_all = caps_all;
    }

    pub fn is_vouched(&self, page: u64) -> bool {
        self.vouched.contains(page)
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.len() == 0
    }

    /// A page turned out to be new: nobody needs to know any more who brought it.
    pub fn note_new(&mut self, page: u64) {
        if let Some(bringers) = &mut self.bringers {
            bringers.pages.remove(&page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Option<ClientPrefix> {
        Some(ClientPrefix::of(address.parse().unwrap()))
    }

    fn day() -> PagesOfDay {
        PagesOfDay::new(Day::from_ymd(2024, 6, 17).unwrap())
    }

    #[test]
    fn neighbours_in_an_ipv4_24_bring_pages_together() {
        let bringer = |address: &str| Bringer::of(client(address).unwrap());
        assert_eq!(bringer("192.0.2.1"), bringer("192.0.2.254"));
        assert_ne!(bringer("192.0.2.1"), bringer("192.0.3.1"));
        assert_ne!(bringer("2001:db8:0:1::1"), bringer("2001:db8::1"));
    }

    #[test]
    fn few_pages_and_many_are_each_there_once() {
        let mut pages = Pages::default();
        for page in 0..3 * FEW as u64 {
            assert!(!pages.contains(page));
            assert!(pages.insert(page));
            assert!((0..=page).all(|known| pages.contains(known) && !pages.insert(known)));
            assert_eq!(pages.len() as u64, page + 1);
        }
        assert!(matches!(pages, Pages::Many(_)));
    }

    #[test]
    fn pages_beyond_the_cap_count_only_if_they_are_known() {
        let mut day = day();
        assert!((0..3).all(|page| day.admit(page, None, 3) == Verdict::Counts));
        assert_eq!(day.admit(3, None, 3), Verdict::IfVouched(Excess::Site));
        assert_eq!(day.admit(2, None, 3), Verdict::Counts);
        day.note_vouched(3);
        assert_eq!(day.admit(3, None, 3), Verdict::Counts);
        // A page that is vouched for leaves its place to another.
        day.note_vouched(0);
        assert_eq!([0, 4, 5].map(|page| day.admit(page, None, 3) == Verdict::Counts), [true, true, false]);
    }

    #[test]
    fn a_client_brings_its_part_and_others_theirs() {
        let mut day = day();
        let (one, two) = (client("192.0.2.1"), client("198.51.100.1"));
        let brought = (0..1_000).filter(|page| day.admit(*page, one, 2_000) == Verdict::Counts).count();
        assert_eq!(brought, 100);
        assert_eq!(day.admit(5_000, one, 2_000), Verdict::IfVouched(Excess::Client));
        assert_eq!(day.admit(5_000, two, 2_000), Verdict::Counts);
        assert_eq!(day.admit(5_000, one, 2_000), Verdict::Counts);
        // Those that turn out to be known were none of its new ones, and it turns out once.
        day.note_new(6);
        day.note_vouched(6);
        assert_eq!(day.admit(6_000, one, 2_000), Verdict::IfVouched(Excess::Client));
        day.note_vouched(7);
        assert_eq!(day.admit(6_000, one, 2_000), Verdict::Counts);
        assert_eq!(day.admit(6_001, one, 2_000), Verdict::IfVouched(Excess::Client));
    }

    /// The number of `pages` that count, each from the next of `clients`.
    fn brought<'a>(day: &mut PagesOfDay, pages: std::ops::Range<u64>, clients: impl Iterator<Item = &'a str>) -> usize {
        pages.zip(clients).filter(|(page, by)| day.admit(*page, client(by), 2_000) == Verdict::Counts).count()
    }

    #[test]
    fn a_network_of_many_clients_brings_its_part_and_leaves_the_rest_to_others() {
        let mut day = day();
        let clients: Vec<_> = (0..1_000).map(|number| format!("2001:db8:1:{number:x}::1")).collect();
        assert_eq!(brought(&mut day, 0..1_000, clients.iter().map(String::as_str)), 200);
        assert_eq!(day.admit(5_000, client("2001:db8:1:ffff::1"), 2_000), Verdict::IfVouched(Excess::Network));
        assert_eq!(day.admit(5_000, client("2001:db8:2::1"), 2_000), Verdict::Counts);
        day.note_vouched(0);
        assert_eq!(day.admit(5_001, client("2001:db8:1:ffff::1"), 2_000), Verdict::Counts);
        // One client's part is half of its network's.
        assert_eq!(brought(&mut day, 10_000..11_000, std::iter::repeat("2001:db8:3::1")), 100);
        // What is refused leaves nothing behind.
        let sizes = |day: &PagesOfDay| {
            let bringers = day.bringers.as_ref().unwrap();
            (bringers.pages.len(), bringers.clients.len(), bringers.networks.len())
        };
        let before = sizes(&day);
        let more =
            (20_000..30_000).filter(|page| day.admit(*page, client("2001:db8:1:eeee::1"), 2_000) == Verdict::Counts);
        assert_eq!(more.count(), 0);
        assert_eq!(sizes(&day), before);
        // In IPv4 there is no such network.
        let clients: Vec<_> = (0..250).map(|number| format!("192.0.{number}.1")).collect();
        assert_eq!(brought(&mut day, 30_000..30_250, clients.iter().map(String::as_str)), 250);
    }

    #[test]
    fn pages_of_which_nobody_can_tell_whether_they_are_known_count_while_they_are_few() {
        let mut day = day();
        assert!((0..1_000).all(|page| day.admit(page, None, 1_000) == Verdict::Counts));
        let counted = (1_000..2_000).filter(|page| day.admit_unknowable(*page, 1_000)).count();
        assert_eq!((counted, day.len()), (100, 1_100));
        // Those that have counted still do, and cost nothing.
        assert!(day.admit_unknowable(1_099, 1_000) && !day.admit_unknowable(1_100, 1_000));
        assert_eq!(day.admit(1_099, None, 1_000), Verdict::Counts);
    }

    #[test]
    fn when_nobody_knows_who_brought_a_days_pages_each_has_a_part_of_what_is_left() {
        let mut left = Vec::new();
        let mut had = 0;
        for _ in 0..20 {
            let mut day = day();
            day.had(0..had);
            let new = 10_000..20_000;
            had += brought(&mut day, new, std::iter::repeat("192.0.2.1")) as u64;
            left.push(2_000 - had);
        }
        assert_eq!(left[..3], [1_900, 1_805, 1_715]);
        // As much again at each start would have been all of it.
        assert_eq!(left[19], 722, "{left:?}");
    }

    #[test]
    fn a_client_or_its_network_has_brought_much_from_the_least_part_on() {
        let (mut day, one, other) = (day(), client("2001:db8:1:1::1").unwrap(), client("2001:db8:2:1::1").unwrap());
        assert!(day.is_empty() && !day.has_brought_much(one));
        for page in 0..20 {
            assert!(!day.has_brought_much(one), "{page}");
            day.admit(page, Some(one), 100_000);
        }
        assert!(day.has_brought_much(one) && !day.has_brought_much(other) && !day.is_empty());
        // The network has a limit of its own, which several clients reach together.
        let neighbour = client("2001:db8:1:2::1").unwrap();
        assert!(!day.has_brought_much(neighbour));
        let third = client("2001:db8:1:3::1");
        for page in 20..39 {
            day.admit(page, third, 100_000);
        }
        assert!(!day.has_brought_much(neighbour));
        day.admit(39, third, 100_000);
        assert!(day.has_brought_much(neighbour) && !day.has_brought_much(other));
    }

    #[test]
    fn each_limit_has_a_name_of_its_own_in_metrics() {
        assert_eq!(Excess::ALL.map(Excess::as_str), ["site", "client", "network"]);
    }
}
