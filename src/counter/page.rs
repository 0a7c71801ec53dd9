//! The address under which a page is counted.
//!
//! One article is one page, however it was linked: scheme and host are dropped (a site's origins
//! are one site), the path is percent-decoded where that is safe and in Unicode's NFC, without
//! trailing slash and `index.*`; of the query only the parameters that name an article stay.
//! Counts live under these addresses, so the rule never changes.

use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use url::Url;

use super::PlainUrl;
use super::plain_url::is_safe_byte;

/// Longest address in bytes; a longer one is cut and ends in a hash of the whole.
const ADDRESS_BYTES_MAX: usize = 512;

/// Most pages in a list of the most read.
pub const TOP_MAX: usize = 100;

/// Bytes of SHA-256 that distinguish long addresses, and members of a Redis key: 128 bits, so that not even
/// someone who tries finds two that collide.
const HASH_BYTES: usize = 16;
/// Length of the hash in base64.
const HASH_CHARS: usize = (HASH_BYTES * 8).div_ceil(6);

/// A page's address by the rule above, for example `/tin-tuc/bài-1` or `/?nv=news&id=7`.
#[derive(Clone)]
pub struct PageAddress {
    text: Arc<str>,
    /// Worked out once, since a hit's page is looked up several times; keyed, since addresses come
    /// from strangers.
    hash: u64,
}

/// Page of all hits beyond the cap on distinct pages.
const OTHER: &str = "(other)";

impl PageAddress {
    pub fn of(url: &Url, page_params: &[String]) -> Self {
        let mut address = path_of(url.path());
        let mut separator = '?';
        let page_params = if url.query().is_some() { page_params } else { &[] };
        for name in page_params {
            let Some((_, value)) = url.query_pairs().find(|(key, value)| key == name.as_str() && !value.is_empty())
            else {
                continue;
            };
            address.push(separator);
            encode_query(&mut address, name);
            address.push('=');
            encode_query(&mut address, &value);
            separator = '&';
        }
        Self::new(&bounded(address))
    }

    /// The same where nothing has to be decoded; none where it is too long.
    pub fn of_plain(url: PlainUrl<'_>) -> Option<Self> {
        let path = without_index(url.path);
        (path.len() <= ADDRESS_BYTES_MAX).then(|| Self::new(path))
    }

    fn new(text: &str) -> Self {
        static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self { text: text.into(), hash: KEYED.hash_one(text) }
    }

    pub fn other() -> Self {
        Self::new(OTHER)
    }

    /// An address that this program made earlier, from the node's file or from Redis.
    pub fn from_stored(address: &str) -> Self {
        Self::new(address)
    }

