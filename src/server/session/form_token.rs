//! Tokens of forms: proof that a form comes from a page that this session was shown.
//!
//! A form's token is a hash of a text that only this browser and the node know: the session's cookie, or for the form of the
//! login a random one. Another site can make the browser send the cookie, at worst, but can't read it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The form's field.
pub const FIELD: &str = "form_token";

/// The token of the forms that belong to `secret`.
pub fn of(secret: &str) -> String {
    let hash = Sha256::new().chain_update(b"thongke form\0").chain_update(secret).finalize();
    URL_SAFE_NO_PAD.encode(&hash[..16])
}

/// True for the token of the forms that belong to `secret`.
pub fn is_of(secret: &str, token: &str) -> bool {
    of(secret).as_bytes().ct_eq(token.as_bytes()).into()
}

/// A text that nobody guesses.
pub fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_belongs_to_one_secret() {
        let secret = random();
        assert!(is_of(&secret, &of(&secret)));
        for other in ["", &secret, &of(&random()), &of(&secret)[1..]] {
            assert!(!is_of(&secret, other), "{other}");
        }
        assert_ne!(random(), random());
    }
}
