//! Parts of a page that matter to the counter, read with a tokenizer of the HTML standard.

use html5gum::emitters::default::{DefaultEmitter, StartTag};
use html5gum::{HtmlString, Spanned, Token, Tokenizer};
use url::Url;

/// Part of the name by which the script is known, also to itself.
const NAME: &str = "thongke";

/// The page's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub url: Url,
    /// Address by which the page's relative ones are resolved.
    pub base: Url,
    /// Scripts that are the counter's by their name, or that have a `data-site`.
    pub tags: Vec<Tag>,
    pub pixels: Vec<Pixel>,
    /// Policies of `<meta http-equiv>`.
    pub policies: Vec<String>,
    pub canonical: Option<String>,
    /// Referrer policy of `<meta name>`.
    pub referrer: Option<String>,
    /// The tag stands in a comment.
    pub has_comment_with_tag: bool,
    /// A script of the page writes the tag, or text shows it.
    pub has_text_with_tag: bool,
}

/// A `<script>` that may be the counter's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tag {
    pub src: Option<String>,
    pub site: Option<String>,
    pub kind: Option<String>,
    pub integrity: Option<String>,
    pub nonce: Option<String>,
    pub has_crossorigin: bool,
    /// It is the counter's by its name.
    pub is_named: bool,
    /// Element around it in which no script runs.
    pub inside: Option<&'static str>,
}

/// An `<img>` of the pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixel {
    pub src: String,
    pub is_in_noscript: bool,
}

impl Page {
    pub fn read(html: &[u8], url: &Url) -> Self {
        let mut page = Self {
            url: url.clone(),
            base: url.clone(),
            tags: Vec::new(),
            pixels: Vec::new(),
            policies: Vec::new(),
            canonical: None,
            referrer: None,
            has_comment_with_tag: false,
            has_text_with_tag: false,
        };
        page.add(html, None);
        page
    }

    /// The address of a `src`.
    pub fn resolve(&self, src: &str) -> Option<Url> {
        self.base.join(src).ok()
    }

    fn add(&mut self, html: &[u8], around: Option<&'static str>) {
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        let (mut templates, mut is_in_noscript, mut has_base) = (0_u32, false, false);
        for token in Tokenizer::new_with_emitter(html, emitter) {
            // Reading bytes of memory can't fail.
            let Ok(token) = token;
            match token {
                Token::StartTag(tag) => {
                    let inside = around.or((templates > 0).then_some("template"));
                    let is_in_force = inside.is_none();
                    match tag.name.as_slice() {
                        b"template" => templates += 1,
                        b"noscript" => is_in_noscript = true,
                        b"script" => self.tags.extend(script(&tag, inside)),
                        b"img" if inside != Some("template") => {
                            self.pixels.extend(pixel(&tag, inside == Some("noscript")));
                        }
                        b"base" if is_in_force && !has_base => {
                            let base = text(&tag, "href").and_then(|href| self.url.join(href.trim()).ok());
                            has_base = base.is_some();
                            self.base = base.unwrap_or(self.base.clone());
                        }
                        b"link" if is_in_force && has_word(&tag, "rel", "canonical") => {
                            self.canonical = self.canonical.take().or(text(&tag, "href"));
                        }
                        b"meta" if is_in_force => self.meta(&tag),
                        _ => {}
                    }
                }
                Token::EndTag(tag) => match tag.name.as_slice() {
                    b"template" => templates = templates.saturating_sub(1),
                    b"noscript" => is_in_noscript = false,
                    _ => {}
                },
                // A tokenizer takes what is in a <noscript> as text, as browsers with scripts do.
                Token::String(inner) if is_in_noscript && around.is_none() => self.add(&inner, Some("noscript")),
                Token::String(inner) => self.has_text_with_tag |= names_script(&inner),
                Token::Comment(inner) => self.has_comment_with_tag |= names_script(&inner),
                Token::Doctype(_) | Token::Error(_) => {}
            }
        }
    }

    fn meta(&mut self, tag: &StartTag<()>) {
        let Some(content) = text(tag, "content") else { return };
        if has_word(tag, "http-equiv", "content-security-policy") {
            self.policies.push(content);
        } else if has_word(tag, "name", "referrer") {
            self.referrer = Some(content);
        }
    }
}

fn names_script(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains(NAME) && text.contains(".js")
}

fn text(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value: &Spanned<HtmlString, ()> = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn has_word(tag: &StartTag<()>, name: &str, word: &str) -> bool {
    text(tag, name).is_some_and(|value| value.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(word)))
}

