//! Findings in the page itself: its tag, policy, mixed content.

use url::Url;

use super::csp::{Load, Policies};
use super::finding::Finding;
use super::page::{Page, Pixel, Tag};
use crate::counter::SiteId;

/// Head of the page's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub content_type: String,
    /// `Referrer-Policy`.
    pub referrer: Option<String>,
    /// Values of `Content-Security-Policy`.
    pub policies: Vec<String>,
}

impl Head {
    pub fn policies_with(&self, page: &Page) -> Policies {
        Policies::of(self.policies.iter().map(String::as_str), page.policies.iter().map(String::as_str))
    }
}

/// Tags that a browser runs.
fn running(page: &Page) -> impl Iterator<Item = &Tag> {
    page.tags.iter().filter(|tag| tag.inside.is_none())
}

/// True if the page has a tag or a pixel of the counter that a browser loads.
pub fn has_tag(page: &Page) -> bool {
    running(page).any(|tag| tag.is_named) || !page.pixels.is_empty()
}

/// Findings about the page's answer, and about a tag that is missing.
pub fn findings_of_page(page: &Page, head: &Head) -> Vec<Finding> {
    let mut found = Vec::new();
    match head.status {
        200 => {}
        status => found
            .push(Finding::warning(format!("the page answers with status {status}; look at a page that readers see"))),
    }
    let kind = head.content_type.to_ascii_lowercase();
    if !kind.starts_with("text/html") && !kind.starts_with("application/xhtml+xml") {
        let kind = if kind.is_empty() { "no type" } else { &kind };
        found.push(Finding::warning(format!("the page is `{kind}`, not `text/html`: browsers run no tag in it")));
    }
    if let Some(word) = head.policies_with(page).sandbox_lacks() {
        found.push(Finding::wrong(format!(
            "the page's Content-Security-Policy has `sandbox` without `{word}`: no hit of it counts; add `{word}`, or remove `sandbox`"
        )));
    }
    if running(page).next().is_some() || !page.pixels.is_empty() {
        return found;
    }
    let hidden = page.tags.iter().find(|tag| tag.is_named).and_then(|tag| tag.inside);
    found.push(if let Some(element) = hidden {
        Finding::wrong(format!("the tag is inside <{element}>, where no script runs; move it out"))
    } else if page.has_comment_with_tag {
        Finding::wrong("the tag is in a comment (<!-- … -->); take it out of the comment")
    } else if page.has_text_with_tag {
        Finding::warning(
            "a script of the page seems to add the tag later, which this command can't see; open the page in a browser and look \
             for `thongke` in its console and network",
        )
    } else {
        Finding::wrong(
            "the page has no tag of thongke; put `<script async crossorigin src=\"https://HOST/thongke.js\" data-site=\"ID\"></script>` \
             into its template (`thongke sites show ID` prints it), and clear the portal's cache; a tag that a tag manager adds can't be \
             seen here",
        )
    });
    found
}

/// Findings about one tag, as far as the page tells. `script`: its resolved address.
pub fn findings_of_tag(page: &Page, head: &Head, tag: &Tag, script: &Url, hit: &Url) -> Vec<Finding> {
    let mut found = Vec::from_iter(of_site(tag));
    let policies = head.policies_with(page);
    found.extend(kind_finding(tag));
    if tag.integrity.is_some() && !tag.has_crossorigin && script.origin() != page.url.origin() {
        found.push(Finding::wrong(
            "the tag has `integrity` without `crossorigin`, so browsers refuse the script; add `crossorigin=\"anonymous\"`",
        ));
    }
    if page.url.scheme() == "https" && script.scheme() == "http" && !policies.upgrades() {
        found.push(Finding::wrong(format!(
            "the page is https and the script {script} http, so browsers block it (mixed content); serve the counter by https and \
             write `https://` into the tag"
        )));
    }
    let load = Load::Script { nonce: tag.nonce.as_deref(), integrity: tag.integrity.as_deref() };
    let loads = [(load, upgraded(script, &policies), "script"), (Load::Hit, upgraded(hit, &policies), "hit")];
    let mut is_allowed = true;
    for (load, url, what) in loads {
        let blocked = blocked_finding(page, &policies, load, &url, what);
        is_allowed &= blocked.is_none();
        found.extend(blocked);
    }
    if is_allowed && !policies.is_empty() {
        found.push(Finding::fine("the page's Content-Security-Policy allows the script and the hit"));
    }
    found
}

