//! The body of a hit, JSON or a form.

use thongke::counter::PageTitle;
use thongke::server::hit::Fields;

/// A refusal is read by people, and stands in logs and answers.
const DETAIL_BYTES_MAX: usize = 1_024;

pub fn holds(body: &[u8]) {
    match Fields::parse(body) {
        Err(refusal) => {
            let detail = refusal.to_string();
            assert!(refusal.status().is_client_error(), "{detail}");
            assert!(detail.len() <= DETAIL_BYTES_MAX && !detail.chars().any(char::is_control), "{detail:?}");
        }
        Ok(fields) => {
            assert!(!fields.site.is_empty() && !fields.url.is_empty());
            if let Some(title) = fields.title.as_deref().and_then(PageTitle::of) {
                assert!(title.as_str().chars().count() <= 200, "{title:?}");
                assert!(!title.as_str().chars().any(char::is_control), "{title:?}");
                assert_eq!(PageTitle::of(title.as_str()).as_ref(), Some(&title), "a title is its own title");
            }
            reads_the_same_however_it_is_written(&fields);
        }
    }
}

fn reads_the_same_however_it_is_written(fields: &Fields<'_>) {
    let mut json = serde_json::json!({
        "site": fields.site, "url": fields.url, "title": fields.title, "webdriver": fields.webdriver,
        "of a newer script": { "site": [1] },
    });
    same(fields, &json.to_string());
    json["webdriver"] = serde_json::json!("true");
    assert!(!Fields::parse(json.to_string().as_bytes()).unwrap().webdriver, "only `true` says something");
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("site", &fields.site).append_pair("url", &fields.url).append_pair("a", "{\"");
    if let Some(title) = &fields.title {
        form.append_pair("title", title);
    }
    if fields.webdriver {
        form.append_pair("webdriver", "true");
    }
    // A form refuses the mark of bytes that are not UTF-8.
    let marked = [Some(&fields.site), Some(&fields.url), fields.title.as_ref()];
    if !marked.into_iter().flatten().any(|text| text.contains('\u{fffd}')) {
        same(fields, &form.finish());
    }
}

fn same(fields: &Fields<'_>, written: &str) {
    let again = Fields::parse(written.as_bytes()).unwrap_or_else(|refusal| panic!("{written}: {refusal}"));
    assert_eq!(
        (&again.site, &again.url, &again.title, again.webdriver),
        (&fields.site, &fields.url, &fields.title, fields.webdriver),
        "{written}"
    );
}
