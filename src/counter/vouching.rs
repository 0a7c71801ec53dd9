//! Vouching: a page is listed, named and kept once enough networks have read it.
//!
//! A network is an IPv4 /24 or an IPv6 /48, which cost their owner something. It is remembered as a tag: 32 bits of a
//! keyed hash. The key is the salt of the site's day, which is deleted after the day; then nobody can tell any more
//! which tag a network would have had.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use super::{ClientPrefix, Day, PageAddress, PageTitle, Salt, SiteId, SiteNumber};

/// Networks that a site may ask for at most.
pub const NETWORKS_MAX: usize = 5;

/// New pages that one network vouches for in a day at most.
pub const PAGES_OF_NETWORK_MAX: u16 = 1_000;

/// Length of a tag in text.
const HEX: usize = 8;

/// A network on one day of a site; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkTag(u32);

impl NetworkTag {
    /// `client`: none where no address is known; all such clients are one network.
    pub fn of(salt: &Salt, site: &SiteId, client: Option<ClientPrefix>) -> Self {
        let mut hasher = SipHasher24::new_with_key(salt.bytes());
        hasher.write(site.as_str().as_bytes());
        // Visitors' keys have another byte here.
        hasher.write_u8(0xfe);
        hasher.write_u64(client.map_or(0, ClientPrefix::network));
        let hash = hasher.finish();
        Self(((hash ^ (hash >> 32)) as u32).max(1))
    }

    pub fn number(self) -> u32 {
        self.0
    }

    pub fn from_number(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

/// Tags of distinct networks, at most [`NETWORKS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags([u32; NETWORKS_MAX]);

impl Tags {
    pub fn len(self) -> usize {
        self.0.iter().take_while(|tag| **tag != 0).count()
    }

    pub fn is_empty(self) -> bool {
        self.0[0] == 0
    }

    pub fn contains(self, tag: NetworkTag) -> bool {
        self.0.contains(&tag.0)
    }

    /// True: it is new, and there was room.
    pub fn add(&mut self, tag: NetworkTag) -> bool {
        if self.contains(tag) {
            return false;
        }
        match self.0.iter_mut().find(|place| **place == 0) {
            Some(place) => {
                *place = tag.0;
                true
            }
            None => false,
        }
    }

    pub fn add_all(&mut self, tags: Self) {
        for tag in tags.iter() {
            self.add(tag);
        }
    }

    pub fn iter(self) -> impl Iterator<Item = NetworkTag> {
        self.0.into_iter().map_while(NetworkTag::from_number)
    }

    /// Eight hexadecimal digits for each tag.
    pub fn to_hex(self) -> String {
        self.iter().map(|tag| format!("{:08x}", tag.0)).collect()
    }

    /// Whatever is no tag is left out.
    pub fn from_hex(text: &str) -> Self {
        let mut tags = Self::default();
        for digits in text.as_bytes().chunks_exact(HEX) {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
            if let Some(tag) = number.and_then(NetworkTag::from_number) {
                tags.add(tag);
            }
        }
        tags
    }
}

impl FromIterator<NetworkTag> for Tags {
    fn from_iter<I: IntoIterator<Item = NetworkTag>>(tags: I) -> Self {
        let mut all = Self::default();
        for tag in tags {
            all.add(tag);
        }
        all
    }
}

/// Networks that must read a page, where a site asks for `wanted` and had `networks` in a day.
pub fn needed(wanted: u8, networks: usize) -> usize {
    usize::from(wanted).min(networks).max(1)
}

/// Subject of a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The site: its networks of a day.
    Site,
    /// A page that isn't vouched for yet.
    Page(PageAddress),
    /// A title of a page, with the Unix millisecond in which it was given.
    Title(PageAddress, PageTitle, i64),
}

/// Tags of a subject, as nodes share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    pub site: SiteNumber,
    pub day: Day,
    pub subject: Subject,
    pub tags: Tags,
    /// Of a site: its networks on the day before; else 0.
    pub before: usize,
}

/// The state of a vote on all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub vote: Vote,
    /// Another node has vouched for the page.
    pub is_vouched: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(salt: u8, site: &str, client: Option<&str>) -> NetworkTag {
        let client = client.map(|client| ClientPrefix::of(client.parse().unwrap()));
        NetworkTag::of(&Salt::new([salt; 16]), &site.parse().unwrap(), client)
    }

    #[test]
    fn a_network_is_an_ipv4_24_or_an_ipv6_48() {
        let of = |client| tag(1, "a", Some(client));
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::9"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:2:2::3"));
        assert_eq!(tag(1, "a", None), tag(1, "a", None));
    }

    #[test]
    fn a_tag_belongs_to_a_site_and_a_day() {
        let client = Some("192.0.2.1");
        assert_ne!(tag(1, "a", client), tag(2, "a", client));
        assert_ne!(tag(1, "a", client), tag(1, "b", client));
        assert_ne!(tag(1, "a", client), tag(1, "a", None));
    }

    #[test]
    fn tags_are_distinct_bounded_and_survive_their_text() {
        let all: Vec<_> = (1..=6).map(|number| NetworkTag::from_number(number).unwrap()).collect();
        let mut tags = Tags::default();
        assert!(tags.is_empty() && tags.add(all[0]) && !tags.add(all[0]));
        assert_eq!((tags.len(), tags.to_hex().as_str()), (1, "00000001"));
        tags.add_all(all.iter().copied().take(5).collect());
        assert_eq!(tags.len(), NETWORKS_MAX);
        assert!(!tags.add(all[5]) && !tags.contains(all[5]));
        assert_eq!(Tags::from_hex(&tags.to_hex()), tags);
        assert_eq!(Tags::from_hex("0000000zz00000000000000a1234"), Tags::from_iter(NetworkTag::from_number(10)));
    }

    #[test]
    fn a_site_of_few_networks_needs_few() {
        assert_eq!([0, 1, 2, 3, 9].map(|networks| needed(3, networks)), [1, 1, 2, 3, 3]);
        assert_eq!([0, 1, 9].map(|networks| needed(1, networks)), [1, 1, 1]);
    }
}
