//! Payload of a hit: the fields of its body, or of a pixel's query.
//!
//! Site and url decide what is counted, so a hit with wrong ones is refused. A wrong title or canonical
//! address is left out; the hit counts.

use std::borrow::Cow;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::server::http::{HttpError, form};

/// Fields of a hit. Unknown ones are a newer script's, and ignored.
#[derive(Debug, Deserialize)]
pub struct Payload<'a> {
    #[serde(borrow)]
    pub site: Cow<'a, str>,
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// The page's title.
    #[serde(borrow, default, deserialize_with = "text_of")]
    pub title: Option<Cow<'a, str>>,
    /// Address of the page's `<link rel="canonical">`.
    #[serde(borrow, default, deserialize_with = "text_of")]
    pub canonical: Option<Cow<'a, str>>,
    /// A program drives the browser. Any value but `true` is ignored.
    #[serde(default, deserialize_with = "is_true")]
    pub webdriver: bool,
}

/// A payload whose title is unreadable.
#[derive(Deserialize)]
struct Untitled<'a> {
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_of")]
    canonical: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "is_true")]
    webdriver: bool,
}

/// A payload whose canonical address is unreadable.
#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(default, deserialize_with = "is_true")]
    webdriver: bool,
}

fn is_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Other(IgnoredAny),
    }
    Ok(matches!(Flag::deserialize(deserializer)?, Flag::Bool(true)))
}

/// Reads a JSON string of which a part may be no text, such as half an emoji where a title was cut.
fn text_of<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    struct Text;

    impl<'de> Visitor<'de> for Text {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
            value.deserialize_bytes(self)
        }

        fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
            Ok(Some(String::from_utf8_lossy(bytes)))
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }

    deserializer.deserialize_option(Text)
}

impl<'a> Payload<'a> {
    /// Parses JSON or a form, whatever the Content-Type: a page sends `text/plain` to avoid a preflight.
    pub fn parse(body: &'a [u8]) -> Result<Self, HttpError> {
        let error = match std::str::from_utf8(body) {
            Ok(text) => return Self::parse_text(text),
            Err(error) => error,
        };
        let text = String::from_utf8_lossy(body);
        match Payload::parse_text(&text) {
            Ok(payload) if ![&payload.site, &payload.url].iter().any(|text| form::has_invalid_utf8(text)) => {
                Ok(payload.into_owned())
            }
            _ => {
                let at = error.valid_up_to();
                Err(HttpError::malformed(format!("the body is not valid UTF-8 (first wrong byte at {at})")))
            }
        }
    }

    fn parse_text(text: &'a str) -> Result<Self, HttpError> {
        let text = text.trim_start();
        let payload = match text.bytes().next() {
            None => return Err(unreadable("empty")),
            Some(b'{') => Self::parse_json(text)?,
            Some(b'[' | b'"') => return Err(unreadable("neither a JSON object nor a form")),
            Some(_) => Self::parse_form(text)?,
        };
        let empty = [("site", &payload.site), ("url", &payload.url)].into_iter().find(|(_, text)| text.is_empty());
        match empty {
            Some((field, _)) => Err(HttpError::field(field, format!("`{field}` is empty"))),
            None => Ok(payload),
        }
    }

    fn parse_json(text: &'a str) -> Result<Self, HttpError> {
        let error = match serde_json::from_str(text) {
            Ok(payload) => return Ok(payload),
            Err(error) => error,
        };
        if let Ok(Untitled { site, url, canonical, webdriver }) = serde_json::from_str(text) {
            return Ok(Self { site, url, title: None, canonical, webdriver });
        }
        match serde_json::from_str(text) {
            Ok(Bare { site, url, webdriver }) => Ok(Self { site, url, title: None, canonical: None, webdriver }),
            Err(_) => Err(diagnose(text, &error)),
        }
    }

    fn parse_form(text: &'a str) -> Result<Self, HttpError> {
        if !text.contains('=') {
            return Err(unreadable("neither a JSON object nor a form"));
        }
        let field = |field| form::field(text, field)?.ok_or_else(|| missing(field));
        let webdriver = form::field(text, "webdriver")?.is_some_and(|value| value == "true");
        Ok(Self {
            site: field("site")?,
            url: field("url")?,
            title: single(text, "title"),
            canonical: single(text, "canonical"),
            webdriver,
        })
    }

    /// Parses the pixel's query. Without a `url` in it, the page is the one that `Referer` names.
    pub fn parse_query(query: &'a str, referer: Option<&'a str>) -> Result<Self, HttpError> {
        let site = form::field(query, "site")?.ok_or_else(|| missing("site"))?;
        let url = form::field(query, "url")?.or(referer.map(Cow::Borrowed));
        let url = url.ok_or_else(|| missing("url"))?;
        Ok(Self { site, url, title: single(query, "title"), canonical: single(query, "canonical"), webdriver: false })
    }

    fn into_owned<'b>(self) -> Payload<'b> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Payload {
            site: owned(self.site),
            url: owned(self.url),
            title: self.title.map(owned),
            canonical: self.canonical.map(owned),
            webdriver: self.webdriver,
        }
    }
}

/// A form's optional field; none if it has several of it.
fn single<'a>(form: &'a str, field: &str) -> Option<Cow<'a, str>> {
    let mut values = form::values(form, field);
    values.next().filter(|_| values.next().is_none())
}

