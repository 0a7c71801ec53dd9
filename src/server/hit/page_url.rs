//! Page of a hit: an address on one of the site's origins.

use url::Url;

use crate::counter::{PageAddress, PlainUrl, RegisteredSite};
use crate::server::http::error::{HttpError, shown};

pub fn page_of(site: &RegisteredSite, text: &str) -> Result<PageAddress, HttpError> {
    if let Some(url) = PlainUrl::of(text)
        && let Some(page) = PageAddress::of_plain(url)
        && site.site.covers_plain(url)
    {
        return Ok(page);
    }
    let url = Url::parse(text).map_err(|error| HttpError::UrlMalformed { reason: error.to_string() })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HttpError::UrlScheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::UrlCredentials);
    }
    if !site.site.covers(&url) {
        let origin = shown(&url.origin().ascii_serialization());
        return Err(HttpError::PageForeign { origin, site: site.site.id.to_string() });
    }
    Ok(PageAddress::of(&url, &site.site.page_params))
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
            let error = HttpError::PageForeign { origin: origin.to_owned(), site: "demo".to_owned() };
            assert_eq!(page(foreign), Err(error));
        }
        assert_eq!(page("ftp://a.vn/"), Err(HttpError::UrlScheme));
        assert_eq!(page("https://me:secret@a.vn/"), Err(HttpError::UrlCredentials));
        assert!(matches!(page("bai-1"), Err(HttpError::UrlMalformed { .. })));
    }
}
