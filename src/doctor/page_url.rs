//! Address of the page that is examined.

use std::str::FromStr;

use url::Url;

/// An address of the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageUrl(pub Url);

impl FromStr for PageUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected for example https://portal.example.vn/tin-tuc";
        let url = Url::parse(text).map_err(|error| format!("it is no address ({error}); {expected}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("it is no address of the web; {expected}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user name or password; leave them out".to_owned());
        }
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_an_address_of_the_web_without_credentials() {
        for text in ["https://a.vn/tin?id=1", "http://localhost:8080", "HTTPS://A.VN"] {
            assert!(text.parse::<PageUrl>().is_ok(), "{text}");
        }
        for text in ["a.vn/tin", "", "ftp://a.vn/", "file:///etc/passwd", "https://me:x@a.vn/", "https://"] {
            assert!(text.parse::<PageUrl>().is_err(), "{text}");
        }
    }
}
