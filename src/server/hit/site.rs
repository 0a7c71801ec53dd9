//! Site of a request, and the origins from which it takes hits.

use std::sync::Arc;

use hyper::StatusCode;
use url::Url;

use crate::counter::{RegisteredSite, Sites};
use crate::server::http::{Field, HeaderFields, HttpError, headers, shown};

/// Sites with series of their own in the metrics; the others share one.
const SITES_WITH_SERIES: u32 = 1_000;

/// The site's label in the metrics, and true if no other site shares it.
pub fn metric_label(site: &RegisteredSite) -> (&str, bool) {
    if site.number.0 <= SITES_WITH_SERIES { (site.site.id.as_str(), true) } else { ("(other)", false) }
}

pub fn find(sites: &Sites, id: &str) -> Result<Arc<RegisteredSite>, HttpError> {
    if let Some(site) = sites.get(id) {
        return Ok(Arc::clone(site));
    }
    let lower = id.to_ascii_lowercase();
    let hint = match sites.get(&lower) {
        Some(_) => format!("did you mean `{lower}`?"),
        None => "use an id from the node's configuration".to_owned(),
    };
    let detail = format!("there is no site `{}`; {hint}", shown(id));
    Err(HttpError::new(StatusCode::NOT_FOUND, "site", detail).at("site"))
}

/// Refuses an `Origin` header that is not of the site's page. It proves nothing: any program but a
/// browser can send any origin.
pub fn check_origin(site: &RegisteredSite, page: &str, headers: &impl HeaderFields) -> Result<(), HttpError> {
    let is_allowed = |origin: &&[u8]| {
        // As a rule the page's own origin.
        let is_origin = origin.iter().filter(|byte| **byte == b'/').count() == 2;
        if is_origin
            && let Some(rest) = page.as_bytes().strip_prefix(*origin)
            && matches!(rest.first(), None | Some(b'/'))
        {
            return true;
        }
        let url = headers::text(origin).and_then(|text| Url::parse(text).ok());
        url.is_some_and(|url| site.site.covers(&url))
    };
    match headers.values(Field::Origin).find(|origin| !is_allowed(origin)) {
        None => Ok(()),
        Some(origin) => {
            let (origin, id) = (shown(&String::from_utf8_lossy(origin)), &site.site.id);
            let detail = format!("origin `{origin}` is not allowed for site `{id}`; add it to `origins`");
            Err(HttpError::new(StatusCode::FORBIDDEN, "origin", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, ORIGIN};

    use super::*;
    use crate::counter::{Site, SiteNumber};

    fn site() -> RegisteredSite {
        let site = Site::with_defaults("demo".parse().unwrap(), vec!["https://a.vn".parse().unwrap()]);
        RegisteredSite::new(SiteNumber(1), site)
    }

    #[test]
    fn a_site_is_found_by_its_id_and_a_misspelt_one_is_suggested() {
        let sites: Sites = [site()].into_iter().collect();
        assert_eq!(find(&sites, "demo").unwrap().number, SiteNumber(1));
        let misspelt = find(&sites, "Demo").unwrap_err().to_string();
        assert_eq!(misspelt, "there is no site `Demo`; did you mean `demo`?");
        let long = find(&sites, &"x".repeat(1_000)).unwrap_err().to_string();
        assert!(long.contains(&format!("`{}`;", "x".repeat(80))), "a stranger's text is cut");
    }

    #[test]
    fn an_origin_is_the_pages_or_another_of_the_site() {
        let check = |origins: &[&str]| {
            let headers: HeaderMap = origins.iter().map(|origin| (ORIGIN, origin.parse().unwrap())).collect();
            check_origin(&site(), "https://a.vn/bai-1", &headers)
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["https://a.vn"]), Ok(()));
        for foreign in [&["https://a.vn.evil.vn"][..], &["null"], &["https://a.vn", "https://b.vn"], &["https://"]] {
            let error = check(foreign).unwrap_err();
            assert!(error.reason == "origin" && error.to_string().contains(foreign.last().unwrap()), "{error}");
        }
    }
}
