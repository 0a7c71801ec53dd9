//! Ticket: what a browser keeps after a login. Its token has signed the name and the end of the session.
//!
//! No node keeps a session, so a ticket is good on all nodes, also while Redis is away. It ends at its time, with its token,
//! and when the token is revoked. Logging out takes it out of the browser: a copy of it is good until it ends.

use crate::counter::TokenHash;
use crate::counter::tokens::secret::{Signed, TokenKey};

/// Life of a session.
pub const SESSION_SECONDS: i64 = 12 * 60 * 60;

/// How much earlier than another node's clock this one's may be.
const SKEW_SECONDS: i64 = 5 * 60;

/// A ticket whose signature isn't checked yet.
#[derive(Debug, Clone, Copy)]
pub struct Ticket<'a> {
    /// The token's name.
    pub name: &'a str,
    signed: Signed<'a>,
}

/// The text of a ticket that begins at `now_s`.
pub fn issue(name: &str, key: &TokenKey, now_s: i64) -> String {
    key.signed(&format!("{name}.{}", now_s + SESSION_SECONDS))
}

impl<'a> Ticket<'a> {
    /// None for other texts, and for a ticket that is over.
    pub fn parse(text: &'a str, now_s: i64) -> Option<Self> {
        let signed = Signed::parse(text)?;
        let (name, end) = signed.text.rsplit_once('.')?;
        // Its token may have signed a later end, with a wrong clock.
        let is_open = (now_s + 1..=now_s + SESSION_SECONDS + SKEW_SECONDS).contains(&end.parse().ok()?);
        is_open.then_some(Self { name, signed })
    }

    /// True if the token of this hash has signed it.
    pub fn is_of(&self, hash: &TokenHash) -> bool {
        self.signed.is_by(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_twelve_hours_and_for_its_token() {
        let key = TokenKey::of("tk_own").unwrap();
        let text = issue("xa.lan", &key, 1_000);
        let ticket = Ticket::parse(&text, 1_000).unwrap();
        assert_eq!(ticket.name, "xa.lan");
        assert!(ticket.is_of(&key.hash()) && !ticket.is_of(&TokenKey::of("tk_other").unwrap().hash()));
        assert!(Ticket::parse(&text, 1_000 + SESSION_SECONDS - 1).is_some());
        assert!(Ticket::parse(&text, 1_000 + SESSION_SECONDS).is_none());
        assert!(Ticket::parse(&text, 999 - SKEW_SECONDS).is_none(), "longer than a session");
        let longer = text.replace(".44200.", ".44201.");
        assert!(longer != text && Ticket::parse(&longer, 1_001).is_some_and(|ticket| !ticket.is_of(&key.hash())));
        let renamed = text.replace("lan", "lam");
        assert!(!Ticket::parse(&renamed, 1_001).unwrap().is_of(&key.hash()));
    }
}
