//! How many distinct pages a site may have in a day, and who may bring new ones.
//!
//! A page is cheap to count and costs rows in files and Redis for years, and anyone can make up
//! addresses. So there is a cap on a day's distinct pages, and a part of it for each client: pages
//! beyond count as `(other)`. Pages that are known from before never do.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Day;

/// Those who may bring new pages: an IPv4 /24 or an IPv6 /64, which one client as a rule can't leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientPrefix(u64);

impl ClientPrefix {
    pub fn of(address: std::net::IpAddr) -> Self {
        match address.to_canonical() {
            // No /64 that a client may have is below 2^32.
            std::net::IpAddr::V4(v4) => Self(u64::from(u32::from(v4) >> 8)),
            std::net::IpAddr::V6(v6) => Self(u64::from_be_bytes(v6.octets()[..8].try_into().unwrap_or_default())),
        }
    }
}

/// A client prefix may bring this part of a day's pages.
const CLIENTS_PER_DAY: u32 = 20;
/// And at least so many, where the cap is small.
const PER_CLIENT_MIN: u32 = 20;

/// The pages that a site has had in one day, as hashes of their addresses: two that collide are
/// counted as one here, and apart everywhere else.
#[derive(Debug)]
pub struct PagesOfDay {
    day: Day,
    seen: FxHashSet<u64>,
    /// Pages that may be new, by who brought them.
    brought: FxHashMap<u64, ClientPrefix>,
    brought_by: FxHashMap<ClientPrefix, u32>,
}

/// What is to become of a hit's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Counts,
    /// Only if it is known from before; else it is one too many, and why.
    IfKnown(Excess),
}

/// Why a page is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Excess {
    /// The site has had its pages for the day.
    Site,
    /// The client has brought its part of them.
    Client,
}

impl Excess {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Client => "client",
        }
    }
}

impl PagesOfDay {
    /// A day of which these pages are known already.
    pub fn new(day: Day, seen: impl IntoIterator<Item = u64>) -> Self {
        Self { day, seen: seen.into_iter().collect(), brought: FxHashMap::default(), brought_by: FxHashMap::default() }
    }

    pub fn day(&self) -> Day {
        self.day
    }

    /// Judges a page, and remembers it if it counts. `client`: none where clients have no limit.
    pub fn admit(&mut self, page: u64, client: Option<ClientPrefix>, cap: u32) -> Verdict {
        if self.seen.contains(&page) {
            return Verdict::Counts;
        }
        if self.seen.len() >= usize::try_from(cap).unwrap_or(usize::MAX) {
            return Verdict::IfKnown(Excess::Site);
        }
        if let Some(client) = client {
            let count = self.brought_by.entry(client).or_default();
            if *count >= (cap / CLIENTS_PER_DAY).max(PER_CLIENT_MIN) {
                return Verdict::IfKnown(Excess::Client);
            }
            *count += 1;
            self.brought.insert(page, client);
        }
        self.seen.insert(page);
        Verdict::Counts
    }

    /// Pages that count, whoever came with them: they are known from before, or of this day.
    pub fn note(&mut self, pages: impl IntoIterator<Item = u64>) {
        self.seen.extend(pages);
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// It has turned out whether a page was known from before: then its client has brought nothing.
    pub fn settle(&mut self, page: u64, was_known: bool) {
        if let Some(client) = self.brought.remove(&page)
            && was_known
            && let Some(count) = self.brought_by.get_mut(&client)
        {
            *count = count.saturating_sub(1);
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
        PagesOfDay::new(Day::from_ymd(2024, 6, 17).unwrap(), [])
    }

    #[test]
    fn a_prefix_is_what_one_client_can_not_leave() {
        assert_eq!(client("192.0.2.1"), client("192.0.2.254"));
        assert_ne!(client("192.0.2.1"), client("192.0.3.1"));
        assert_eq!(client("::ffff:192.0.2.9"), client("192.0.2.1"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    }

    #[test]
    fn pages_beyond_the_cap_count_only_if_they_are_known() {
        let mut day = day();
        assert!((0..3).all(|page| day.admit(page, None, 3) == Verdict::Counts));
        assert_eq!(day.admit(3, None, 3), Verdict::IfKnown(Excess::Site));
        assert_eq!(day.admit(2, None, 3), Verdict::Counts);
        day.note([3]);
        assert_eq!(day.admit(3, None, 3), Verdict::Counts);
    }

    #[test]
    fn a_client_brings_its_part_and_others_theirs() {
        let mut day = day();
        let (one, two) = (client("192.0.2.1"), client("198.51.100.1"));
        let brought = (0..1_000).filter(|page| day.admit(*page, one, 2_000) == Verdict::Counts).count();
        assert_eq!(brought, 100);
        assert_eq!(day.admit(5_000, one, 2_000), Verdict::IfKnown(Excess::Client));
        assert_eq!(day.admit(5_000, two, 2_000), Verdict::Counts);
        assert_eq!(day.admit(5_000, one, 2_000), Verdict::Counts);
        // Those that turn out to be known were none of its new ones, and it turns out once.
        day.settle(6, false);
        day.settle(6, true);
        assert_eq!(day.admit(6_000, one, 2_000), Verdict::IfKnown(Excess::Client));
        day.settle(7, true);
        assert_eq!(day.admit(6_000, one, 2_000), Verdict::Counts);
        assert_eq!(day.admit(6_001, one, 2_000), Verdict::IfKnown(Excess::Client));
    }
}
