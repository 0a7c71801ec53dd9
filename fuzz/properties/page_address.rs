//! The address of a page, as a hit or an import gives it.

use thongke::counter::{PageAddress, RegisteredSite, Site, SiteNumber};
use thongke::server::hit::page_url::page_of;
use url::Url;

const ADDRESS_BYTES_MAX: usize = 512;

pub fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let site = site();
    // The input as it is, and as the rest of one of the site's addresses.
    for text in [text.to_owned(), format!("https://a.vn{text}"), format!("https://a.vn/{text}")] {
        match page_of(&site, &text) {
            Ok(page) => {
                let host = Url::parse(&text).unwrap().host_str().map(str::to_owned);
                assert!(host.as_deref().is_some_and(|host| host == "a.vn" || host.ends_with(".b.vn")), "{text}");
                is_an_address(&page, &site.site);
            }
            Err(error) => assert!(matches!(error.status.as_u16(), 400 | 403), "{text}: {error}"),
        }
    }
    if let Some(page) = PageAddress::from_import(text, &site.site.page_rules)
        && !page.is_other()
    {
        is_an_address(&page, &site.site);
    }
}

/// Asserts that an address is bounded, visible and canonical: an export can be imported again.
pub fn is_an_address(page: &PageAddress, site: &Site) {
    let address = page.as_str();
    assert!(address.starts_with('/') && address.len() <= ADDRESS_BYTES_MAX, "{address}");
    assert!(!address.chars().any(|c| c.is_control() || c.is_whitespace()), "{address:?}");
    assert!(!address.contains(['<', '>', '"', '\\', '\u{202e}', '\u{200b}']), "{address:?}");
    // A fragment is a route.
    assert!(address.split_once('#').is_none_or(|(_, route)| route.starts_with(['/', '!']) && !route.contains('#')));
    assert_eq!(PageAddress::from_import(address, &site.page_rules).as_ref(), Some(page), "{address}");
    if address.len() >= ADDRESS_BYTES_MAX - 3 {
        // It ends in a hash: no link can lead to it.
        return;
    }
    let link = format!("https://a.vn{address}");
    let followed = Url::parse(&link).unwrap_or_else(|error| panic!("{link}: {error}"));
    assert_eq!(&PageAddress::of(&followed, &site.page_rules), page, "{link}");
}

fn site() -> RegisteredSite {
    let origins = ["https://a.vn", "https://*.b.vn"].map(|origin| origin.parse().unwrap()).to_vec();
    RegisteredSite::new(SiteNumber(1), Site::with_defaults("a".parse().unwrap(), origins))
}