/// Finds what is wrong with an unreadable body; a good one never gets here.
fn diagnose(text: &str, error: &serde_json::Error) -> HttpError {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return unreadable(&format!("not JSON: {error}"));
    };
    for field in ["site", "url"] {
        let found = match value.get(field) {
            None => return missing(field),
            Some(serde_json::Value::String(_)) => continue,
            Some(serde_json::Value::Null) => "null",
            Some(serde_json::Value::Bool(_)) => "a boolean",
            Some(serde_json::Value::Number(_)) => "a number",
            Some(serde_json::Value::Array(_)) => "an array",
            Some(serde_json::Value::Object(_)) => "an object",
        };
        return HttpError::field(field, format!("`{field}` is {found}; expected a string"));
    }
    unreadable(&format!("not JSON: {error}"))
}

fn missing(field: &'static str) -> HttpError {
    HttpError::field(field, format!("`{field}` is missing; `site` and `url` are required"))
}

fn unreadable(found: &str) -> HttpError {
    let example = r#"{"site":"demo","url":"https://portal.example.vn/tin-tuc/bai-1"}"#;
    HttpError::malformed(format!("the body is {found}; expected for example {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title_in(json: &str) -> Option<String> {
        let body = format!(r#"{{"title":{json},"site":"demo","url":"http://localhost/a","new":"\ud83d"}}"#);
        let payload = Payload::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!((&*payload.site, &*payload.url, payload.webdriver), ("demo", "http://localhost/a", false), "{body}");
        payload.title.map(Cow::into_owned)
    }

    #[test]
    fn a_title_is_text_or_none_and_costs_no_hit() {
        for (json, title) in [
            (r#""Tin""#, Some("Tin")),
            (r#""Ti\u006e \ud83d\ude00""#, Some("Tin \u{1f600}")),
            ("null", None),
            ("1", None),
            ("-1.5e300", None),
            ("true", None),
            ("{}", None),
            (r#"{"a":["\udc00"]}"#, None),
            (r#"["a",{},null]"#, None),
            (r#""a","title":"b""#, None),
        ] {
            assert_eq!(title_in(json).as_deref(), title, "{json}");
        }
        for half in [r#""Tin \ud83d""#, r#""\ude00Tin ""#, r#""Tin\ud83d ""#] {
            let title = title_in(half).unwrap();
            assert_eq!(title.replace(char::REPLACEMENT_CHARACTER, "").trim(), "Tin", "{half}");
        }
    }

    #[test]
    fn a_canonical_address_is_text_or_none_and_costs_no_hit() {
        for (fields, canonical) in [
            (r#""canonical":"https://a.vn/b","title":"Tin""#, Some("https://a.vn/b")),
            (r#""canonical":"https://a.vn/b","title":null"#, Some("https://a.vn/b")),
            (r#""canonical":null,"title":"\ud83d""#, None),
            (r#""canonical":["\udc00"],"title":7"#, None),
            (r#""canonical":{"\ud83d":1},"title":null"#, None),
        ] {
            let body = format!(r#"{{{fields},"site":"demo","url":"http://localhost/a"}}"#);
            assert_eq!(Payload::parse(body.as_bytes()).unwrap().canonical.as_deref(), canonical, "{body}");
        }
        assert_eq!(title_in(r#""Tin","canonical":null"#).as_deref(), Some("Tin"));
        let form = "canonical=https://a.vn/b&site=demo&url=http://localhost/a";
        for payload in [Payload::parse(form.as_bytes()), Payload::parse_query(form, None)] {
            assert_eq!(payload.unwrap().canonical.as_deref(), Some("https://a.vn/b"));
        }
        let twice = format!("{form}&canonical=/x");
        assert_eq!(Payload::parse(twice.as_bytes()).unwrap().canonical, None);
    }

    #[test]
    fn a_forms_title_costs_no_hit_either() {
        for (title, read) in [
            ("title=Tin+t%E1%BB%A9c", Some("Tin tức")),
            ("title=Tin%FF", Some("Tin\u{fffd}")),
            ("title=a&title=b", None),
            ("x=1", None),
        ] {
            let form = format!("{title}&site=demo&url=http://localhost/a");
            for payload in [Payload::parse(form.as_bytes()), Payload::parse_query(&form, None)] {
                assert_eq!(payload.unwrap().title.as_deref(), read, "{form}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_may_stand_in_a_title_and_nowhere_that_counts() {
        let json = |site: &[u8], url: &[u8], title: &[u8]| {
            [&br#"{"site":""#[..], site, br#"","url":""#, url, br#"","title":""#, title, br#""}"#].concat()
        };
        let form = |site: &[u8], url: &[u8], title: &[u8]| [b"site=", site, b"&url=", url, b"&title=", title].concat();
        for body in [json(b"demo", b"http://a.vn/", b"Tin\xff"), form(b"demo", b"http://a.vn/", b"Tin\xff")] {
            assert_eq!(Payload::parse(&body).unwrap().title.as_deref(), Some("Tin\u{fffd}"));
        }
        for body in [
            json(b"demo\xff", b"http://a.vn/", b"Tin"),
            json(b"demo", b"http://a.vn/\xff", b"Tin"),
            form(b"demo\xff", b"http://a.vn/", b"Tin"),
            form(b"demo", b"http://a.vn/\xff", b"Tin"),
        ] {
            let at = body.iter().position(|byte| *byte == 0xff).unwrap();
            let error = Payload::parse(&body).unwrap_err().to_string();
            assert!(error.contains(&format!("(first wrong byte at {at})")), "{error}");
        }
    }

    #[test]
    fn malformed_json_is_refused_whatever_its_title() {
        for body in [
            r#"{"site":"demo","url":"http://a.vn/","title":"\ud8"}"#,
            r#"{"site":"demo","url":"http://a.vn/","title":1"#,
        ] {
            let error = Payload::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("the body is not JSON: "), "{body}: {error}");
        }
    }
}
