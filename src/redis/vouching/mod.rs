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
/// Steps of a look in one round: votes wait for it.
const LOOK_STEPS_MAX: usize = 10;
/// Pages of one step of a look, and the pause after it.
const LOOK_STEP: usize = 500;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("vouch.lua")));

/// Shares the node's votes.
pub struct Votes<N> {
    node: Arc<N>,
    shared: Arc<Shared>,
    look: Look,
}

/// The place of a look for vouched pages, which takes some rounds where there are many unvouched ones.
#[derive(Debug, Default)]
struct Look {
    /// Number of the last page looked at; 0 between two looks.
    after: i64,
    ended_at: Option<Instant>,
}

impl Look {
    fn is_due(&self, now: Instant) -> bool {
        self.after > 0 || self.ended_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_INTERVAL)
    }

    /// Goes on after a step. `last`: its last page; none at the end.
    fn go_on(&mut self, last: Option<i64>, now: Instant) {
        match last {
            Some(last) => self.after = last,
            None => *self = Self { after: 0, ended_at: Some(now) },
        }
    }
}

impl<N: Node> Votes<N> {
    pub fn new(node: Arc<N>, shared: Arc<Shared>) -> Self {
        Self { node, shared, look: Look::default() }
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
        for _ in 0..LOOK_STEPS_MAX {
            if !self.look.is_due(Instant::now()) {
                break;
            }
            self.look(link).await?;
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

    /// Takes a step of a look for pages that other nodes have vouched for.
    async fn look(&mut self, link: &Link) -> Result<(), RedisError> {
        let pages = self.node.unvouched_pages(self.look.after, LOOK_STEP).await.unwrap_or_default();
        let last = pages.last().map(|(last, ..)| *last);
        let mut by_site: BTreeMap<SiteNumber, Vec<PageAddress>> = BTreeMap::new();
        for (_, site, page) in pages {
            by_site.entry(site).or_default().push(page);
        }
        for (number, pages) in by_site {
            let Some(site) = self.node.site(number) else { continue };
            let mut command = redis::cmd("ZMSCORE");
            command.arg(self.shared.keys.pages(&site.site.counted_as, Period::Total));
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
        self.look.go_on(last, Instant::now());
        if last.is_some() {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Ok(())
    }
}

/// Keys and arguments in the order in which the script reads them.
fn call(keys: &Keys, site: &Site, day: Day, votes: &[Vote]) -> (Vec<String>, Vec<String>) {
    let next = day.next();
    let key_names = vec![
        keys.votes(&site.counted_as, day),
        keys.pages(&site.counted_as, Period::Total),
        keys.votes(&site.counted_as, next),
    ];
    let before = votes.iter().filter(|vote| vote.subject == Subject::Site).map(|vote| vote.before).max().unwrap_or(0);
    let [expiry, of_next] = [day, next].map(|day| visitor::salt_expiry(day, site.time_zone).to_string());
    let mut arguments = vec![expiry, before.to_string(), NETWORKS_MAX.to_string(), of_next];
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
        let before = if vote.subject == Subject::Site { before } else { 0 };
        Counted { vote: Vote { tags, before, ..vote.clone() }, is_vouched }
    });
    Ok(counted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::vouching::NetworkTag;

    #[test]
    fn a_look_goes_on_in_the_next_round_and_begins_again_after_a_while() {
        let now = Instant::now();
        let mut look = Look::default();
        assert!(look.is_due(now));
        look.go_on(Some(500), now);
        assert!(look.is_due(now) && look.after == 500);
        look.go_on(None, now);
        assert!(!look.is_due(now) && look.is_due(now + LOOK_INTERVAL) && look.after == 0);
    }

    #[test]
    fn a_call_names_each_subject_and_its_reply_has_the_tags_of_all_nodes() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let tags: Tags = NetworkTag::from_number(255).into_iter().collect();
        let vote = |subject, before| Vote { site: SiteNumber(1), day, subject, tags, before };
        let page = PageAddress::from_stored("/a");
        let votes = [vote(Subject::Site, 2), vote(Subject::Page(page.clone()), 0)];
        let (keys, arguments) = call(&Keys::new("p"), &site, day, &votes);
        assert_eq!(keys, ["p:{demo}:vouch:2024-06-17", "p:{demo}:pages:total", "p:{demo}:vouch:2024-06-18"]);
        assert_eq!(arguments[1..3], ["2", "5"]);
        assert_eq!(arguments[4..], ["", "", "000000ff", &page.id(), "/a", "000000ff"]);
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = vec![Value::Int(4), bulk("000000ff"), Value::Int(0), bulk("000000ff00000001"), Value::Int(1)];
        let all = counted(&reply, &votes).unwrap();
        assert_eq!((all[0].vote.before, all[0].vote.tags, all[0].is_vouched), (4, tags, false));
        assert_eq!((all[1].vote.before, all[1].vote.tags.len(), all[1].is_vouched), (0, 2, true));
        assert!(counted(&reply[1..], &votes).is_err());
    }
}
