//! Who may do what at the admin listener: two tokens, one to read with and one for everything.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::refusal::Refusal;

/// The tokens that are configured; with neither, everyone may do everything.
#[derive(Clone, Default)]
pub struct Tokens {
    /// For everything.
    pub write: Option<Token>,
    pub read: Option<Token>,
}

/// A token's hash: two of one length are compared in the same time, whatever their tokens.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    fn is(&self, given: &Self) -> Choice {
        self.0.ct_eq(&given.0)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |token: &Option<Token>| token.as_ref().map(|_| "(secret)");
        f.debug_struct("Tokens").field("write", &shown(&self.write)).field("read", &shown(&self.read)).finish()
    }
}

impl Tokens {
    /// Whether there is any.
    pub fn are_wanted(&self) -> bool {
        self.write.is_some() || self.read.is_some()
    }

    /// Whether a request with that method, which says whether it changes anything, is allowed.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.are_wanted() {
            return Ok(());
        }
        let given = bearer(headers).map(Token::new).ok_or(Refusal::Unauthorized)?;
        let is = |token: &Option<Token>| token.as_ref().map_or(Choice::from(0), |token| token.is(&given));
        let (may_write, may_read) = (is(&self.write), is(&self.read));
        if bool::from(may_write) {
            return Ok(());
        }
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match bool::from(may_read) {
            true if is_read => Ok(()),
            true => Err(Refusal::ReadOnly),
            false => Err(Refusal::Unauthorized),
        }
    }
}

/// What the one `Authorization` field carries, where it is of that scheme.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next()?.to_str().ok()?;
    let (scheme, token) = field.split_once(' ')?;
    (fields.next().is_none() && scheme.eq_ignore_ascii_case("Bearer")).then(|| token.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(tokens: &Tokens, method: &Method, fields: &[&str]) -> Option<Refusal> {
        let headers = fields.iter().map(|field| (AUTHORIZATION, field.parse().unwrap())).collect();
        tokens.check(method, &headers).err()
    }

    #[test]
    fn a_token_opens_what_it_is_for() {
        let tokens = Tokens { write: Some(Token::new("all")), read: Some(Token::new("look")) };
        for (fields, reading, writing) in [
            (&["Bearer all"][..], None, None),
            (&["bearer  all"], None, None),
            (&["Bearer look"], None, Some(Refusal::ReadOnly)),
            (&["Bearer al"], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
            (&["Bearer "], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
            (&["Bearer"], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
            (&["all"], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
            (&["Basic all"], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
            (&["Bearer all", "Bearer wrong"], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
            (&[], Some(Refusal::Unauthorized), Some(Refusal::Unauthorized)),
        ] {
            assert_eq!(outcome(&tokens, &Method::GET, fields), reading, "{fields:?}");
            assert_eq!(outcome(&tokens, &Method::HEAD, fields), reading, "{fields:?}");
            for method in [Method::POST, Method::DELETE, Method::PUT] {
                assert_eq!(outcome(&tokens, &method, fields), writing, "{method} {fields:?}");
            }
        }
    }

    #[test]
    fn without_a_token_file_everything_is_open_and_with_one_nothing_else_is() {
        assert_eq!(outcome(&Tokens::default(), &Method::POST, &[]), None);
        let tokens = Tokens { write: Some(Token::new("all")), read: None };
        assert_eq!(outcome(&tokens, &Method::GET, &[]), Some(Refusal::Unauthorized));
        assert!(!format!("{tokens:?}").contains("all"));
    }
}
