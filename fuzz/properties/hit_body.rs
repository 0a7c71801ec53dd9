//! The body of a hit, JSON or a form.

use thongke::counter::PageTitle;
use thongke::server::hit::payload::Payload;

/// Asserts that an error is readable: people see it in logs and answers.
const DETAIL_BYTES_MAX: usize = 1_024;

pub fn holds(body: &[u8]) {
    match Payload::parse(body) {
        Err(error) => {
            let detail = error.to_string();
            assert!(error.status.is_client_error(), "{detail}");
            assert!(detail.len() <= DETAIL_BYTES_MAX && !detail.chars().any(char::is_control), "{detail:?}");
        }
        Ok(payload) => {
            assert!(!payload.site.is_empty() && !payload.url.is_empty());
            if let Some(title) = payload.title.as_deref().and_then(PageTitle::of) {
                assert!(title.as_str().chars().count() <= 200, "{title:?}");
                assert!(!title.as_str().chars().any(char::is_control), "{title:?}");
                assert_eq!(PageTitle::of(title.as_str()).as_ref(), Some(&title), "a title is its own title");
            }
            reads_the_same_however_it_is_written(&payload);
        }
    }
}

fn reads_the_same_however_it_is_written(payload: &Payload<'_>) {
    let mut json = serde_json::json!({
        "site": payload.site, "url": payload.url, "title": payload.title, "canonical": payload.canonical, "webdriver": payload.webdriver,
        "of a newer script": { "site": [1] },
    });
    same(payload, &json.to_string());
    json["webdriver"] = serde_json::json!("true");
    assert!(!Payload::parse(json.to_string().as_bytes()).unwrap().webdriver, "only `true` counts");
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("site", &payload.site).append_pair("url", &payload.url).append_pair("a", "{\"");
    if let Some(title) = &payload.title {
        form.append_pair("title", title);
    }
    if let Some(canonical) = &payload.canonical {
        form.append_pair("canonical", canonical);
    }
    if payload.webdriver {
        form.append_pair("webdriver", "true");
    }
    // A form refuses the mark of bytes that are not UTF-8.
    let marked = [Some(&payload.site), Some(&payload.url), payload.title.as_ref(), payload.canonical.as_ref()];
    if !marked.into_iter().flatten().any(|text| text.contains('\u{fffd}')) {
        same(payload, &form.finish());
    }
}

fn same(payload: &Payload<'_>, written: &str) {
    let again = Payload::parse(written.as_bytes()).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(
        (&again.site, &again.url, &again.title, &again.canonical, again.webdriver),
        (&payload.site, &payload.url, &payload.title, &payload.canonical, payload.webdriver),
        "{written}"
    );
}