fn blocked_finding(page: &Page, policies: &Policies, load: Load<'_>, url: &Url, what: &str) -> Option<Finding> {
    let blocked = policies.blocks(load, url, &page.url)?;
    let is_strict = what == "script" && blocked.directive.contains("'strict-dynamic'");
    let change = match is_strict {
        true => "give the tag the page's `nonce`".to_owned(),
        false => format!("add `{}` to `{}`", url.origin().ascii_serialization(), blocked.name),
    };
    Some(Finding::wrong(format!(
        "the page's Content-Security-Policy ({}) blocks the {what}: `{}`; {change}",
        blocked.place, blocked.directive
    )))
}

/// The address that a browser asks for.
fn upgraded(url: &Url, policies: &Policies) -> Url {
    let mut url = url.clone();
    if policies.upgrades() && url.scheme() == "http" {
        // A url of http takes https.
        let _ = url.set_scheme("https");
    }
    url
}

/// An id of another form is for the counter to judge, which knows what was meant.
fn of_site(tag: &Tag) -> Option<Finding> {
    match tag.site.as_deref().unwrap_or_default() {
        "" => Some(Finding::wrong("the tag has no `data-site`; add `data-site=\"ID\"` with the site's id")),
        site => {
            site.parse::<SiteId>().ok().map(|id| Finding::fine(format!("the tag is there, with `data-site=\"{id}\"`")))
        }
    }
}