fn script(tag: &StartTag<()>, inside: Option<&'static str>) -> Option<Tag> {
    let src = text(tag, "src").map(|src| src.trim().to_owned()).filter(|src| !src.is_empty());
    let is_named = src.as_ref().is_some_and(|src| src.contains(NAME));
    let site = text(tag, "data-site");
    // Other counters have a `data-site` as well.
    (is_named || site.is_some() && src.is_some()).then(|| Tag {
        is_named,
        src,
        site,
        kind: text(tag, "type"),
        integrity: text(tag, "integrity").filter(|hashes| !hashes.trim().is_empty()),
        nonce: text(tag, "nonce"),
        has_crossorigin: text(tag, "crossorigin").is_some(),
        inside,
    })
}

fn pixel(tag: &StartTag<()>, is_in_noscript: bool) -> Option<Pixel> {
    let src = text(tag, "src")?.trim().to_owned();
    src.contains("/v1/hit.gif").then_some(Pixel { src, is_in_noscript })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(html: &str) -> Page {
        Page::read(html.as_bytes(), &Url::parse("https://a.vn/tin/bai").unwrap())
    }

    #[test]
    fn tags_are_found_however_they_are_written() {
        for html in [
            "<script async src=https://c.vn/thongke.js data-site=demo></script>",
            "<SCRIPT\n DATA-SITE='demo' SRC = \" https://c.vn/thongke.js \"></SCRIPT>",
            "<title><script></title><script src=https://c.vn/thongke.js data-site=demo>",
            "<style>/*<script*/</style><p title='<'><script data-site=demo src=https://c.vn/thongke.js></script>",
            "<script src='https://c.vn/thong&#107;e.js' data-site='d&#101;mo'></script>",
        ] {
            let page = read(html);
            assert_eq!(page.tags.len(), 1, "{html}");
            let tag = &page.tags[0];
            assert_eq!(
                (tag.src.as_deref(), tag.site.as_deref()),
                (Some("https://c.vn/thongke.js"), Some("demo")),
                "{html}"
            );
            assert!(tag.is_named && tag.inside.is_none());
        }
    }

    #[test]
    fn what_only_looks_like_a_tag_is_none() {
        let page = read(
            "<!-- <script src=/thongke.js data-site=demo></script> --><script>var x = '<script src=/a.js>'</script>",
        );
        assert!(page.tags.is_empty() && page.has_comment_with_tag && !page.has_text_with_tag);
        let page = read("<script>document.write('<script src=/thongke.js data-site=x><\\/script>')</script>");
        assert!(page.tags.is_empty() && page.has_text_with_tag);
        let page =
            read("<textarea><script src=/thongke.js data-site=demo></script></textarea><script data-site=x></script>");
        assert!(page.tags.is_empty() && page.has_text_with_tag);
    }

    #[test]
    fn scripts_that_do_not_run_and_other_counters_are_marked() {
        let page = read(
            "<noscript><script src=/thongke.js data-site=a></script><img src=https://c.vn/tk/v1/hit.gif?site=a></noscript>\
             <template><script src=/thongke.js data-site=b></script></template>\
             <script src=/thongke.js data-site=c></script><script src=https://other.example/s.js data-site=QWER></script>",
        );
        let found: Vec<_> =
            page.tags.iter().map(|tag| (tag.site.as_deref().unwrap(), tag.inside, tag.is_named)).collect();
        assert_eq!(
            found,
            [("a", Some("noscript"), true), ("b", Some("template"), true), ("c", None, true), ("QWER", None, false)]
        );
        assert_eq!(page.pixels, [Pixel { src: "https://c.vn/tk/v1/hit.gif?site=a".to_owned(), is_in_noscript: true }]);
    }

    #[test]
    fn a_browser_that_runs_scripts_takes_nothing_out_of_noscript_and_template() {
        let inert = "<base href=https://b.vn/><link rel=canonical href=/b><meta name=referrer content=no-referrer>\
             <meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">";
        let pixel = "<img src=/v1/hit.gif?site=a>";
        let page = read(&format!("<noscript>{inert}</noscript><template>{inert}{pixel}</template>"));
        assert_eq!(page.base.as_str(), "https://a.vn/tin/bai");
        assert_eq!((page.canonical, page.referrer, page.policies), (None, None, Vec::new()));
        assert_eq!(page.pixels, []);
    }

    #[test]
    fn the_head_is_read() {
        let page = read(
            "<base href=/cong/><base href=/x/><link rel='alternate canonical' href=https://a.vn/bai><meta name=Referrer content=no-referrer>\
             <meta http-equiv=Content-Security-Policy content=\"script-src 'self'\"><script src=thongke.js></script>",
        );
        assert_eq!(page.canonical.as_deref(), Some("https://a.vn/bai"));
        assert_eq!(
            (page.referrer.as_deref(), page.policies.as_slice()),
            (Some("no-referrer"), &["script-src 'self'".to_owned()][..])
        );
        assert_eq!(page.resolve("thongke.js").unwrap().as_str(), "https://a.vn/cong/thongke.js");
    }
}
