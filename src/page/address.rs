//! A page's address: made of a url by the rule, bounded, hashed once.

use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};
use url::Url;

use super::path::Path;
use super::query::{self, Context, Fate};
use super::rules::PageRules;
use super::text;

/// Longest address in bytes; a longer one is cut and ends in a hash of the whole.
pub(super) const ADDRESS_BYTES_MAX: usize = 512;

/// Bytes of SHA-256 that distinguish long addresses, and members of a Redis key: 128 bits, so that not even
/// someone who tries finds two that collide.
const HASH_BYTES: usize = 16;
/// Length of the hash in base64.
const HASH_CHARS: usize = (HASH_BYTES * 8).div_ceil(6);

/// A page's address by rule 2, for example `/tin-tuc/bài-1` or `/?id=7&nv=news`.
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
    pub fn of(url: &Url, rules: &PageRules) -> Self {
        let path = Path::of(url.path(), rules.case);
        let route = route_of(url, rules);
        match url.query() {
            None if route.is_none() && path.text().len() <= ADDRESS_BYTES_MAX => Self::new(path.text()),
            query => {
                let mut address = String::with_capacity(path.text().len() + query.map_or(0, str::len) + 1);
                address.push_str(path.text());
                if let Some(query) = query {
                    query::push(&mut address, query, &Context { rules, is_root: path.is_root(), path: Some(&path) });
                }
                address.extend(route);
                Self::new(&bounded(address))
            }
        }
    }

    /// The same of a url that is no more than a path; none where a byte has to be changed, or where it is too long.
    pub fn of_plain_path(path: &str, rules: &PageRules) -> Option<Self> {
        let path = Path::of_ordinary(path, rules.case)?;
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

    /// An address written by a person, in an import: a path with perhaps a query and a route, made canonical.
    pub fn from_import(text: &str, rules: &PageRules) -> Option<Self> {
        if text == OTHER {
            return Some(Self::other());
        }
        // An export's: what its hash was made of is gone, and the cut may lie anywhere.
        if is_cut(text) {
            return Some(Self::new(text));
        }
        if let Some(plain) = Self::of_plain_path(text, rules) {
            return Some(plain);
        }
        let url = if text.starts_with('/') {
            Url::parse(&format!("http://page.invalid{text}")).ok()?
        } else {
            Url::parse(text).ok()?
        };
        matches!(url.scheme(), "http" | "https").then(|| Self::of(&url, rules))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address without query and route.
    pub fn path(&self) -> &str {
        self.text.split(['?', '#']).next().unwrap_or_default()
    }

    /// True for the site's front page.
    pub fn is_home(&self) -> bool {
        &*self.text == "/"
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

impl PageRules {
    /// Parameters of `url` that have a value, by name: each with its value and its fate.
    pub fn fates(&self, url: &Url) -> Vec<(String, String, Fate)> {
        let path = Path::of(url.path(), self.case);
        let context = Context { rules: self, is_root: path.is_root(), path: Some(&path) };
        let judged = query::judged(url.query().unwrap_or_default(), &context);
        judged.into_iter().map(|param| (param.name.into_owned(), param.value.into_owned(), param.fate)).collect()
    }
}

/// Route of a client-side router, `#/tin-tuc/1` or `#!/tin-tuc/1`, with a query of its own; none at its root.
/// The script sends a fragment under `data-spa="hash"` only.
fn route_of(url: &Url, rules: &PageRules) -> Option<String> {
    let fragment = url.fragment()?;
    let (mark, rest) = match fragment.strip_prefix('!') {
        Some(rest) => ("#!", rest),
        None => ("#", fragment.starts_with('/').then_some(fragment)?),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = Path::of_route(path);
    let is_root = path.is_empty();
    let mut route = format!("{mark}{}", if is_root { "/" } else { &path });
    let bare = route.len();
    query::push(&mut route, query, &Context { rules, is_root, path: None });
    (!is_root || route.len() > bare).then_some(route)
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
    is_as_long
        && text.starts_with('/')
        && !text.starts_with("//")
        && text.rsplit_once('~').is_some_and(|(start, tail)| is_hash(tail) && text::is_visible(start))
}

fn hash_of(text: &str) -> String {
    use base64::Engine as _;
    let digest = Sha256::digest(text.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> PageRules {
        PageRules::with_defaults("vi")
    }

    fn address(url: &str) -> String {
        PageAddress::of(&Url::parse(url).unwrap(), &rules()).to_string()
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
    fn a_long_address_is_imported_as_it_was_exported_wherever_it_was_cut() {
        for path in ["%00".repeat(300), "ả".repeat(300), "a".repeat(487) + "?id=7&nv=8", "a".repeat(490) + "?id=7"] {
            for more in 0..6 {
                let exported = address(&format!("https://a.vn/{}{path}", "b".repeat(more)));
                assert!(exported.len() <= ADDRESS_BYTES_MAX);
                assert_eq!(PageAddress::from_import(&exported, &rules()).unwrap().as_str(), exported);
            }
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