/// A type under which browsers don't run a script.
fn kind_finding(tag: &Tag) -> Option<Finding> {
    let kind = tag.kind.as_deref().unwrap_or_default().trim().to_ascii_lowercase();
    let runs = ["", "module", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript"];
    if runs.contains(&kind.as_str()) {
        return None;
    }
    Some(Finding::wrong(format!(
        "the tag has `type=\"{kind}\"`, so browsers don't run it, or a consent banner runs it only when a reader agrees; remove `type`: \
         the counter sets no cookie"
    )))
}

/// Findings about a pixel: what blocks it, and whether it learns its page's address.
pub fn findings_of_pixel(page: &Page, head: &Head, pixel: &Pixel) -> Vec<Finding> {
    let Some(url) = page.resolve(&pixel.src) else { return Vec::new() };
    let policies = head.policies_with(page);
    let blocked = blocked_finding(page, &policies, Load::Pixel, &upgraded(&url, &policies), "pixel");
    blocked.into_iter().chain(referrer_finding(page, head, &url)).collect()
}

/// The finding about a pixel that gets its page's address from `Referer`.
fn referrer_finding(page: &Page, head: &Head, pixel: &Url) -> Option<Finding> {
    let has_url = pixel.query_pairs().any(|(name, _)| name == "url");
    // The last one that browsers know holds; one in the page replaces the header's.
    let policy = page.referrer.as_deref().or(head.referrer.as_deref()).unwrap_or_default();
    let policy = policy.rsplit(',').next().unwrap_or_default().trim().to_ascii_lowercase();
    let hides = match policy.as_str() {
        "no-referrer" | "same-origin" => "keeps the page's address from the counter, so its hits are refused",
        "origin" | "origin-when-cross-origin" | "strict-origin" | "strict-origin-when-cross-origin" | "" => {
            "gives the counter the origin alone, so all views count as the front page's"
        }
        _ => return None,
    };
    let shown = if policy.is_empty() {
        "browsers' default referrer policy".to_owned()
    } else {
        format!("`Referrer-Policy: {policy}`")
    };
    let text = format!("the pixel names no page, and {shown} {hides}; add `&url=` with the page's encoded address");
    let refuses = hides.contains("refused");
    (!has_url).then(|| if refuses { Finding::wrong(text) } else { Finding::warning(text) })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Weight;
    use super::*;

    const TAG: &str = "<script async src=https://c.vn/tk/thongke.js data-site=demo></script>";

    fn page(html: &str, url: &str) -> Page {
        Page::read(html.as_bytes(), &Url::parse(url).unwrap())
    }

    fn head(policies: &[&str]) -> Head {
        let policies = policies.iter().map(|&policy| policy.to_owned()).collect();
        Head { status: 200, content_type: "text/html; charset=utf-8".to_owned(), policies, ..Head::default() }
    }

    /// Findings of a page's first tag that are not fine.
    fn faults(html: &str, url: &str, policies: &[&str]) -> Vec<String> {
        let (page, head) = (page(html, url), head(policies));
        let tag = &page.tags[0];
        let script = page.resolve(tag.src.as_deref().unwrap()).unwrap();
        let found = findings_of_tag(&page, &head, tag, &script, &script.join("v1/hit").unwrap());
        found.into_iter().filter(|found| found.weight != Weight::Fine).map(|found| found.text).collect()
    }

    #[test]
    fn a_good_tag_has_no_fault() {
        assert!(has_tag(&page(TAG, "https://a.vn/")));
        assert_eq!(findings_of_page(&page(TAG, "https://a.vn/"), &head(&[])), []);
        let policy = "default-src 'self'; script-src c.vn; connect-src c.vn";
        for policies in [&[][..], &[policy], &[policy, "frame-ancestors 'self'"]] {
            assert_eq!(faults(TAG, "https://a.vn/", policies), [""; 0]);
        }
    }

    #[test]
    fn a_tag_that_is_missing_or_hidden_is_told_apart() {
        for (html, says) in [
            ("<p>x", "has no tag"),
            ("<!-- <script src=thongke.js> -->", "in a comment"),
            ("<noscript><script src=/thongke.js data-site=a></script></noscript>", "inside <noscript>"),
            ("<script>add('//c.vn/thongke.js')</script>", "add the tag later"),
        ] {
            let found = findings_of_page(&page(html, "https://a.vn/"), &head(&[]));
            assert!(found.len() == 1 && found[0].text.contains(says), "{html}: {found:?}");
            assert!(!has_tag(&page(html, "https://a.vn/")));
        }
        let found =
            findings_of_page(&page(TAG, "https://a.vn/"), &Head { status: 404, ..head(&["sandbox allow-scripts"]) });
        assert!(found[0].text.contains("status 404") && found[1].text.contains("`allow-same-origin`"), "{found:?}");
    }

    #[test]
    fn each_fault_of_a_tag_says_what_to_do() {
        for (html, url, policies, says) in [
            ("<script src=https://c.vn/thongke.js></script>", "https://a.vn/", &[][..], "no `data-site`"),
            ("<script src=http://c.vn/thongke.js data-site=demo></script>", "https://a.vn/", &[], "mixed content"),
            (
                "<script type=text/plain src=https://c.vn/thongke.js data-site=demo></script>",
                "https://a.vn/",
                &[],
                "remove `type`",
            ),
            (
                "<script integrity=sha384-x src=https://c.vn/thongke.js data-site=demo></script>",
                "https://a.vn/",
                &[],
                "add `crossorigin=",
            ),
            (
                TAG,
                "https://a.vn/",
                &["script-src 'self'"],
                "(header) blocks the script: `script-src 'self'`; add `https://c.vn` to `script-src`",
            ),
            (
                TAG,
                "https://a.vn/",
                &["default-src 'self'; script-src c.vn"],
                "blocks the hit: `default-src 'self'`; add `https://c.vn` to `connect-src`",
            ),
            (TAG, "https://a.vn/", &["script-src 'strict-dynamic' 'nonce-x'"], "give the tag the page's `nonce`"),
        ] {
            let faults = faults(html, url, policies);
            assert!(faults.len() == 1 && faults[0].contains(says), "{html} {policies:?}: {faults:?}");
        }
        let meta = format!("<meta http-equiv=content-security-policy content=\"connect-src 'self'\">{TAG}");
        assert!(faults(&meta, "https://a.vn/", &[])[0].contains("(<meta>) blocks the hit"));
        let http = "<script src=http://c.vn/thongke.js data-site=demo></script>";
        assert_eq!(faults(http, "http://a.vn/", &[]), [""; 0]);
        assert_eq!(faults(http, "https://a.vn/", &["upgrade-insecure-requests; script-src https:"]), [""; 0]);
    }

    #[test]
    fn a_pixel_needs_its_pages_address() {
        let finding = |meta: &str, header: Option<&str>, query: &str| {
            let page = page(&format!("{meta}<img src=https://c.vn/v1/hit.gif?site=a{query}>"), "https://a.vn/");
            let head = Head { referrer: header.map(str::to_owned), ..head(&[]) };
            findings_of_pixel(&page, &head, &page.pixels[0]).first().map(|found| found.weight)
        };
        assert_eq!(finding("", Some("no-referrer"), ""), Some(Weight::Wrong));
        assert_eq!(finding("<meta name=referrer content=no-referrer>", Some("unsafe-url"), ""), Some(Weight::Wrong));
        assert_eq!(finding("", None, ""), Some(Weight::Warning));
        assert_eq!(finding("", Some("no-referrer-when-downgrade"), ""), None);
        assert_eq!(finding("", Some("no-referrer"), "&amp;url=https%3A%2F%2Fa.vn%2F"), None);
        let policy = "<meta http-equiv=content-security-policy content=\"img-src 'self'\">";
        assert_eq!(finding(policy, Some("unsafe-url"), "&amp;url=x"), Some(Weight::Wrong));
    }
}
