//! Rule 1, of 0.1: addresses under which older counts stand.

use unicode_normalization::UnicodeNormalization as _;
use url::Url;

use super::address::{PageAddress, bounded};
use super::pattern::Pattern;
use super::rules::{PageParams, PageRules};
use super::text::{self, Part};

/// Parameters that rule 1 kept where the site named none, in their order.
const PARAMS: [&str; 12] =
    ["nv", "op", "id", "p", "page_id", "option", "view", "catid", "tabid", "mid", "ItemID", "articleId"];

/// The former address of `page`, read at `url`; none where the present rule gives that address to another page.
pub fn former(url: &Url, page: &PageAddress, rules: &PageRules) -> Option<PageAddress> {
    let mut address = path_of(url.path());
    let mut separator = '?';
    let mut push = |name: &str| {
        let found = url.query_pairs().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty());
        let Some((key, value)) = found else { return };
        address.push(separator);
        // A configured name is known in lower case only.
        encode(&mut address, if PARAMS.contains(&name) { name } else { &key });
        address.push('=');
        encode(&mut address, &value);
        separator = '&';
    };
    match &rules.params {
        PageParams::AllButNoise => PARAMS.iter().for_each(|name| push(name)),
        PageParams::Only(patterns) => {
            for pattern in &**patterns {
                if let Pattern::Exact(name) = pattern {
                    push(name);
                }
            }
        }
    }
    let former = PageAddress::from_stored(&bounded(address));
    (former != *page && PageAddress::from_import(former.as_str(), rules).as_ref() == Some(page)).then_some(former)
}

/// The present address of a page that was listed; rule 1's is known by being another.
pub fn current(listed: &PageAddress, rules: &PageRules) -> PageAddress {
    PageAddress::from_import(listed.as_str(), rules).unwrap_or_else(|| listed.clone())
}

fn path_of(raw: &str) -> String {
    let segments: Vec<_> = raw.split('/').map(|segment| text::canonical(segment, Part::Segment)).collect();
    let path = segments.join("/");
    let mut path = &*path;
    loop {
        let shorter = path.trim_end_matches('/');
        let shorter = shorter.rsplit_once('/').filter(|(_, last)| is_index(last)).map_or(shorter, |(parent, _)| parent);
        if shorter.len() == path.len() {
            return if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        }
        path = shorter;
    }
}

fn is_index(name: &str) -> bool {
    name.strip_prefix("index.").is_some_and(|extension| {
        (1..=5).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn encode(to: &mut String, text: &str) {
    for c in text.nfc() {
        if text::is_safe(c) && !matches!(c, '&' | '=' | '+') {
            to.push(c);
        } else {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer)
                .bytes()
                .for_each(|byte| to.push_str(percent_encoding::percent_encode_byte(byte)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn former_of(text: &str, rules: &PageRules) -> Option<String> {
        let url = Url::parse(&format!("https://a.vn{text}")).unwrap();
        former(&url, &PageAddress::of(&url, rules), rules).map(|page| page.to_string())
    }

    #[test]
    fn a_page_that_the_rule_only_renames_has_its_former_address() {
        let rules = PageRules::with_defaults("vi");
        for (text, address) in [
            ("/index.php?language=vi&nv=news&op=Tin/bai-7&id=7", Some("/?nv=news&op=Tin%2Fbai-7&id=7")),
            ("/?id=7&nv=news", Some("/?nv=news&id=7")),
            ("/Tin/Bai.aspx?itemid=5", Some("/Tin/Bai.aspx?ItemID=5")),
            ("/tin//bai?fbclid=1", Some("/tin//bai")),
            ("/tin/bai-1?utm_source=x", None),
            // Rule 1 gave one address to all of these, and the rule still knows a page of that address.
            ("/?pageid=27160&docid=214590", None),
            ("/viewtopic.php?t=5", None),
            ("/bai?id=1&x=2", None),
        ] {
            assert_eq!(former_of(text, &rules).as_deref(), address, "{text}");
        }
        let patterns = ["so", "Loai", "x*"].map(|text| text.parse().unwrap());
        let named = PageRules { params: PageParams::Only(patterns.into()), ..rules };
        assert_eq!(former_of("/a?Loai=b&so=1", &named).as_deref(), Some("/a?so=1&Loai=b"));
    }

    #[test]
    fn a_listed_address_is_shown_as_the_present_rule_has_it() {
        let rules = PageRules::with_defaults("vi");
        let shown = |listed: &str| current(&PageAddress::from_stored(listed), &rules).to_string();
        assert_eq!(shown("/?nv=news&op=Tin%2Fbai-7&id=7"), "/?id=7&nv=news&op=Tin/bai-7");
        for same in ["/", "/?id=7&nv=news", "(other)", "/a%20b"] {
            assert_eq!(shown(same), same);
        }
    }
}
