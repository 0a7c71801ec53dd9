//! Paths of a site that shares its host with others.

use smol_str::SmolStr;

use super::PageAddress;
use crate::page::{PageCase, PageRules};

/// Longest path in bytes: addresses are cut behind it only.
const BYTES_MAX: usize = 200;

/// Paths under which a site's pages lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePaths {
    /// Canonical paths, and behind them those in lower case that differ: addresses may be so.
    forms: Box<[SmolStr]>,
    named: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no path of pages: {reason}; expected for example `/xa-a`")]
pub struct SitePathError {
    text: String,
    reason: &'static str,
}

/// A path as pages' addresses begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePath {
    path: SmolStr,
    lower: SmolStr,
}

impl std::str::FromStr for SitePath {
    type Err = SitePathError;

    fn from_str(text: &str) -> Result<Self, SitePathError> {
        let error = |reason| SitePathError { text: text.chars().take(80).collect(), reason };
        if !text.starts_with('/') {
            return Err(error("it begins with no slash"));
        }
        if text.contains(['?', '#', '*', '\\']) || text.chars().any(char::is_control) {
            return Err(error("it holds more than segments"));
        }
        let of_case = |case| {
            let rules = PageRules { case, ..PageRules::with_defaults("vi") };
            PageAddress::from_import(text, &rules).map(|page| SmolStr::from(page.path()))
        };
        let (Some(path), Some(lower)) = (of_case(PageCase::Keep), of_case(PageCase::Fold)) else {
            return Err(error("it can't be read"));
        };
        match &*path {
            "/" => Err(error("all pages lie under it, as they do without `paths`")),
            path if leads_away(path) => Err(error("a segment of it leads elsewhere")),
            path if path.len() > BYTES_MAX => Err(error("it is longer than 200 bytes")),
            _ => Ok(Self { path, lower }),
        }
    }
}

impl std::fmt::Display for SitePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

impl SitePaths {
    /// None without a path: all pages are the site's.
    pub fn of(paths: &[SitePath], case: PageCase) -> Option<Self> {
        let named = paths.iter().map(|path| path.path.clone());
        let lower = paths.iter().filter(|path| case != PageCase::Keep && path.lower != path.path);
        let forms: Box<[SmolStr]> = named.chain(lower.map(|path| path.lower.clone())).collect();
        (!forms.is_empty()).then_some(Self { forms, named: paths.len() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.forms.iter().take(self.named).map(SmolStr::as_str)
    }

    /// True if the page lies under one of the paths, by whole segments.
    pub fn hold(&self, page: &PageAddress) -> bool {
        let path = page.path();
        let is_under = |form: &SmolStr| {
            path.strip_prefix(form.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.forms.iter().any(is_under) && !leads_away(path)
    }
}

/// True if a server may take part of a segment for `..`: `..%2Fxa-b`, `..;`. In addresses, plain ones are resolved.
fn leads_away(path: &str) -> bool {
    let is_up = |segment: &str| {
        let parts = segment.split(';').flat_map(|part| part.split("%2F")).flat_map(|part| part.split("%5C"));
        parts.map(|part| part.trim_end_matches("%00")).any(|part| part == "..")
    };
    path.contains("..") && path.split('/').any(is_up)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn paths(texts: &[&str], case: PageCase) -> SitePaths {
        let paths: Vec<SitePath> = texts.iter().map(|text| text.parse().unwrap()).collect();
        SitePaths::of(&paths, case).unwrap()
    }

    fn hold(paths: &SitePaths, url: &str, case: PageCase) -> bool {
        let rules = PageRules { case, ..PageRules::with_defaults("vi") };
        paths.hold(&PageAddress::of(&Url::parse(url).unwrap(), &rules))
    }

    #[test]
    fn pages_lie_under_a_path_by_whole_segments() {
        let of_two = paths(&["/xa-a", "/vn/xa-b/"], PageCase::Auto);
        for inside in [
            "/xa-a",
            "/xa-a/",
            "/xa-a?id=1",
            "/xa-a#/tin",
            "/xa-a/tin/1.html",
            "//xa-a//tin",
            "/%78a-a/tin",
            "/./xa-a",
            "/xa-b/../xa-a/tin",
            "/index.php/xa-a/tin",
            "/xa-a;jsessionid=1/tin",
            "/xa-a/a..b/c",
            "/vn/xa-b/tin",
        ] {
            assert!(hold(&of_two, &format!("https://a.vn{inside}"), PageCase::Auto), "{inside}");
        }
        for outside in [
            "/",
            "/xa-ab",
            "/xa",
            "/xa-a.html",
            "/xa-a-moi/tin",
            "/vn",
            "/vn/xa-a",
            "/xa-a/../xa-c",
            "/xa-a/%2e%2E/xa-c",
            "/xa-a/.%2e/xa-c",
            "/xa-a\\..\\xa-c",
            "/xa-a%2Ftin",
            "/xa-a%2F..%2Fxa-c",
            "/xa-a/..%2Fxa-c",
            "/xa-a/tin%2F..%2F..%2Fxa-c",
            "/xa-a/..%5cxa-c",
            "/xa-a/..;/xa-c",
            "/xa-a/..%00/xa-c",
            "/?p=/xa-a",
            "/#/xa-a",
            "/XA-A/tin",
        ] {
            assert!(!hold(&of_two, &format!("https://a.vn{outside}"), PageCase::Auto), "{outside}");
        }
    }

    #[test]
    fn a_path_is_compared_as_addresses_are() {
        for (path, url, case, is_inside) in [
            ("/Xa-A", "/Xa-A/tin", PageCase::Auto, true),
            // Of a server without case.
            ("/Xa-A", "/XA-A/Tin.aspx", PageCase::Auto, true),
            ("/Xa-A", "/xa-A/Default.aspx", PageCase::Auto, true),
            ("/Xa-A", "/XA-a/tin", PageCase::Fold, true),
            ("/Xa-A", "/XA-a/tin", PageCase::Auto, false),
            ("/Xa-A", "/xa-a/tin", PageCase::Keep, false),
            ("/Xã-A", "/X%C3%A3-A/tin", PageCase::Keep, true),
            // The same letter, composed.
            ("/Xa\u{303}-A", "/Xã-A", PageCase::Keep, true),
        ] {
            assert_eq!(hold(&paths(&[path], case), &format!("https://a.vn{url}"), case), is_inside, "{path} {url}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        for (text, reason) in [
            ("xa-a", "no slash"),
            ("", "no slash"),
            ("https://a.vn/xa-a", "no slash"),
            ("/", "as they do without"),
            ("/index.html", "as they do without"),
            ("/xa-a/..", "as they do without"),
            ("/xa-a?x=1", "more than segments"),
            ("/xa-*", "more than segments"),
            ("/xa-a/..%2f", "leads elsewhere"),
            (&format!("/{}", "x".repeat(300)), "longer"),
        ] {
            let error = text.parse::<SitePath>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let shown = paths(&["/xa-a/", "//Xa-B"], PageCase::Auto);
        assert_eq!(shown.iter().collect::<Vec<_>>(), ["/xa-a", "/Xa-B"]);
    }
}
