//! The tag to paste, filled in for a site, in all its forms.

use askama::Template;
use url::Url;

use super::frame::Frame;
use super::site_head::{SiteHead, Tab};
use super::site_page::today;
use crate::counter::RegisteredSite;
use crate::server::http::{HttpError, form};

/// In place of an address that is not known here.
const UNKNOWN_ADDRESS: &str = "https://HOST";

#[derive(Template)]
#[template(path = "manage/tag.html")]
pub struct TagPage {
    frame: Frame,
    head: SiteHead,
    /// The counter's public address.
    address: String,
    is_unknown: bool,
    /// The address came with the page's, and this counter has another: a stranger's link may name his own script.
    is_other: bool,
    action: String,
    tags: Vec<Tag>,
    origins: Vec<String>,
}

struct Tag {
    heading: &'static str,
    hint: &'static str,
    text: String,
    rows: usize,
}

/// `own`: the counter's public address, where it is known.
pub fn page(frame: Frame, site: &RegisteredSite, query: &str, own: Option<String>) -> Result<TagPage, HttpError> {
    let words = frame.words;
    let path = format!("/sites/{}/tag", site.site.id);
    let given = form::field(query, "address")?.and_then(|text| address(&text));
    let frame = frame.at(&path, &[("address", given.as_deref().unwrap_or_default())]);
    let is_other = given.is_some() && own.is_some() && given != own;
    let known = given.or(own);
    let is_unknown = known.is_none();
    let address = known.unwrap_or_else(|| UNKNOWN_ADDRESS.to_owned());
    let tag = |heading, hint, text: String| Tag { heading, hint, rows: text.lines().count(), text };
    let tags = vec![
        tag(words.tag_basic, words.tag_basic_hint, format!("<div data-thongke></div>\n{}\n", script(&address, site))),
        tag(words.tag_full, words.tag_full_hint, full(&address, site)),
        tag(words.tag_pixel, words.tag_pixel_hint, format!("{}\n", pixel(&address, site))),
        tag(
            words.tag_views,
            words.tag_views_hint,
            format!("{}: <span data-thongke-page>–</span>\n", site.site.language.page_label()),
        ),
        tag(words.tag_top, words.tag_top_hint, "<ol data-thongke-top=\"limit=5\"></ol>\n".to_owned()),
    ];
    Ok(TagPage {
        head: SiteHead::of(&frame, site, Tab::Tag),
        action: frame.path(&path),
        origins: site.site.origins.iter().map(ToString::to_string).collect(),
        address,
        is_unknown,
        is_other,
        tags,
        frame,
    })
}

fn script(address: &str, site: &RegisteredSite) -> String {
    format!(r#"<script async crossorigin src="{address}/thongke.js" data-site="{}"></script>"#, site.site.id)
}

fn pixel(address: &str, site: &RegisteredSite) -> String {
    format!(r#"<img src="{address}/v1/hit.gif?site={}" alt="" width="1" height="1">"#, site.site.id)
}

/// The tag with its rows, so that nothing moves when the figures arrive, and with the pixel.
fn full(address: &str, registered: &RegisteredSite) -> String {
    let site = &registered.site;
    let day = today(registered);
    let mut text = format!(
        "<div data-thongke>\n  <div class=\"thongke-title\">{}</div>\n  <ul class=\"thongke-figures\">\n",
        escaped(&site.title())
    );
    for key in &*site.figures {
        let label = site.labels.get(key).cloned().unwrap_or_else(|| key.label(site.language, site.label_style, day));
        text.push_str(&format!("    <li data-figure=\"{}\">{} : –</li>\n", key.as_str(), escaped(&label)));
    }
    let (pixel, script) = (pixel(address, registered), script(address, registered));
    text.push_str(&format!("  </ul>\n  <noscript>{pixel}</noscript>\n</div>\n{script}\n"));
    text
}

/// Text as it stands in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The counter's address as a person types it, without a slash at its end.
fn address(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/');
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    let has_host = url.host_str().is_some_and(|host| !host.is_empty()) && url.username().is_empty();
    (is_plain && has_host).then(|| url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::assets::Assets;
    use super::super::locale::Locale;
    use super::*;
    use crate::counter::{Language, Site, SiteNumber};

    #[test]
    fn an_address_is_taken_as_it_is_typed_and_nothing_else_is_an_address() {
        for (typed, taken) in [
            ("dem.vn", Some("https://dem.vn")),
            (" https://dem.vn/tk/ ", Some("https://dem.vn/tk")),
            ("http://dem.vn:8080", Some("http://dem.vn:8080")),
            ("https://a:b@dem.vn", None),
            ("javascript://x/%0aalert(1)", None),
            ("https://dem.vn/?x=\"", None),
            ("", None),
        ] {
            assert_eq!(address(typed).as_deref(), taken, "{typed}");
        }
    }

    #[test]
    fn an_address_that_is_not_this_counters_is_marked() {
        let site = RegisteredSite::new(SiteNumber(1), Site::with_defaults("demo".parse().unwrap(), Vec::new()));
        let locale = Locale { language: Language::English, is_chosen: false };
        let marked = |query: &str, own: Option<&str>| {
            let frame = Frame::bare("", locale, &Assets::new());
            let page = page(frame, &site, query, own.map(str::to_owned)).unwrap();
            page.render().unwrap().contains(locale.words().address_other)
        };
        assert!(marked("address=evil.vn", Some("https://dem.vn")));
        for (query, own) in
            [("", Some("https://dem.vn")), ("address=dem.vn/", Some("https://dem.vn")), ("address=a.vn", None)]
        {
            assert!(!marked(query, own), "{query}");
        }
    }

    #[test]
    fn the_full_tag_has_the_sites_own_rows_as_text() {
        let mut site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        site.own_title = Some("A < B".to_owned());
        let tag = full("https://dem.vn/tk", &RegisteredSite::new(SiteNumber(1), site));
        assert!(tag.contains("A &lt; B</div>") && tag.contains("<li data-figure=\"today\">Hôm nay : –</li>"), "{tag}");
        assert!(tag.contains("src=\"https://dem.vn/tk/thongke.js\" data-site=\"demo\""), "{tag}");
        assert!(tag.contains("https://dem.vn/tk/v1/hit.gif?site=demo"), "{tag}");
    }
}
