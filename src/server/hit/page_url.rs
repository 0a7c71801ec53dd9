//! Page of a hit: an address on one of the site's origins.

use hyper::StatusCode;
use url::Url;

use crate::counter::{PageAddress, PlainUrl, RegisteredSite};
use crate::page;
use crate::server::http::{HttpError, shown};

/// Paths that a message names.
const PATHS_NAMED_MAX: usize = 5;

pub fn page_of(site: &RegisteredSite, text: &str) -> Result<PageAddress, HttpError> {
    if let Some(url) = PlainUrl::of(text)
        && let Some(page) = PageAddress::of_plain_path(url.path, &site.site.page_rules)
        && site.site.covers_plain(url)
        && site.site.holds(&page)
    {
        return Ok(page);
    }
    let url = parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HttpError::field("url", "`url` is not an http or https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::field("url", "`url` has a user name or password; send it without"));
    }
    if !site.site.covers(&url) {
        let origin = shown(&url.origin().ascii_serialization());
        let detail =
            format!("origin `{origin}` of the page is not allowed for site `{}`; add it to `origins`", site.site.id);
        return Err(HttpError::new(StatusCode::FORBIDDEN, "origin", detail).at("url"));
    }
    let page = PageAddress::of(&url, &site.site.page_rules);
    if !site.site.holds(&page) {
        return Err(outside(site, &page));
    }
    Ok(page)
}

/// A page of the site's origins that is another site's.
fn outside(site: &RegisteredSite, page: &PageAddress) -> HttpError {
    let paths: Vec<_> = site.site.paths.iter().flat_map(|paths| paths.iter()).take(PATHS_NAMED_MAX).collect();
    let detail = format!(
        "page `{}` lies under none of the paths of site `{}` ({}); add its path to `paths`, or give the page the tag of \
         its own site",
        shown(page.as_str()),
        site.site.id,
        paths.join(", ")
    );
    HttpError::new(StatusCode::FORBIDDEN, "origin", detail).at("url")
}

/// The page's real address, of which `canonical` was taken where it is there.
pub fn link_of(site: &RegisteredSite, page: &PageAddress, url: &str, canonical: Option<&str>) -> Option<String> {
    let url = Url::parse(canonical.unwrap_or(url)).ok()?;
    page::link_of(&url, page, &site.site.page_rules)
}

pub fn parse(text: &str) -> Result<Url, HttpError> {
    let expected = "expected for example https://portal.example.vn/tin-tuc/bai-1";
    let malformed = |error| HttpError::field("url", format!("`url` is not an address ({error}); {expected}"));
    Url::parse(text).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Site, SiteNumber, SitePaths};

    #[test]
    fn a_page_lies_on_an_origin_of_its_site() {
        let site = Site::with_defaults("demo".parse().unwrap(), vec!["https://a.vn".parse().unwrap()]);
        let site = RegisteredSite::new(SiteNumber(1), site);
        let page = |text| page_of(&site, text).map(|page| page.to_string());
        assert_eq!(page("https://a.vn/bai-1"), Ok("/bai-1".to_owned()));
        assert_eq!(page("HTTPS://A.vn:443/bai-1#top"), Ok("/bai-1".to_owned()));
        for (foreign, origin) in [("https://b.vn/bai-1", "https://b.vn"), ("http://A.vn:81/x", "http://a.vn:81")] {
            let error = page(foreign).unwrap_err();
            assert!(error.reason == "origin" && error.to_string().contains(origin), "{error}");
        }
        // Nothing of a url can stand in for its origin, and no address leads off the site.
        for (url, address) in [
            ("https://a.vn//evil.example/x", Some("/evil.example/x")),
            ("https://a.vn/\\\\evil.example", Some("/evil.example")),
            ("https://a.vn:0443/bai", Some("/bai")),
            ("https://a.vn\t/b\nai", Some("/bai")),
            ("https://a.vn/a%00b", Some("/a%00b")),
            ("//evil.example/x", None),
            ("https:evil.example/x", None),
            ("https://a.vn@evil.example/x", None),
            ("https://a.vn:444/x", None),
            ("https://a.vn:99999/x", None),
            ("https://a.vn%00.evil.example/x", None),
            ("https://a.vn./x", None),
            ("https://а.vn/x", None),
        ] {
            assert_eq!(page(url).ok().as_deref(), address, "{url:?}");
        }
        for wrong in ["ftp://a.vn/", "https://me:secret@a.vn/", "bai-1"] {
            assert_eq!(page(wrong).unwrap_err().reason, "malformed", "{wrong}");
        }
    }

    #[test]
    fn a_page_lies_under_a_path_of_its_site() {
        let mut site = Site::with_defaults("xa-a".parse().unwrap(), vec!["https://a.vn".parse().unwrap()]);
        site.paths = SitePaths::of(&["/xa-a".parse().unwrap()], site.page_rules.case).map(Into::into);
        let site = RegisteredSite::new(SiteNumber(1), site);
        let page = |text| page_of(&site, text).map(|page| page.to_string());
        assert_eq!(page("https://a.vn/xa-a/tin"), Ok("/xa-a/tin".to_owned()));
        assert_eq!(page("https://a.vn/xa-b/../%78a-a/tin?id=1"), Ok("/xa-a/tin?id=1".to_owned()));
        for foreign in ["https://a.vn/xa-ab", "https://a.vn/xa-a/../xa-b", "https://a.vn/xa-a%2Fb", "https://a.vn/"] {
            let error = page(foreign).unwrap_err();
            let said = error.to_string();
            assert!(error.reason == "origin" && said.contains("none of the paths of site `xa-a` (/xa-a)"), "{said}");
        }
        assert_eq!(page("https://b.vn/xa-a").unwrap_err().reason, "origin");
    }

    #[test]
    fn an_international_name_is_the_same_in_letters_and_as_it_is_sent() {
        let site = Site::with_defaults("demo".parse().unwrap(), vec!["https://thanhphố.vn".parse().unwrap()]);
        let site = RegisteredSite::new(SiteNumber(1), site);
        for url in ["https://thanhphố.vn/bài-1", "https://xn--thanhph-fy4c.vn/b%C3%A0i-1", "https://THANHPHỐ.VN/bài-1"]
        {
            assert_eq!(page_of(&site, url).map(|page| page.to_string()), Ok("/bài-1".to_owned()), "{url}");
        }
    }
}
