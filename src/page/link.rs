//! The real address of a page: a link that opens it where the folded address might not.

use url::Url;

use super::address::PageAddress;
use super::path::Path;
use super::query::{self, Context};
use super::rules::PageRules;

/// Longest link in bytes.
const LINK_BYTES_MAX: usize = 1_000;

/// The path, query and route of `url` as they were written, with no parameters but those that open the page; none
/// where that is the page's address, too long, or could lead off the site.
pub fn link_of(url: &Url, page: &PageAddress, rules: &PageRules) -> Option<String> {
    let path = Path::of(url.path(), rules.case);
    // A session in the path.
    let has_session = url.path().contains(';') || url.path().contains("/(");
    let mut link = if has_session { path.text().to_owned() } else { url.path().to_owned() };
    if let Some(query) = url.query() {
        let context = Context { rules, is_root: path.is_root(), path: Some(&path) };
        query::push_written(&mut link, query, &context);
    }
    if let Some(route) = page.as_str().split_once('#').and(url.fragment()) {
        let (path, query) = route.split_once('?').unwrap_or((route, ""));
        link.push('#');
        link.push_str(path);
        let is_root = Path::of_route(path.strip_prefix('!').unwrap_or(path)).is_empty();
        query::push_written(&mut link, query, &Context { rules, is_root, path: None });
    }
    let is_on_site = link.starts_with('/') && !link.starts_with("//");
    (is_on_site && link.len() <= LINK_BYTES_MAX && !leads_to(&link, page)).then_some(link)
}

/// True if the page's address opens the same as the link.
fn leads_to(link: &str, page: &PageAddress) -> bool {
    let parsed = Url::parse("http://page.invalid").ok().and_then(|base| base.join(page.as_str()).ok());
    !page.is_cut() && parsed.is_some_and(|url| url[url::Position::BeforePath..] == *link)
}

#[cfg(test)]
mod tests {
    use super::super::rules::PageParams;
    use super::*;

    fn link(text: &str) -> Option<String> {
        link_by(&PageRules::with_defaults("vi"), text)
    }

    fn link_by(rules: &PageRules, text: &str) -> Option<String> {
        let url = Url::parse(&format!("https://a.vn{text}")).unwrap();
        link_of(&url, &PageAddress::of(&url, rules), rules)
    }

    #[test]
    fn a_link_is_what_was_written_where_the_address_is_another() {
        for (text, expected) in [
            ("/tin/", Some("/tin/")),
            ("/Tin/Bai.ASPX?ItemID=5&utm_source=x", Some("/Tin/Bai.ASPX?ItemID=5")),
            ("/index.php?nv=news&id=7", Some("/index.php?nv=news&id=7")),
            (
                "/index.php?option=com_content&view=article&id=7:a&Itemid=9&fbclid=1",
                Some("/index.php?option=com_content&view=article&id=7:a&Itemid=9"),
            ),
            ("/viewtopic.php?f=2&t=159100001", Some("/viewtopic.php?f=2&t=159100001")),
            ("/app#!/tin/2?utm_source=x", None),
            ("/app/#/tin/2", Some("/app/#/tin/2")),
            ("/app#/bai?id=7", None),
            ("/app#/bai?id=7&a=1&utm_source=x", Some("/app#/bai?id=7&a=1")),
            ("/app/#!/bai/?so=7&me=a%40b.vn", Some("/app/#!/bai/?so=7")),
            ("/app/#/?id=7", Some("/app/#/?id=7")),
        ] {
            assert_eq!(link(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn an_address_that_opens_is_its_own_link_and_nothing_leads_off_the_site() {
        for text in ["/", "/bai-1", "/b%C3%A0i", "/bai?id=7", "/bai?fbclid=1", "/bai?id=7#top", "//evil.example/x"] {
            assert_eq!(link(text), None, "{text}");
        }
        assert_eq!(link("/a;jsessionid=12?id=1").as_deref(), None);
        assert_eq!(link("/tin?me=a%40b.vn&b=1&a=2").as_deref(), Some("/tin?b=1&a=2"));
        assert_eq!(link(&format!("/?b=1&a={}", "x".repeat(LINK_BYTES_MAX))), None);
        let cut = format!("/{}", "x".repeat(600));
        assert_eq!(link(&cut), Some(cut));
    }

    #[test]
    fn a_link_has_no_parameter_that_the_site_did_not_name() {
        let named = PageParams::Only(["id".parse().unwrap()].into());
        let rules = PageRules { params: named, ..PageRules::with_defaults("vi") };
        assert_eq!(link_by(&rules, "/tin/?cccd=A1234&id=7&ten=Nguyen").as_deref(), Some("/tin/?id=7"));
        assert_eq!(link_by(&rules, "/app/#/tin?ten=Nguyen&id=7").as_deref(), Some("/app/#/tin?id=7"));
    }

    #[test]
    fn nothing_but_short_words_stands_beside_what_names_the_article() {
        let article = "/index.php?option=com_content&view=article&id=7:a";
        let long = "x".repeat(65);
        for (beside, is_written) in [
            ("catid=9:tin", true),
            ("Itemid=9", true),
            ("u=https://evil.example/", false),
            ("u=https%3A%2F%2Fevil.example", false),
            ("u=//evil.example", false),
            ("u=%5C%5Cevil.example", false),
            ("u=javascript:alert(1)", false),
            (&format!("u={long}"), false),
            ("utm_source=x", false),
            ("me=a%40b.vn", false),
        ] {
            let expected = if is_written { format!("{article}&{beside}") } else { article.to_owned() };
            assert_eq!(link(&format!("{article}&{beside}")), Some(expected), "{beside}");
        }
        // Those behind the first 64 are not judged.
        let many: Vec<_> = (0..70).map(|at| format!("a{at:02}=1")).collect();
        let many = link(&format!("/tin/?{}&u=https://evil.example/", many.join("&"))).unwrap();
        assert_eq!(many, "/tin/?a00=1&a01=1&a02=1&a03=1&a04=1&a05=1&a06=1&a07=1");
    }
}
