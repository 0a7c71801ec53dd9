//! What a hit says of itself: the fields of its body, or of a pixel's query.
//!
//! Site and url decide what is counted, so they are as they should be, or the hit is refused. A title
//! is decoration: whatever is wrong with one costs the title, never the hit.

use std::borrow::Cow;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::refusal::Refusal;

/// A beacon's body; fields that this version does not know are a newer script's.
#[derive(Debug, Deserialize)]
pub struct Fields<'a> {
    #[serde(borrow)]
    pub site: Cow<'a, str>,
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// What the page calls itself.
    #[serde(borrow, default, deserialize_with = "text_of")]
    pub title: Option<Cow<'a, str>>,
    /// A program steers the browser; anything but `true` says nothing.
    #[serde(default, deserialize_with = "is_true")]
    pub webdriver: bool,
}

/// The same where the title is none.
#[derive(Deserialize)]
struct Untitled<'a> {
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
    enum Said {
        Plainly(bool),
        Otherwise(IgnoredAny),
    }
    Ok(matches!(Said::deserialize(deserializer)?, Said::Plainly(true)))
}

/// A string as JSON lets one be written, of which a part may be no text: half of an emoji, where a
/// title was cut.
fn text_of<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    struct Title;

    impl<'de> Visitor<'de> for Title {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
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

    deserializer.deserialize_bytes(Title)
}

impl<'a> Fields<'a> {
    /// JSON, or a form; whatever the Content-Type says, since `text/plain` spares a preflight.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let error = match std::str::from_utf8(body) {
            Ok(text) => return Self::parse_text(text),
            Err(error) => error,
        };
        let text = String::from_utf8_lossy(body);
        match Fields::parse_text(&text) {
            Ok(fields) if ![&fields.site, &fields.url].iter().any(|text| holds_no_text(text)) => {
                Ok(fields.into_owned())
            }
            _ => Err(Refusal::BodyNotUtf8 { at: error.valid_up_to() }),
        }
    }

    fn parse_text(text: &'a str) -> Result<Self, Refusal> {
        let text = text.trim_start();
        let fields = match text.bytes().next() {
            None => return Err(Refusal::BodyEmpty),
            Some(b'{') => Self::parse_json(text)?,
            Some(b'[' | b'"') => return Err(Refusal::NeitherObjectNorForm),
            Some(_) => Self::parse_form(text)?,
        };
        match (fields.site.is_empty(), fields.url.is_empty()) {
            (true, _) => Err(Refusal::FieldEmpty { field: "site" }),
            (_, true) => Err(Refusal::FieldEmpty { field: "url" }),
            _ => Ok(fields),
        }
    }

    fn parse_json(text: &'a str) -> Result<Self, Refusal> {
        serde_json::from_str(text).or_else(|error| match serde_json::from_str(text) {
            Ok(Untitled { site, url, webdriver }) => Ok(Self { site, url, title: None, webdriver }),
            Err(_) => Err(diagnose(text, &error)),
        })
    }

    fn parse_form(text: &'a str) -> Result<Self, Refusal> {
        if !text.contains('=') {
            return Err(Refusal::NeitherObjectNorForm);
        }
        let field = |field| form_field(text, field)?.ok_or(Refusal::FieldMissing { field });
        let webdriver = form_field(text, "webdriver")?.is_some_and(|value| value == "true");
        Ok(Self { site: field("site")?, url: field("url")?, title: form_title(text), webdriver })
    }

    /// A query such as the pixel's; without a `url` in it, the page is the one that `Referer` names.
    pub fn parse_query(query: &'a str, referer: Option<&'a str>) -> Result<Self, Refusal> {
        let site = form_field(query, "site")?.ok_or(Refusal::FieldMissing { field: "site" })?;
        let url = form_field(query, "url")?.or(referer.map(Cow::Borrowed));
        let url = url.ok_or(Refusal::FieldMissing { field: "url" })?;
        Ok(Self { site, url, title: form_title(query), webdriver: false })
    }

    fn into_owned<'b>(self) -> Fields<'b> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Fields { site: owned(self.site), url: owned(self.url), title: self.title.map(owned), webdriver: self.webdriver }
    }
}

fn values_of<'a>(form: &'a str, field: &str) -> impl Iterator<Item = Cow<'a, str>> {
    // The values of other fields need no decoding, which would allocate.
    let may_be_it = move |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name == field || name.contains('%')
    };
    let pairs = form.split('&').filter(may_be_it).flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    pairs.filter(move |(key, _)| key == field).map(|(_, value)| value)
}

