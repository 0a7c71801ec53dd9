//! Vouching among nodes: they join the tags of the networks that have read a page.
//!
//! A page with a total is vouched for: nodes look up there which of their own unvouched pages another node has vouched
//! for.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult, Value};
use tokio::sync::watch;

use super::client::{Fault, Link, Scripted, Shared, fault_of, reason_of, text, unexpected};
use super::keys::Keys;
use crate::counter::vouching::{Counted, NETWORKS_MAX, Subject, Tags, Vote};
use crate::counter::{Day, PageAddress, Period, RegisteredSite, Site, SiteNumber, visitor};
use crate::redis::ports::Node;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(2);
/// Votes of a round, and of a call.
const VOTES_MAX: usize = 1_000;
const VOTES_OF_CALL_MAX: usize = 100;
/// Time between two looks for pages that other nodes have vouched for.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);
/// Pages of one step of a look, and the pause after it.
const LOOK_STEP: usize = 500;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("vouch.lua")));

/// Shares the node's votes.
pub struct Votes<N> {
    node: Arc<N>,
    shared: Arc<Shared>,
    looked_at: Option<Instant>,
}

impl<N: Node> Votes<N> {
    pub fn new(node: Arc<N>, shared: Arc<Shared>) -> Self {
        Self { node, shared, looked_at: None }
    }

    /// Shares votes until `stop` has a deadline; what is left then is shared by the next readers.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let shared = Arc::clone(&self.shared);
        while stop.borrow_and_update().is_none() {
            if !shared.health.is_held() {
                shared.connections.run(async |link| self.round(link).await).await;
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn round(&mut self, link: &Link) -> Result<(), RedisError> {
        let mut by_day: BTreeMap<(SiteNumber, Day), Vec<Vote>> = BTreeMap::new();
        for vote in self.node.take_votes(VOTES_MAX) {
            by_day.entry((vote.site, vote.day)).or_default().push(vote);
        }
        while let Some(((number, day), votes)) = by_day.pop_first() {
            let Some(site) = self.node.site(number) else { continue };
            if let Err(error) = self.share(link, &site, day, votes).await {
                self.node.put_back_votes(by_day.into_values().flatten().collect());
                return Err(error);
            }
        }
        if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_INTERVAL) {
            self.look(link).await?;
            self.looked_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Shares a site's votes of a day. Only an error of the connection is one.
    async fn share(&self, link: &Link, site: &RegisteredSite, day: Day, votes: Vec<Vote>) -> Result<(), RedisError> {
        for chunk in votes.chunks(VOTES_OF_CALL_MAX) {
            let (keys, arguments) = call(&self.shared.keys, &site.site, day, chunk);
            match SCRIPT.run(link, &keys, &arguments).await.and_then(|reply: Vec<Value>| counted(&reply, chunk)) {
                Ok(counted) => self.node.apply_votes(site.number, day, counted).await,
                Err(error) if fault_of(&error) == Fault::Link => {
                    self.node.put_back_votes(chunk.to_vec());
                    return Err(error);
                }
                Err(error) => {
                    tracing::debug!(site = %site.site.id, reason = %reason_of(&error), "can't share who has read pages");
                }
            }
        }
        Ok(())
    }

    /// Looks for pages that other nodes have vouched for.
    async fn look(&self, link: &Link) -> Result<(), RedisError> {
        let mut after = 0;
        loop {
            let Ok(pages) = self.node.unvouched_pages(after, LOOK_STEP).await else { return Ok(()) };
            let Some((last, ..)) = pages.last() else { return Ok(()) };
            after = *last;
            let mut by_site: BTreeMap<SiteNumber, Vec<PageAddress>> = BTreeMap::new();
            for (_, site, page) in pages {
                by_site.entry(site).or_default().push(page);
            }
            for (number, pages) in by_site {
                let Some(site) = self.node.site(number) else { continue };
                let mut command = redis::cmd("ZMSCORE");
                command.arg(self.shared.keys.pages(&site.site.id, Period::Total));
                for page in &pages {
                    command.arg(page.as_str());
                }
                let totals: Vec<Option<f64>> = match link.query(&command).await {
                    Ok(totals) => totals,
                    Err(error) if fault_of(&error) == Fault::Link => return Err(error),
                    // A key of another type: publication complains.
                    Err(_) => continue,
                };
                let vouched = pages.into_iter().zip(totals).filter(|(_, total)| total.is_some());
                let vouched: Vec<_> = vouched.map(|(page, _)| page).collect();
                if !vouched.is_empty() {
                    self.node.vouch_pages(number, vouched).await;
                }
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}

/// Keys and arguments in the order in which the script reads them.
fn call(keys: &Keys, site: &Site, day: Day, votes: &[Vote]) -> (Vec<String>, Vec<String>) {
    let key_names = vec![keys.votes(&site.id, day), keys.pages(&site.id, Period::Total)];
    let before = votes.iter().filter(|vote| vote.subject == Subject::Site).map(|vote| vote.needed).max().unwrap_or(0);
    let expiry = visitor::salt_expiry(day, site.time_zone);
    let mut arguments = vec![expiry.to_string(), before.to_string(), NETWORKS_MAX.to_string()];
    for Vote { subject, tags, .. } in votes {
        let page = match subject {
            Subject::Page(page) => page.to_string(),
            Subject::Site | Subject::Title(..) => String::new(),
        };
        arguments.extend([super::keys::vote_field(subject), page, tags.to_hex()]);
    }
    (key_names, arguments)
}

/// The votes with the tags of all nodes.
fn counted(reply: &[Value], votes: &[Vote]) -> RedisResult<Vec<Counted>> {
    let Some((before, values)) = reply.split_first().filter(|(_, values)| values.len() == votes.len() * 2) else {
        return Err(unexpected("votes of another shape"));
    };
    let before = text(before).and_then(|before| before.parse::<usize>().ok()).unwrap_or(0);
    let counted = votes.iter().zip(values.chunks_exact(2)).map(|(vote, values)| {
        let tags = values.first().and_then(text).map_or(vote.tags, |tags| Tags::from_hex(&tags));
        let is_vouched = values.get(1).and_then(text).is_some_and(|is_vouched| is_vouched == "1");
        let needed = if vote.subject == Subject::Site { before } else { vote.needed };
        Counted { vote: Vote { tags, needed, ..vote.clone() }, is_vouched }
    });
    Ok(counted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::vouching::NetworkTag;

    #[test]
    fn a_call_names_each_subject_and_its_reply_has_the_tags_of_all_nodes() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let tags: Tags = NetworkTag::from_number(255).into_iter().collect();
        let vote = |subject, needed| Vote { site: SiteNumber(1), day, subject, tags, needed };
        let page = PageAddress::from_stored("/a");
        let votes = [vote(Subject::Site, 2), vote(Subject::Page(page.clone()), 3)];
        let (keys, arguments) = call(&Keys::new("p"), &site, day, &votes);
        assert_eq!(keys, ["p:{demo}:vouch:2024-06-17", "p:{demo}:pages:total"]);
        assert_eq!(arguments[1..], ["2", "5", "", "", "000000ff", &page.id(), "/a", "000000ff"]);
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = vec![Value::Int(4), bulk("000000ff"), Value::Int(0), bulk("000000ff00000001"), Value::Int(1)];
        let all = counted(&reply, &votes).unwrap();
        assert_eq!((all[0].vote.needed, all[0].vote.tags, all[0].is_vouched), (4, tags, false));
        assert_eq!((all[1].vote.needed, all[1].vote.tags.len(), all[1].is_vouched), (3, 2, true));
        assert!(counted(&reply[1..], &votes).is_err());
    }
}
