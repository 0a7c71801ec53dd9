//! Names of query parameters: those that a read takes, and what becomes of the others.
//!
//! An unknown name is ignored and reported, so that a link with a campaign's parameters still works. A name that
//! another read takes is an error: the answer would be about something else than was asked.

use hyper::header::HeaderValue;

use crate::server::http::{HttpError, form};
use crate::server::routes::{self, Public};

/// Names that the field reports at most, and the length of each.
const REPORTED_MAX: usize = 8;
const NAME_CHARS_MAX: usize = 32;

/// Labels and digits.
const WORDS: [&str; 2] = ["language", "label_style"];

/// The reads of a site, with their names. An error names the first that takes the parameter.
const READS: [(Public, &[&str]); 6] = [
    (Public::Figures, &["figures"]),
    (Public::PageFigures, &["url", "canonical", "figures"]),
    (Public::TopPages, &["period", "from", "to", "under", "limit"]),
    (Public::History, &["by", "from", "to", "last", "format"]),
    (Public::Chart, &["by", "from", "to", "last"]),
    (Public::PageHistory, &["url", "canonical", "by", "from", "to", "last", "format"]),
];

/// Checks the names of a read's query. Returns the unknown ones, as `Thongke-Ignored` reports them.
pub fn check(endpoint: Public, query: &str) -> Result<Option<HeaderValue>, HttpError> {
    let own = READS.iter().find(|(read, _)| *read == endpoint).map_or(&[][..], |(_, names)| names);
    let mut ignored: Vec<String> = Vec::new();
    for name in form::names(query) {
        if own.contains(&&*name) || WORDS.contains(&&*name) {
            continue;
        }
        for (other, names) in READS {
            if let Some(name) = names.iter().find(|known| ***known == *name) {
                return Err(misplaced(name, endpoint, other));
            }
        }
        if ignored.len() < REPORTED_MAX {
            let name = reported(&name);
            if !ignored.contains(&name) {
                ignored.push(name);
            }
        }
    }
    Ok(if ignored.is_empty() { None } else { HeaderValue::try_from(ignored.join(", ")).ok() })
}

fn misplaced(name: &'static str, endpoint: Public, other: Public) -> HttpError {
    let (here, there) = (routes::public_path(endpoint), routes::public_path(other));
    HttpError::field(name, format!("`{here}` takes no `{name}`; `{there}` does"))
}

/// A stranger's name, harmless wherever it is shown.
fn reported(name: &str) -> String {
    let harmless = |char: char| if char.is_ascii_alphanumeric() || "_-.".contains(char) { char } else { '?' };
    name.chars().take(NAME_CHARS_MAX).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_reported_and_a_known_one_is_not() {
        let reported = |query: &str| {
            let value = check(Public::History, query).unwrap();
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(reported(""), None);
        assert_eq!(reported("by=day&from=2024&to=2024&last=3&format=csv&language=en&label_style=dated"), None);
        assert_eq!(reported("b%79=day&&=&utm_source=a"), Some("utm_source".to_owned()));
        assert_eq!(reported("x=1&y=2&x=3&By=day"), Some("x, y, By".to_owned()));
        assert_eq!(reported("a%0d%0ab%2c=1&%e1%bb%87%ff"), Some("a??b?, ??".to_owned()));
        let many: String = (0..3_000).map(|number| format!("{}{number}=1&", "x".repeat(40))).collect();
        assert_eq!(reported(&many).unwrap().len(), NAME_CHARS_MAX);
        let many: String = (0..3_000).map(|number| format!("x{number}=1&")).collect();
        assert_eq!(reported(&many).unwrap().split(", ").count(), REPORTED_MAX);
    }

    #[test]
    fn a_name_of_another_read_is_refused_with_the_route_that_takes_it() {
        for (endpoint, query, name, path) in [
            (Public::History, "x=1&url=/a", "url", "/v1/sites/{site}/pages/figures"),
            (Public::Figures, "url=/a", "url", "/v1/sites/{site}/pages/figures"),
            (Public::Figures, "period=total", "period", "/v1/sites/{site}/pages"),
            (Public::Chart, "format=csv", "format", "/v1/sites/{site}/history"),
            (Public::Chart, "figures=today", "figures", "/v1/sites/{site}/figures"),
            (Public::TopPages, "l%61st=3", "last", "/v1/sites/{site}/history"),
            (Public::PageFigures, "url=/a&period=2024", "period", "/v1/sites/{site}/pages"),
        ] {
            let error = check(endpoint, query).unwrap_err();
            assert_eq!((error.status.as_u16(), error.field), (400, Some(name)), "{query}");
            assert!(error.detail.contains(&format!("`{path}` does")), "{}", error.detail);
        }
    }
}
