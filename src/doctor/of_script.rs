//! Findings in the answer to the script's address.

use base64::Engine as _;
use sha2::{Digest, Sha256, Sha384, Sha512};
use url::Url;

use super::finding::Finding;
use super::of_service::Answer;
use super::page::Tag;

/// Signs by which each version of the script is known, shortened or not.
const SIGNS: [&str; 3] = ["thongke", "dataset.site", "'v1/'"];

/// True if an answer is the counter's script.
pub fn is_ours(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    answer.status == 200 && SIGNS.iter().all(|sign| text.contains(sign))
}

/// The finding about a tag's script. None if the tag is another counter's.
pub fn script_finding(tag: &Tag, script: &Url, answer: &Answer) -> Option<Finding> {
    if is_ours(answer) {
        return Some(match &tag.integrity {
            Some(hashes) if !fits(hashes, &answer.body) => Finding::wrong(
                "the script is not the one of the tag's `integrity`, so browsers refuse it; take the hash of docs/embedding.md, with \
                 the script of that version (`/thongke-VERSION.js`)",
            ),
            _ => Finding::fine(format!("the script {script} is thongke's")),
        });
    }
    if !tag.is_named {
        return None;
    }
    let problem = match answer.status {
        200 => format!("is something else (`{}`)", answer.content_type),
        300..=399 => "only leads elsewhere".to_owned(),
        status => format!("answers with status {status}"),
    };
    Some(Finding::wrong(format!("the script's address {script} {problem}; write the counter's into the tag's `src`")))
}

/// True if a script has one of the strongest hashes, as a browser checks.
fn fits(hashes: &str, script: &[u8]) -> bool {
    let encode = |hash: &[u8]| base64::engine::general_purpose::STANDARD.encode(hash);
    let own = [
        ("sha512-", encode(&Sha512::digest(script))),
        ("sha384-", encode(&Sha384::digest(script))),
        ("sha256-", encode(&Sha256::digest(script))),
    ];
    let listed = |kind: &str| -> Vec<String> {
        let of_kind = hashes.split_ascii_whitespace().filter_map(|one| one.strip_prefix(kind));
        of_kind.map(|hash| hash.split('?').next().unwrap_or_default().to_owned()).collect()
    };
    own.iter()
        .find_map(|(kind, hash)| {
            let listed = listed(kind);
            (!listed.is_empty()).then(|| listed.contains(hash))
        })
        // Unknown kinds are ignored.
        .unwrap_or(true)
}

/// Addresses at which the script may be instead: with fewer folders, or under the configured prefix.
pub fn prefixes_to_try(script: &Url, path_prefix: &str) -> Vec<Url> {
    let mut prefixes: Vec<String> = vec![path_prefix.to_owned()];
    let path = script.path();
    let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
    // `/a/b` gives `/b`, then nothing; and `/a`.
    prefixes.extend(folder.match_indices('/').skip(1).map(|(at, _)| folder[at..].to_owned()));
    prefixes.extend(folder.match_indices('/').skip(1).map(|(at, _)| folder[..at].to_owned()));
    prefixes.extend(["".to_owned(), "/tk".to_owned()]);
    let mut urls: Vec<Url> = Vec::new();
    for prefix in prefixes {
        let mut url = script.clone();
        url.set_path(&format!("{prefix}/thongke.js"));
        url.set_query(None);
        if url.path() != script.path() && !urls.contains(&url) && urls.len() < 5 {
            urls.push(url);
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::super::finding::Weight;
    use super::*;

    fn tag(integrity: Option<&str>, is_named: bool) -> Tag {
        Tag { integrity: integrity.map(str::to_owned), is_named, ..Tag::default() }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, content_type: "text/html".to_owned(), body: body.into(), ..Answer::default() }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_script_is_known_by_its_content() {
        let script = answer(200, include_str!("../web/thongke.js"));
        assert!(is_ours(&script) && !is_ours(&answer(404, "")) && !is_ours(&answer(200, "<title>thongke</title>")));
        let at = url("https://c.vn/thongke.js");
        let found = |tag: &Tag, answer: &Answer| script_finding(tag, &at, answer);
        assert_eq!(found(&tag(None, true), &script).unwrap().weight, Weight::Fine);
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha384::digest(&script.body));
        assert_eq!(
            found(&tag(Some(&format!("sha256-old sha384-{hash}")), true), &script).unwrap().weight,
            Weight::Fine
        );
        assert!(found(&tag(Some("sha384-old"), true), &script).unwrap().text.contains("`integrity`"));
        assert!(found(&tag(None, true), &answer(404, "")).unwrap().text.contains("status 404"));
        assert!(found(&tag(None, true), &answer(200, "<p>")).unwrap().text.contains("something else (`text/html`)"));
        assert_eq!(found(&tag(None, false), &answer(200, "other()")), None);
    }

    #[test]
    fn the_script_is_looked_for_nearby() {
        let tried = |script: &str, prefix: &str| {
            prefixes_to_try(&url(script), prefix).iter().map(|url| url.path().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tried("https://c.vn/thongke.js", "/tk"), ["/tk/thongke.js"]);
        assert_eq!(tried("https://c.vn/tk/thongke.js?v=1", "/tk"), ["/thongke.js"]);
        assert_eq!(
            tried("https://c.vn/a/b/thongke.js", ""),
            ["/thongke.js", "/b/thongke.js", "/a/thongke.js", "/tk/thongke.js"]
        );
        assert!(tried(&format!("https://c.vn/{}thongke.js", "a/".repeat(50)), "").len() <= 5);
    }
}
