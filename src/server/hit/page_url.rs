//! Page of a hit: an address on one of the site's origins.

use hyper::StatusCode;
use url::Url;

use crate::counter::{PageAddress, PlainUrl, RegisteredSite};
use crate::page;
use crate::server::http::{HttpError, shown};

pub fn page_of(site: &RegisteredSite, text: &str) -> Result<PageAddress, HttpError> {
    if let Some(url) = PlainUrl::of(text)
        && let Some(page) = PageAddress::of_plain_path(url.path, &site.site.page_rules)
        && site.site.covers_plain(url)
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
    Ok(PageAddress::of(&url, &site.site.page_rules))
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
    use crate::counter::{Site, SiteNumber};

    #[test]
    fn a_page_lies_on_an_origin_of_its_site() {
        let site = Site::with_defaults("demo".parse().unwrap(), vec!["https://a.vn".parse().unwrap()]);
        let site = RegisteredSite { number: SiteNumber(1), site };
        let page = |text| page_of(&site, text).map(|page| page.to_string());
        assert_eq!(page("https://a.vn/bai-1"), Ok("/bai-1".to_owned()));
        assert_eq!(page("HTTPS://A.vn:443/bai-1#top"), Ok("/bai-1".to_owned()));
        for (foreign, origin) in [("https://b.vn/bai-1", "https://b.vn"), ("http://A.vn:81/x", "http://a.vn:81")] {
            let error = page(foreign).unwrap_err();
            assert!(error.reason == "origin" && error.to_string().contains(origin), "{error}");
        }
        for wrong in ["ftp://a.vn/", "https://me:secret@a.vn/", "bai-1"] {
            assert_eq!(page(wrong).unwrap_err().reason, "malformed", "{wrong}");
        }
    }
}
