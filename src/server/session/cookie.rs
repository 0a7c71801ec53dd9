//! Cookies of the editors' pages.

use hyper::header::{COOKIE, HeaderMap, HeaderValue};

/// The session after a login.
pub const SESSION: &str = "thongke_session";
/// The session of a share link, beside that of a login.
pub const SHARE: &str = "thongke_share";
/// A random text, to which the form of the login belongs.
pub const FORM: &str = "thongke_form";
/// Values of one name that are looked at: another page of the host may have set some.
const VALUES_MAX: usize = 4;

/// The values of a cookie.
pub fn values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value).take(VALUES_MAX)
}

/// A cookie's place in the browser.
#[derive(Debug, Clone, Copy)]
pub struct Jar<'a> {
    /// The path under which the browser sends it.
    pub path: &'a str,
    /// It is sent by TLS alone.
    pub is_secure: bool,
}

impl Jar<'_> {
    /// A `Set-Cookie`, of ASCII values without separators.
    pub fn put(self, name: &'static str, value: &str, seconds: i64) -> Option<HeaderValue> {
        let Self { path, is_secure } = self;
        let secure = if is_secure { "; Secure" } else { "" };
        let line = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::try_from(line).ok()
    }

    /// A `Set-Cookie` that deletes.
    pub fn clear(self, name: &'static str) -> Option<HeaderValue> {
        self.put(name, "", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let line = "a=1; thongke_session=x.y; thongke_sessions=z;thongke_session=second; thongke_session";
        let headers: HeaderMap = [(COOKIE, HeaderValue::from_static(line))].into_iter().collect();
        assert_eq!(values(&headers, SESSION).collect::<Vec<_>>(), ["x.y", "second"]);
        assert_eq!(values(&headers, SHARE).next(), None);
    }

    #[test]
    fn a_cookie_is_for_its_path_and_no_script() {
        let jar = Jar { path: "/tk/manage", is_secure: true };
        let written = "thongke_session=v; Path=/tk/manage; Max-Age=60; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(jar.put(SESSION, "v", 60).unwrap(), written);
        assert!(
            Jar { is_secure: false, ..jar }
                .clear(SHARE)
                .unwrap()
                .to_str()
                .unwrap()
                .ends_with("Max-Age=0; HttpOnly; SameSite=Strict")
        );
    }
}
