//! Home page of a configured node: says what is here, and where editors find their page.

use askama::Template as _;
use hyper::{Response, StatusCode};

use crate::server::http::{AnswerBody, FixedFields, HTML, HeaderSink as _, NO_STORE, fixed, response};

/// In Vietnamese and English. Its links are relative, so that they hold under a path prefix.
#[derive(askama::Template)]
#[template(path = "home.html")]
struct Home {
    has_editors_page: bool,
}

/// No script, no form, and of styles only the page's own, by their hash.
static POLICY: FixedFields = fixed!(
    "content-security-policy":
    "default-src 'none'; style-src 'sha256-4Exp0OZaflq4oQyVCir2J1SYgj3mGmKrHqq2gnMiGHU='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-robots-tag": "noindex",
);

/// The page. `has_editors_page`: this listener serves the editors' page too.
pub fn page(has_editors_page: bool) -> Response<AnswerBody> {
    let text = Home { has_editors_page }.render().unwrap_or_default();
    let mut response = response::typed(StatusCode::OK, &HTML, text);
    response.headers_mut().fixed(&NO_STORE);
    response.headers_mut().fixed(&POLICY);
    response
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use hyper::header::CONTENT_SECURITY_POLICY;
    use sha2::Digest as _;

    use super::*;

    fn text(has_editors_page: bool) -> String {
        Home { has_editors_page }.render().unwrap()
    }

    #[test]
    fn the_policy_holds_the_hash_of_the_pages_styles() {
        let page_text = text(false);
        let style = page_text.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
        let policy = page(false).headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{hash}: {policy}");
        assert!(!page_text.contains("<script") && !page_text.contains(" style="));
    }

    #[test]
    fn the_editors_page_is_linked_only_where_this_listener_has_it() {
        assert_eq!(text(true).matches("<a href=\"manage\">").count(), 2);
        assert!(!text(false).contains("manage"));
    }
}
