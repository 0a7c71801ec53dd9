//! `thongke refused`: hits that the running node has refused, and what to do.

use anyhow::bail;
use hyper::Method;

use super::{NodeRequest, ask, configured, from_json, print};
use crate::config::Config;
use crate::counter::SiteId;
use crate::ledger::{DirectoryLock, Holder};
use crate::server::refused_list::{Listed, Refused};
use crate::server::routes::Admin;

/// Shows refused hits of a site or of all, which only a running node remembers.
pub fn refused(config: &Config, site: Option<&SiteId>, as_json: bool) -> anyhow::Result<()> {
    let Some(Holder { admin_address: Some(admin), .. }) = DirectoryLock::holder(&config.data_dir) else {
        if let Some(site) = site {
            configured(config, site)?;
        }
        bail!(
            "no node runs on {}, and refused hits are remembered by a running node alone, until it ends; its log has a line a \
             minute about them",
            config.data_dir.display()
        );
    };
    let request = match site {
        Some(site) => NodeRequest::new(Method::GET, Admin::RefusedOfSite, site),
        None => NodeRequest::of_node(Method::GET, Admin::Refused),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(config, &admin, request))?;
    let listed: Listed = from_json(&answer)?;
    if as_json {
        return print(String::from_utf8_lossy(&answer).trim_end());
    }
    lines(&listed).iter().try_for_each(|line| print(line))
}

fn lines(listed: &Listed) -> Vec<String> {
    if listed.refused.is_empty() {
        return vec![format!("no hit was refused since {}", listed.since)];
    }
    let widest = |text: fn(&Refused) -> &str, heading: &str| {
        listed.refused.iter().map(|one| text(one).chars().count()).max().unwrap_or(0).max(heading.len())
    };
    let site: fn(&Refused) -> &str = |one| one.site.as_deref().unwrap_or("-");
    let origin: fn(&Refused) -> &str = |one| one.origin.as_deref().unwrap_or("-");
    let reason: fn(&Refused) -> &str = |one| &one.reason;
    let (sites, origins, reasons) = (widest(site, "site"), widest(origin, "origin"), widest(reason, "reason"));
    let row = |hits: &str, networks: &str, texts: [&str; 3], first: &str, last: &str, example: &str| {
        let [site, reason, origin] = texts;
        format!(
            "{hits:>9}  {networks:>8}  {site:<sites$}  {reason:<reasons$}  {origin:<origins$}  {first:<20}  {last:<20}  {example}"
        )
    };
    let mut lines = vec![row("hits", "networks", ["site", "reason", "origin"], "first", "last", "example")];
    for one in &listed.refused {
        let texts = [site(one), reason(one), origin(one)];
        let (hits, networks) = (one.requests.to_string(), one.networks.to_string());
        lines.push(row(&hits, &networks, texts, &one.first, &one.last, one.path.as_deref().unwrap_or("-")));
        lines.push(format!("{:>9}  {}", "", one.advice));
    }
    if listed.unlisted > 0 {
        lines.push(format!(
            "{} more refused hits are in no line: only the most frequent are remembered",
            listed.unlisted
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_advice_below_and_what_is_unlisted_is_said() {
        let one = Refused {
            site: Some("x".to_owned()),
            reason: "origin".to_owned(),
            origin: Some("https://www.x.gov.vn".to_owned()),
            path: None,
            first: "2026-11-30T08:00:00Z".to_owned(),
            last: "2026-11-30T09:00:00Z".to_owned(),
            requests: 770,
            networks: 12,
            advice: "add it".to_owned(),
        };
        let mut listed = Listed { since: "2026-11-30T07:00:00Z".to_owned(), refused: vec![one], unlisted: 3 };
        let said = lines(&listed);
        assert_eq!(said.len(), 4);
        assert!(
            said[1].contains("770        12  x     origin  https://www.x.gov.vn  2026-11-30T08:00:00Z"),
            "{}",
            said[1]
        );
        assert_eq!(said[2].trim(), "add it");
        assert!(said[3].starts_with("3 more"));
        listed.refused.clear();
        assert_eq!(lines(&listed), ["no hit was refused since 2026-11-30T07:00:00Z"]);
    }
}
