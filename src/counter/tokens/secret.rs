//! A token's secret, and signatures by it.
//!
//! The secret is the seed of an Ed25519 key. Nodes keep the SHA-256 of the public key. So whoever reads a node's file, its
//! configuration or Redis can neither log in nor sign what a browser sends after it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::TokenHash;

/// Beginning of each token, by which people and scanners of secrets recognise it.
pub const PREFIX: &str = "tk_";
/// Random bytes of a token: 160 bits.
pub const RANDOM_BYTES: usize = 20;
/// Letters and digits that nobody confuses.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters after the prefix, of five bits each.
const CHARS: usize = RANDOM_BYTES * 8 / 5;

/// The key that a token yields.
pub struct TokenKey(Ed25519KeyPair);

/// A text and its signature, as a browser keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    pub text: &'a str,
    public_key: [u8; 32],
    signature: [u8; 64],
}

/// The token of these random bytes.
pub fn token_of(random: [u8; RANDOM_BYTES]) -> String {
    let mut token = String::with_capacity(PREFIX.len() + CHARS);
    token.push_str(PREFIX);
    for five in random.chunks(5) {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let letter = |at: u32| char::from(ALPHABET[(bits >> (35 - 5 * at)) as usize % ALPHABET.len()]);
        token.extend((0..8).map(letter));
    }
    token
}

/// True for a text of a token's form.
pub fn is_token(text: &str) -> bool {
    let rest = text.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.len() == CHARS && rest.bytes().all(|byte| ALPHABET.contains(&byte)))
}

impl TokenKey {
    /// The key of a token, an operator's too.
    pub fn of(token: &str) -> Option<Self> {
        let seed = Sha256::new().chain_update(b"thongke token\0").chain_update(token).finalize();
        // Only a seed of another length is refused.
        Ed25519KeyPair::from_seed_unchecked(&seed).ok().map(Self)
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of_key(self.0.public_key().as_ref())
    }

    /// The text with the key and its signature, which [`Signed::parse`] reads.
    pub fn signed(&self, text: &str) -> String {
        let (key, signature) = (self.0.public_key(), self.0.sign(&message(text)));
        format!("{text}.{}.{}", URL_SAFE_NO_PAD.encode(key), URL_SAFE_NO_PAD.encode(signature))
    }
}

impl<'a> Signed<'a> {
    pub fn parse(written: &'a str) -> Option<Self> {
        let mut parts = written.rsplitn(3, '.');
        let (signature, public_key, text) = (parts.next()?, parts.next()?, parts.next()?);
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            text,
            public_key: decoded(public_key)?.try_into().ok()?,
            signature: decoded(signature)?.try_into().ok()?,
        })
    }

    /// True if the token of this hash has signed the text.
    pub fn is_by(&self, hash: &TokenHash) -> bool {
        TokenHash::of_key(&self.public_key) == *hash
            && UnparsedPublicKey::new(&ED25519, self.public_key).verify(&message(self.text), &self.signature).is_ok()
    }
}

/// Nothing else that this key may ever sign begins so.
fn message(text: &str) -> Vec<u8> {
    [b"thongke session\0", text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_all_its_random_bits_and_a_form_of_its_own() {
        let token = token_of([0; RANDOM_BYTES]);
        assert_eq!(token, format!("tk_{}", "a".repeat(32)));
        let different: std::collections::HashSet<_> = (0..RANDOM_BYTES * 8)
            .map(|bit| {
                let mut random = [0; RANDOM_BYTES];
                random[bit / 8] = 1 << (bit % 8);
                token_of(random)
            })
            .collect();
        assert_eq!(different.len(), 160);
        assert!(different.iter().all(|token| is_token(token)));
        for wrong in ["", "tk_", &token[..34], &format!("{token}a"), &token.replace('a', "1"), &token.to_uppercase()] {
            assert!(!is_token(wrong), "{wrong}");
        }
    }

    #[test]
    fn only_the_token_signs_and_only_what_it_has_signed() {
        let key = |token| TokenKey::of(token).unwrap();
        let (own, other) = (key("tk_own"), key("tk_other"));
        assert_eq!(own.hash(), key("tk_own").hash());
        assert_ne!(own.hash(), other.hash());
        let signed = own.signed("lan.1733000000");
        assert_eq!(Signed::parse(&signed).unwrap().text, "lan.1733000000");
        assert!(Signed::parse(&signed).unwrap().is_by(&own.hash()));
        assert!(!Signed::parse(&signed).unwrap().is_by(&other.hash()));
        let later = signed.replace("lan.17", "lan.18");
        assert!(!Signed::parse(&later).unwrap().is_by(&own.hash()));
        // The other's signature under the key of this one.
        let (_, theirs) =
            other.signed("lan.1733000000").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (mine, _) = signed.rsplit_once('.').unwrap();
        assert!(!Signed::parse(&format!("{mine}.{theirs}")).unwrap().is_by(&own.hash()));
        for cut in 0..signed.len() {
            assert!(Signed::parse(&signed[..cut]).is_none_or(|signed| !signed.is_by(&own.hash())), "{cut}");
        }
    }
}
