//! Votes that nodes share, and pages that other nodes have vouched for.

use rusqlite::Connection;

use super::Ledger;
use super::error::LedgerError;
use super::fold::entry::Observers;
use super::sqlite::tables::pages;
use super::sqlite::tables::titles::{self, Outcome};
use crate::counter::vouching::{Counted, Subject, Vote};
use crate::counter::{ChangedTitle, Day, PageAddress, SiteNumber};

impl Ledger {
    /// Takes up to `limit` votes that other nodes may lack.
    pub fn take_votes(&self, limit: usize) -> Vec<Vote> {
        self.state.vouching.take_unshared(limit)
    }

    /// Puts back votes that couldn't be shared.
    pub fn put_back_votes(&self, votes: Vec<Vote>) {
        self.state.vouching.put_back_unshared(votes);
    }

    /// Applies votes of a site's day, with those of all nodes.
    pub async fn apply_votes(&self, site: SiteNumber, day: Day, counted: Vec<Counted>) -> Result<(), LedgerError> {
        let (mut vouched, mut named) = (Vec::new(), Vec::new());
        for Counted { vote, is_vouched } in counted {
            let is_enough = self.state.vouching.apply(&vote);
            match vote.subject {
                Subject::Page(page) if is_enough || is_vouched => {
                    self.state.admission.note_vouched(site, day, &page);
                    vouched.push(page);
                }
                Subject::Title(page, title, given_ms) if is_enough => {
                    named.push(ChangedTitle { site, page, title, given_ms });
                }
                _ => {}
            }
        }
        if !vouched.is_empty() {
            self.vouch_pages(site, vouched).await?;
        }
        if named.is_empty() { Ok(()) } else { self.name_pages(named).await }
    }

    /// Writes titles that enough networks of all nodes have given.
    async fn name_pages(&self, titles: Vec<ChangedTitle>) -> Result<(), LedgerError> {
        let state = self.state.clone();
        let write = move |connection: &Connection| {
            for title in &titles {
                match titles::write(connection, title)? {
                    Outcome::Written => state.feed.note_title(title.clone()),
                    // Its page's hits, or its vouching, are on their way.
                    Outcome::IsUnnumbered | Outcome::IsUnvouched => state.titles.queue.put(title.clone()),
                }
            }
            Ok(())
        };
        self.queue.run(move |file| file.change(write)).await
    }

    /// Up to `limit` unvouched pages of all sites after a page's number.
    pub async fn unvouched_pages(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, SiteNumber, PageAddress)>, LedgerError> {
        self.reader.read(move |connection| pages::unvouched(connection, after, limit)).await
    }

    /// Vouches for the pages that the file has. One without folded hits is vouched for by a later look.
    pub async fn vouch_pages(&self, site: SiteNumber, pages: Vec<PageAddress>) -> Result<(), LedgerError> {
        let state = self.state.clone();
        self.queue
            .run(move |file| {
                file.change(|connection| {
                    let state = &*state;
                    let (feed, admission, vouching) = (&state.feed, &state.admission, &state.vouching);
                    let observers = Observers { feed, admission, vouching, run: &state.run };
                    for page in &pages {
                        if let Some(known) = pages::find(connection, site, page)?.filter(|known| !known.is_vouched) {
                            observers.vouch(connection, site, page, known.number)?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }
}