/// A field of a form, which may stand there once.
pub fn form_field<'a>(form: &'a str, field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut values = values_of(form, field);
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::FieldTwice { field });
    }
    match value {
        Some(value) if holds_no_text(&value) => Err(Refusal::FieldEncoding { field }),
        value => Ok(value),
    }
}

/// A form's title: of several none, for who knows which is meant.
fn form_title(form: &str) -> Option<Cow<'_, str>> {
    let mut titles = values_of(form, "title");
    titles.next().filter(|_| titles.next().is_none())
}

/// The decoders' mark for bytes that are not UTF-8 is in it; no address holds it of its own.
fn holds_no_text(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

/// What is wrong with a body that can't be read; off the path of good ones.
fn diagnose(text: &str, error: &serde_json::Error) -> Refusal {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return Refusal::NotJson { reason: error.to_string() };
    };
    for field in ["site", "url"] {
        let found = match value.get(field) {
            None => return Refusal::FieldMissing { field },
            Some(serde_json::Value::String(_)) => continue,
            Some(serde_json::Value::Null) => "null",
            Some(serde_json::Value::Bool(_)) => "a boolean",
            Some(serde_json::Value::Number(_)) => "a number",
            Some(serde_json::Value::Array(_)) => "an array",
            Some(serde_json::Value::Object(_)) => "an object",
        };
        return Refusal::FieldType { field, found };
    }
    Refusal::NotJson { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title_in(json: &str) -> Option<String> {
        let body = format!(r#"{{"title":{json},"site":"demo","url":"http://localhost/a","new":"\ud83d"}}"#);
        let fields = Fields::parse(body.as_bytes()).unwrap_or_else(|refusal| panic!("{body}: {refusal}"));
        assert_eq!((&*fields.site, &*fields.url, fields.webdriver), ("demo", "http://localhost/a", false), "{body}");
        fields.title.map(Cow::into_owned)
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
    fn a_forms_title_costs_no_hit_either() {
        for (title, read) in [
            ("title=Tin+t%E1%BB%A9c", Some("Tin tức")),
            ("title=Tin%FF", Some("Tin\u{fffd}")),
            ("title=a&title=b", None),
            ("x=1", None),
        ] {
            let form = format!("{title}&site=demo&url=http://localhost/a");
            for fields in [Fields::parse(form.as_bytes()), Fields::parse_query(&form, None)] {
                assert_eq!(fields.unwrap().title.as_deref(), read, "{form}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_forms_field_has_the_values_that_the_standard_gives_it(form in "([a+=&]|%75|%ff|%|u|rl|url){0,20}") {
            let all = form_urlencoded::parse(form.as_bytes());
            let expected: Vec<_> = all.filter(|(key, _)| key == "url").map(|(_, value)| value).collect();
            proptest::prop_assert_eq!(values_of(&form, "url").collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_may_stand_in_a_title_and_nowhere_that_counts() {
        let json = |site: &[u8], url: &[u8], title: &[u8]| {
            [&br#"{"site":""#[..], site, br#"","url":""#, url, br#"","title":""#, title, br#""}"#].concat()
        };
        let form = |site: &[u8], url: &[u8], title: &[u8]| [b"site=", site, b"&url=", url, b"&title=", title].concat();
        for body in [json(b"demo", b"http://a.vn/", b"Tin\xff"), form(b"demo", b"http://a.vn/", b"Tin\xff")] {
            assert_eq!(Fields::parse(&body).unwrap().title.as_deref(), Some("Tin\u{fffd}"));
        }
        for body in [
            json(b"demo\xff", b"http://a.vn/", b"Tin"),
            json(b"demo", b"http://a.vn/\xff", b"Tin"),
            form(b"demo\xff", b"http://a.vn/", b"Tin"),
            form(b"demo", b"http://a.vn/\xff", b"Tin"),
        ] {
            let at = body.iter().position(|byte| *byte == 0xff).unwrap();
            assert_eq!(Fields::parse(&body).unwrap_err(), Refusal::BodyNotUtf8 { at });
        }
    }

    #[test]
    fn what_is_no_json_is_none_whatever_its_title() {
        for body in [
            r#"{"site":"demo","url":"http://a.vn/","title":"\ud8"}"#,
            r#"{"site":"demo","url":"http://a.vn/","title":1"#,
        ] {
            assert!(matches!(Fields::parse(body.as_bytes()), Err(Refusal::NotJson { .. })), "{body}");
        }
    }
}
