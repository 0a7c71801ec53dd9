//! The committer's vouching: it writes the tags of pages that a fold has numbered, and vouches for those with enough.

use rusqlite::Connection;

use super::state::SharedState;
use crate::ledger::fold::entry::Observers;
use crate::ledger::memory::titles::Candidate;
use crate::ledger::memory::vouching::{PendingPage, SiteTags};
use crate::ledger::sqlite::tables::counts::SITE_ITSELF;
use crate::ledger::sqlite::tables::titles::Outcome;
use crate::ledger::sqlite::tables::{pages, titles, vouching};

/// Votes that a transaction writes; dropped unconfirmed, they wait again.
pub struct TakenVotes {
    state: SharedState,
    sites: Vec<SiteTags>,
    /// Pages with what became of them.
    pages: Vec<(PendingPage, Became)>,
    titles: Vec<Candidate>,
}

/// Outcome of a page's votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// The file has vouched for it before.
    Known,
    Vouched,
    /// Enough days vouch for it, not enough networks of one.
    VouchedByDays,
    Unvouched,
    /// None of its hits is folded.
    Unnumbered,
}

impl TakenVotes {
    pub fn of(state: &SharedState) -> Self {
        Self { state: SharedState::clone(state), sites: Vec::new(), pages: Vec::new(), titles: Vec::new() }
    }

    /// True if sites or pages are written that need not be written again.
    pub fn has_votes(&self) -> bool {
        !self.sites.is_empty() || self.pages.iter().any(|(_, became)| *became != Became::Unnumbered)
    }

    /// True if there may be more to write.
    pub fn has_progress(&self) -> bool {
        self.has_votes() || !self.titles.is_empty()
    }

    /// Writes titles that too few networks have given, of pages that their days vouch for. The others are shared.
    pub fn write_first_titles(
        &mut self,
        connection: &Connection,
        state: &SharedState,
        limit: usize,
    ) -> rusqlite::Result<()> {
        self.titles = state.titles.take_candidates(limit);
        for candidate in &self.titles {
            let title = &candidate.title;
            let known = titles::read(connection, title.site, std::slice::from_ref(&title.page))?.pop().flatten();
            if known.as_ref().is_some_and(|known| known.title.as_str() == title.title.as_str()) {
                state.titles.confirm(candidate);
                state.vouching.settle_title(title.site, candidate.new);
            } else if state.vouching.has_votes(title, candidate.day)
                || known.is_none() && state.vouching.takes_first_title(title.site, &title.page)
            {
                if titles::write(connection, title)? == Outcome::Written {
                    state.feed.note_title(title.clone());
                }
            } else if state.feed.is_used() {
                state.vouching.share_title(title, candidate.day);
            }
        }
        Ok(())
    }

    /// Takes over what is on disk.
    pub fn confirm(&mut self) {
        let vouching = &self.state.vouching;
        self.sites.clear();
        self.titles.clear();
        for (page, became) in self.pages.drain(..) {
            let (site, address, pending) = &page;
            match became {
                Became::Known => vouching.settle(*site, pending.tags),
                Became::Vouched => {}
                Became::VouchedByDays => vouching.note_nameless(*site, address),
                Became::Unvouched | Became::Unnumbered => {
                    if self.state.feed.is_used() {
                        vouching.share_page(*site, address, *pending);
                    }
                    if became == Became::Unnumbered {
                        vouching.put_back_unnumbered(page);
                    }
                }
            }
        }
    }
}

impl Drop for TakenVotes {
    fn drop(&mut self) {
        let vouching = &self.state.vouching;
        vouching.put_back_site_tags(std::mem::take(&mut self.sites));
        vouching.put_back(self.pages.drain(..).map(|(page, _)| page).collect());
        self.titles.drain(..).for_each(|title| self.state.titles.put_candidate(title));
    }
}

/// Writes up to `limit` votes of sites and of pages.
pub fn write(
    connection: &Connection,
    observers: &Observers<'_>,
    taken: &mut TakenVotes,
    limit: usize,
) -> rusqlite::Result<()> {
    taken.sites = observers.vouching.take_site_tags(limit);
    for (site, day, tags) in &taken.sites {
        vouching::note_tags(connection, *site, *day, SITE_ITSELF, *tags)?;
    }
    taken.pages = observers.vouching.take_pending(limit).into_iter().map(|page| (page, Became::Unnumbered)).collect();
    for ((site, page, pending), became) in &mut taken.pages {
        let Some(known) = pages::find(connection, *site, page)? else { continue };
        *pending = observers.vouching.judged(*site, page, *pending);
        *became = if known.is_vouched && pending.is_new {
            Became::Vouched
        } else if known.is_vouched {
            observers.admission.settle(*site, page, true);
            Became::Known
        } else if pending.is_vouched {
            Became::Vouched
        } else if vouching::days_read(connection, *site, known.number, pending.day)? >= pending.needed {
            Became::VouchedByDays
        } else {
            let tags = observers.vouching.tags(*site, pending.day, page);
            vouching::note_tags(connection, *site, pending.day, known.number, tags)?;
            Became::Unvouched
        };
        if matches!(*became, Became::Vouched | Became::VouchedByDays) {
            if !known.is_vouched {
                observers.vouch(connection, *site, page, known.number)?;
            }
            vouching::forget_page(connection, *site, pending.day, known.number)?;
        }
    }
    Ok(())
}