    /// An address written by a person, in an import: a path with perhaps a query, made canonical.
    pub fn from_import(text: &str, page_params: &[String]) -> Option<Self> {
        if text == OTHER {
            return Some(Self::other());
        }
        // An export's: what its hash was made of is gone, and the cut may lie anywhere.
        if is_cut(text) {
            return Some(Self::new(text));
        }
        let url = if text.starts_with('/') {
            Url::parse(&format!("http://page.invalid{text}")).ok()?
        } else {
            Url::parse(text).ok()?
        };
        matches!(url.scheme(), "http" | "https").then(|| Self::of(&url, page_params))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True for the page that stands for many.
    pub fn is_other(&self) -> bool {
        &*self.text == OTHER
    }

    /// True for a shortened address, which no link can use.
    pub fn is_cut(&self) -> bool {
        is_cut(&self.text)
    }

    /// A hash that strangers can't foresee, and that is another in each process.
    pub fn fingerprint(&self) -> u64 {
        self.hash
    }

    /// A short name for the page that no other page has, for keys and members.
    pub fn id(&self) -> String {
        hash_of(&self.text)
    }
}

impl PartialEq for PageAddress {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for PageAddress {}

impl Hash for PageAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for PageAddress {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PageAddress {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Debug for PageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for PageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn path_of(raw: &str) -> String {
    let mut path = String::with_capacity(raw.len());
    for (at, segment) in raw.split('/').enumerate() {
        if at > 0 {
            path.push('/');
        }
        decode_segment(&mut path, segment);
    }
    without_index(&path).to_owned()
}

/// Repeats until nothing changes, so that normalising twice is the same as once: `/a/index.html/index.php/` is `/a`.
fn without_index(mut path: &str) -> &str {
    loop {
        let shorter = path.trim_end_matches('/');
        let shorter = shorter.rsplit_once('/').filter(|(_, last)| is_index(last)).map_or(shorter, |(parent, _)| parent);
        if shorter.len() == path.len() {
            return if path.is_empty() { "/" } else { path };
        }
        path = shorter;
    }
}

/// True for `index.html`, `index.php`, …: the page that a server shows for the folder.
fn is_index(name: &str) -> bool {
    name.strip_prefix("index.").is_some_and(|extension| {
        (1..=5).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// Decodes a segment. Characters that would change the address's structure (`%2F`), that can't be seen, or
/// that are not valid UTF-8 stay encoded.
fn decode_segment(to: &mut String, raw: &str) {
    // As nearly all are.
    if raw.bytes().all(is_safe_byte) {
        to.push_str(raw);
        return;
    }
    let bytes: Vec<u8> = percent_decode_str(raw).collect();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().nfc() {
            push_or_encode(to, c, is_safe(c));
        }
        for byte in chunk.invalid() {
            push_encoded(to, *byte);
        }
    }
}

fn encode_query(to: &mut String, text: &str) {
    for c in text.nfc() {
        push_or_encode(to, c, is_safe(c) && !matches!(c, '&' | '=' | '+'));
    }
}

/// True for characters that an address holds unencoded.
fn is_safe(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if c.is_ascii() => is_safe_byte(byte),
        // Letters, marks and digits of every script; no spaces, controls, or marks that reorder or
        // hide text.
        _ => c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c),
    }
}

fn push_or_encode(to: &mut String, c: char, safe: bool) {
    if safe {
        to.push(c);
    } else {
        let mut buffer = [0; 4];
        c.encode_utf8(&mut buffer).bytes().for_each(|byte| push_encoded(to, byte));
    }
}

fn push_encoded(to: &mut String, byte: u8) {
    to.push_str(percent_encoding::percent_encode_byte(byte));
}

fn bounded(mut address: String) -> String {
    if address.len() > ADDRESS_BYTES_MAX {
        let hash = hash_of(&address);
        let mut end = ADDRESS_BYTES_MAX - 1 - hash.len();
        while !address.is_char_boundary(end) {
            end -= 1;
        }
        address.truncate(end);
        address.push('~');
        address.push_str(&hash);
    }
    address
}

/// True for an address that [`bounded`] has shortened.
fn is_cut(text: &str) -> bool {
    // A cut goes back by up to three bytes to where a character begins.
    let is_as_long = (ADDRESS_BYTES_MAX - 3..=ADDRESS_BYTES_MAX).contains(&text.len());
    let is_hash = |tail: &str| {
        tail.len() == HASH_CHARS && tail.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_visible = |start: &str| start.chars().all(|c| is_safe(c) || matches!(c, '/' | '?' | '%'));
    is_as_long
        && text.starts_with('/')
        && text.rsplit_once('~').is_some_and(|(start, tail)| is_hash(tail) && is_visible(start))
}

fn hash_of(text: &str) -> String {
    use base64::Engine as _;
    let digest = Sha256::digest(text.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params() -> Vec<String> {
        ["nv", "op", "id"].map(str::to_owned).to_vec()
    }

    fn address(url: &str) -> String {
        PageAddress::of(&Url::parse(url).unwrap(), &params()).to_string()
    }

    #[test]
    fn one_article_is_one_page_however_it_was_linked() {
        for url in [
            "https://a.vn/tin-tuc/b%C3%A0i-1",
            "http://www.a.vn:8080/tin-tuc/bài-1/",
            "https://a.vn/tin-tuc/b%c3%a0i-1#binh-luan",
            "https://a.vn/tin-tuc/ba\u{300}i-1/index.html",
            "https://a.vn/tin-tuc/./x/../bài-1?utm_source=fb&fbclid=1",
        ] {
            assert_eq!(address(url), "/tin-tuc/bài-1", "{url}");
        }
    }

    #[test]
    fn the_front_page_is_a_slash() {
        for url in ["https://a.vn", "https://a.vn/", "https://a.vn/index.php", "https://a.vn//", "https://a.vn/?q=tìm"]
        {
            assert_eq!(address(url), "/", "{url}");
        }
    }

    #[test]
    fn parameters_that_name_an_article_stay_in_their_order() {
        assert_eq!(address("https://a.vn/index.php?id=7&utm=x&nv=news&q=riêng+tư"), "/?nv=news&id=7");
        assert_eq!(address("https://a.vn/?nv=a%26op%3Db"), "/?nv=a%26op%3Db");
        assert_eq!(address("https://a.vn/?id=%E1%BA%A3nh&id=2"), "/?id=ảnh");
    }

    #[test]
    fn what_would_change_the_structure_or_hide_stays_encoded() {
        assert_eq!(address("https://a.vn/a%2Fb"), "/a%2Fb");
        assert_eq!(address("https://a.vn/a%3Fb%23c%25d"), "/a%3Fb%23c%25d");
        assert_eq!(address("https://a.vn/a%20b%0A%00"), "/a%20b%0A%00");
        assert_eq!(address("https://a.vn/%FF%C3"), "/%FF%C3");
        assert_eq!(address("https://a.vn/<script>"), "/%3Cscript%3E");
        assert_eq!(address("https://a.vn/a%E2%80%AEb"), "/a%E2%80%AEb");
        assert_eq!(address("https://a.vn/(other)"), "/(other)");
    }

    #[test]
    fn long_addresses_end_in_a_hash_and_never_collide() {
        let long = |tail: &str| address(&format!("https://a.vn/{}{tail}", "ă".repeat(600)));
        assert!(long("x").len() <= ADDRESS_BYTES_MAX);
        assert_ne!(long("x"), long("y"));
        assert_eq!(long("x"), long("x/"));
    }

    #[test]
    fn a_long_address_is_imported_as_it_was_exported_wherever_it_was_cut() {
        for path in ["%00".repeat(300), "ả".repeat(300), "a".repeat(487) + "?id=7&nv=8", "a".repeat(490) + "?id=7"] {
            for more in 0..6 {
                let exported = address(&format!("https://a.vn/{}{path}", "b".repeat(more)));
                assert!(exported.len() <= ADDRESS_BYTES_MAX);
                assert_eq!(PageAddress::from_import(&exported, &params()).unwrap().as_str(), exported);
            }
        }
    }

    proptest! {
        #[test]
        fn an_address_is_bounded_visible_and_its_own_address(path in "(/[\\PC%\\x00-\\x20]{0,9}){0,4}", query in "\\PC{0,20}") {
            let Ok(url) = Url::parse(&format!("https://a.vn{path}?id={query}")) else { return Ok(()) };
            let first = PageAddress::of(&url, &params());
            prop_assert!(first.as_str().len() <= ADDRESS_BYTES_MAX);
            prop_assert!(first.as_str().starts_with('/'));
            prop_assert!(!first.as_str().chars().any(|c| c.is_control() || c.is_whitespace()));
            let again = PageAddress::from_import(first.as_str(), &params());
            prop_assert_eq!(again, Some(first));
        }
    }

    #[test]
    fn an_address_of_the_greatest_length_is_left_alone_and_one_byte_more_is_cut() {
        let of = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert_eq!(bounded(of(ADDRESS_BYTES_MAX)), of(ADDRESS_BYTES_MAX));
        let cut = PageAddress::from_stored(&bounded(of(ADDRESS_BYTES_MAX + 1)));
        assert!(cut.is_cut() && !PageAddress::from_stored(&of(ADDRESS_BYTES_MAX)).is_cut());
        // As long, and each with one thing that no cut address has.
        let (start, hash) = cut.as_str().rsplit_once('~').unwrap();
        for other in
            [format!("a{}~{hash}", &start[1..]), format!("{start}~{}.", &hash[1..]), format!("{} ~{hash}", &start[1..])]
        {
            assert!(!is_cut(&other), "{other}");
        }
        assert!(!is_cut(&format!("/~{hash}")));
    }

    #[test]
    fn pages_are_told_apart_by_address_fingerprint_and_id() {
        let page = PageAddress::from_stored;
        assert!(page("/a") == page("/a") && page("/a") != page("/b"));
        assert_eq!(page("/a").fingerprint(), page("/a").fingerprint());
        assert_ne!(page("/a").fingerprint(), page("/b").fingerprint());
        assert!(page("/a").id() == page("/a").id() && page("/a").id() != page("/b").id());
        assert_eq!(page("/a").id().len(), HASH_CHARS);
        assert!(page(OTHER).is_other() && !page("/(other)").is_other());
    }
}
