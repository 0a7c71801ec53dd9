//! Findings in the counter's answers: about the hit's path, the site, and origins.

use serde::Deserialize;
use url::Url;

use super::finding::Finding;
use crate::counter::{Site, SiteId};

/// An answer, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// `Allow`: the methods of a path.
    pub allow: Option<String>,
    pub body: Vec<u8>,
}

/// Error answer of a node.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
    closed: Option<String>,
}

impl Answer {
    fn problem(&self) -> Option<Problem> {
        let is_problem = self.content_type.starts_with("application/problem+json");
        is_problem.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    /// The answer in words, where it is no node's.
    fn shown(&self) -> String {
        match self.problem() {
            Some(problem) => format!("status {}: {}", self.status, problem.detail),
            None => format!("status {}, not from thongke", self.status),
        }
    }
}

/// The finding about the path of a hit, of which OPTIONS was asked: nothing is counted by it.
pub fn hit_path_finding(hit: &Url, answer: &Answer) -> Finding {
    let takes_hits = answer.allow.as_deref().is_some_and(|methods| methods.split(", ").any(|method| method == "POST"));
    if answer.status == 204 && takes_hits {
        return Finding::fine(format!("the counter takes hits at {hit}"));
    }
    if (300..400).contains(&answer.status) {
        return Finding::wrong(format!(
            "{hit} leads elsewhere (status {}), and browsers don't send a hit there; write the last address into the tag's `src`",
            answer.status
        ));
    }
    let cause = match answer.problem() {
        Some(_) => {
            "the proxy passes them to the node under another path; let it pass them as they are and set `path_prefix`, or let it remove the prefix"
        }
        None => {
            "the proxy in front passes the script but not this path; let it pass all paths below the script's folder"
        }
    };
    Finding::wrong(format!("hits can't reach the node: {hit} answers with {}; {cause}", answer.shown()))
}

/// The finding about the site's id, of whose figures was asked.
pub fn site_finding(id: &str, answer: &Answer) -> Finding {
    match (answer.status, answer.problem()) {
        (200 | 304, _) => Finding::fine(format!("the counter has the site `{id}`")),
        (403, Some(Problem { closed: Some(_), .. })) => {
            Finding::fine(format!("the counter has the site `{id}`, which keeps its figures to itself"))
        }
        (404, Some(Problem { detail, .. })) => {
            Finding::wrong(format!("{detail}; correct `data-site` of the tag, or add the site"))
        }
        _ if id.parse::<SiteId>().is_err() => Finding::wrong(format!(
            "the tag's `data-site` = `{id}` is no site's id, which is 1 to 63 of a-z, 0-9 and `-`; correct it"
        )),
        _ => Finding::warning(format!("the counter didn't say whether it has the site `{id}`: {}", answer.shown())),
    }
}

/// The finding about the page's origin. `answer`: to a question for the page's views, which is refused for a page of
/// another origin and counts nothing. `known`: the site in the configuration beside which this runs.
pub fn origin_finding(id: &SiteId, page: &Url, answer: &Answer, known: Option<&Site>) -> Finding {
    let origin = page.origin().ascii_serialization();
    let is_configured = known.map(|site| site.covers(page));
    // The tag may have an alias; commands want the site's own id.
    let id = known.map_or(id, |site| &site.id);
    let add = format!("`thongke sites set {id} origins+={origin}`, or add it to the site's `origins` and reload");
    match (answer.status, answer.problem()) {
        (200, _) => Finding::fine(format!("`{origin}` is an origin of `{id}`")),
        (403, Some(Problem { closed: Some(_), .. })) => match is_configured {
            Some(true) => Finding::fine(format!("`{origin}` is an origin of `{id}` in the configuration")),
            Some(false) => Finding::wrong(format!("`{origin}` is not among the origins of `{id}`: {add}")),
            None => Finding::warning(format!(
                "whether `{origin}` is an origin of `{id}` can't be asked, since the site keeps views of pages to itself; run this beside \
                 the configuration: `thongke --config FILE doctor {origin}/…`"
            )),
        },
        (403, Some(Problem { detail, .. })) if !detail.starts_with("origin ") => Finding::wrong(detail),
        (403, Some(_)) if is_configured == Some(true) => Finding::wrong(format!(
            "`{origin}` is an origin of `{id}` in the configuration, but not on the node that answers; let it read it: `systemctl reload thongke`"
        )),
        (403, Some(_)) => Finding::wrong(format!("`{origin}` is not among the origins of `{id}`: {add}")),
        _ => Finding::warning(format!(
            "the counter didn't say whether `{origin}` is an origin of `{id}`: {}",
            answer.shown()
        )),
    }
}

/// The finding about a page's canonical address, of whose views was asked.
pub fn canonical_finding(page: &Url, canonical: &Url, answer: &Answer) -> Option<Finding> {
    let is_foreign = answer.status == 403 && answer.problem().is_some_and(|problem| problem.closed.is_none());
    if is_foreign {
        return Some(Finding::warning(format!(
            "<link rel=\"canonical\"> names {canonical}, which is on none of the site's origins, so views count under the page's own \
             address; correct the link"
        )));
    }
    let is_home = |url: &Url| url.path() == "/" && url.query().is_none();
    (is_home(canonical) && !is_home(page)).then(|| {
        Finding::warning(
            "<link rel=\"canonical\"> names the home page, though this is another; such a link is ignored: let each page name itself",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Weight;
    use super::*;

    fn answer(status: u16, problem: &str) -> Answer {
        let content_type = if problem.is_empty() { "text/html" } else { "application/problem+json" };
        Answer { status, content_type: content_type.to_owned(), allow: None, body: problem.into() }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    const REFUSED: &str = r#"{"status":403,"title":"Forbidden","detail":"origin `https://www.a.vn` …"}"#;
    const CLOSED: &str = r#"{"status":403,"title":"Forbidden","detail":"x","closed":"page"}"#;

    #[test]
    fn a_hits_path_takes_post_and_leads_nowhere_else() {
        let hit = url("https://c.vn/tk/v1/hit");
        let fine = Answer { allow: Some("POST, OPTIONS".to_owned()), ..answer(204, "") };
        assert_eq!(hit_path_finding(&hit, &fine).weight, Weight::Fine);
        for (answer, says) in [
            (answer(301, ""), "leads elsewhere"),
            (answer(404, ""), "the proxy in front passes the script but not this path"),
            (answer(404, r#"{"detail":"there is nothing at this path"}"#), "set `path_prefix`"),
            (answer(204, ""), "not from thongke"),
        ] {
            let found = hit_path_finding(&hit, &answer);
            assert!(found.weight == Weight::Wrong && found.text.contains(says), "{found}");
        }
    }

    #[test]
    fn a_site_is_known_by_its_figures() {
        let id = "demo";
        let missing = r#"{"detail":"there is no site `demo`; did you mean `demo-1`?"}"#;
        for (answer, weight) in [
            (answer(200, ""), Weight::Fine),
            (answer(403, CLOSED), Weight::Fine),
            (answer(404, missing), Weight::Wrong),
            (answer(404, ""), Weight::Warning),
            (answer(429, r#"{"detail":"too many reads"}"#), Weight::Warning),
        ] {
            assert_eq!(site_finding(id, &answer).weight, weight, "{answer:?}");
        }
        assert_eq!(site_finding("De mo", &answer(404, "")).weight, Weight::Wrong);
        assert!(site_finding(id, &answer(404, missing)).text.contains("did you mean `demo-1`?; correct"));
    }

    #[test]
    fn an_origin_is_asked_of_the_node_or_looked_up_where_that_is_closed() {
        let (id, page) = ("a".parse().unwrap(), url("https://www.a.vn/tin"));
        let site = |origin: &str| Site::with_defaults("a".parse().unwrap(), vec![origin.parse().unwrap()]);
        let (own, other) = (site("https://www.a.vn"), site("https://a.vn"));
        for (answer, known, weight, says) in [
            (answer(200, ""), None, Weight::Fine, "is an origin"),
            (answer(403, REFUSED), None, Weight::Wrong, "`thongke sites set a origins+=https://www.a.vn`"),
            (answer(403, REFUSED), Some(&other), Weight::Wrong, "origins+="),
            (answer(403, REFUSED), Some(&own), Weight::Wrong, "systemctl reload"),
            (answer(403, r#"{"detail":"page `/b` lies …"}"#), Some(&own), Weight::Wrong, "page `/b` lies …"),
            (answer(403, CLOSED), None, Weight::Warning, "can't be asked"),
            (answer(403, CLOSED), Some(&own), Weight::Fine, "in the configuration"),
            (answer(403, CLOSED), Some(&other), Weight::Wrong, "origins+="),
            (answer(502, ""), None, Weight::Warning, "not from thongke"),
        ] {
            let found = origin_finding(&id, &page, &answer, known);
            assert!(found.weight == weight && found.text.contains(says), "{found}");
        }
        let of_alias = origin_finding(&"old".parse().unwrap(), &page, &answer(403, REFUSED), Some(&other));
        assert!(of_alias.text.contains("`thongke sites set a origins+="), "{of_alias}");
    }

    #[test]
    fn a_canonical_address_is_the_sites_and_not_another_pages_home() {
        let found =
            |canonical: &str, answer: Answer| canonical_finding(&url("https://a.vn/tin"), &url(canonical), &answer);
        assert_eq!(found("https://a.vn/tin", answer(200, "")), None);
        assert!(found("https://b.vn/tin", answer(403, REFUSED)).unwrap().text.contains("none of the site's origins"));
        assert!(found("https://a.vn/", answer(200, "")).unwrap().text.contains("names the home page"));
        assert_eq!(found("https://a.vn/tin", answer(403, CLOSED)), None);
    }
}
