//! Content-Security-Policy, level 3, by the library of Servo: will a page load the script, send the hit, and load the
//! pixel?

use content_security_policy::{
    CspList, Destination, Initiator, ParserMetadata, Policy, PolicyDisposition, PolicySource, Request, Violates,
};
use url::Url;

/// All policies of a page. Each of them must allow what is loaded.
#[derive(Debug, Clone, Default)]
pub struct Policies(Vec<Policy>);

/// A directive that keeps something away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// As the page has it.
    pub directive: String,
    /// The directive to change.
    pub name: String,
    pub place: &'static str,
}

/// Load of the counter by a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load<'a> {
    Script { nonce: Option<&'a str>, integrity: Option<&'a str> },
    Hit,
    Pixel,
}

impl Policies {
    /// `headers`: values of `Content-Security-Policy`. `metas`: those of `<meta http-equiv>`.
    pub fn of<'a>(headers: impl Iterator<Item = &'a str>, metas: impl Iterator<Item = &'a str>) -> Self {
        let of = |source| move |text: &'a str| CspList::parse(text, source, PolicyDisposition::Enforce).0;
        Self(headers.flat_map(of(PolicySource::Header)).chain(metas.flat_map(of(PolicySource::Meta))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first directive that keeps `url` from a page at `page`.
    pub fn blocks(&self, load: Load<'_>, url: &Url, page: &Url) -> Option<Blocked> {
        let (destination, initiator, own_name) = match load {
            Load::Script { .. } => (Destination::Script, Initiator::None, "script-src"),
            Load::Hit => (Destination::None, Initiator::Fetch, "connect-src"),
            Load::Pixel => (Destination::Image, Initiator::None, "img-src"),
        };
        let (nonce, integrity) = match load {
            Load::Script { nonce, integrity } => (nonce.unwrap_or_default(), integrity.unwrap_or_default()),
            Load::Hit | Load::Pixel => ("", ""),
        };
        let request = Request {
            url: url.clone(),
            current_url: url.clone(),
            origin: page.origin(),
            redirect_count: 0,
            destination,
            initiator,
            nonce: nonce.to_owned(),
            integrity_metadata: integrity.to_owned(),
            parser_metadata: ParserMetadata::ParserInserted,
        };
        self.0.iter().find_map(|policy| {
            let Violates::Directive(directive) = policy.does_request_violate_policy(&request) else { return None };
            // A new directive of its own leaves the default to the others.
            let name = if directive.name == "default-src" { own_name.to_owned() } else { directive.name.clone() };
            let place = if policy.source == PolicySource::Header { "header" } else { "<meta>" };
            Some(Blocked { directive: directive.to_string(), name, place })
        })
    }

    /// True if the browser asks for https where the page says http.
    pub fn upgrades(&self) -> bool {
        self.0.iter().any(|policy| directive(policy, "upgrade-insecure-requests").is_some())
    }

    /// Keyword that the script needs and a `sandbox` directive lacks. Only a header can set one.
    pub fn sandbox_lacks(&self) -> Option<&'static str> {
        let of_headers = self.0.iter().filter(|policy| policy.source == PolicySource::Header);
        of_headers.filter_map(|policy| directive(policy, "sandbox")).find_map(|allowed| {
            let is_allowed = |word: &str| allowed.iter().any(|one| one.eq_ignore_ascii_case(word));
            ["allow-scripts", "allow-same-origin"].into_iter().find(|word| !is_allowed(word))
        })
    }
}

fn directive<'a>(policy: &'a Policy, name: &str) -> Option<&'a Vec<String>> {
    policy.directive_set.iter().find_map(|directive| (directive.name == name).then_some(&directive.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Load<'_> = Load::Script { nonce: None, integrity: None };

    fn blocks(policy: &str, load: Load<'_>, url: &str) -> Option<String> {
        let policies = Policies::of([policy].into_iter(), std::iter::empty());
        let page = Url::parse("https://a.vn/tin").unwrap();
        policies.blocks(load, &Url::parse(url).unwrap(), &page).map(|blocked| blocked.name)
    }

    #[test]
    fn a_source_covers_what_the_standard_says() {
        for (sources, is_allowed) in [
            ("https://c.vn", true),
            ("c.vn", true),
            ("C.VN:443", true),
            ("http://c.vn", true),
            ("*.vn", true),
            ("*", true),
            ("https:", true),
            ("https://c.vn/tk/", true),
            ("https://c.vn/tk/thongke.js", true),
            ("'self' https://x.vn https://c.vn:*", true),
            ("'self'", false),
            ("'none'", false),
            ("", false),
            ("https://c.vn/t", false),
            ("https://c.vn:8443", false),
            ("*.c.vn", false),
            ("https://xc.vn", false),
            ("data: blob: 'unsafe-inline' 'unsafe-eval'", false),
            ("https://c.vn 'strict-dynamic'", false),
        ] {
            let blocked = blocks(&format!("script-src {sources}"), SCRIPT, "https://c.vn/tk/thongke.js");
            assert_eq!(blocked.is_none(), is_allowed, "{sources}");
        }
        assert_eq!(blocks("script-src 'self'", SCRIPT, "https://a.vn/tk/thongke.js"), None);
        assert!(blocks("script-src 'self'", SCRIPT, "https://a.vn:8443/thongke.js").is_some());
    }

    #[test]
    fn the_most_specific_directive_decides_and_all_policies_must_allow() {
        let url = "https://c.vn/v1/hit";
        assert_eq!(blocks("default-src 'self'", Load::Hit, url).as_deref(), Some("connect-src"));
        assert_eq!(blocks("default-src 'self'", SCRIPT, url).as_deref(), Some("script-src"));
        assert_eq!(blocks("default-src 'none'; connect-src c.vn", Load::Hit, url), None);
        assert_eq!(blocks("script-src c.vn; script-src-elem 'self'", SCRIPT, url).as_deref(), Some("script-src-elem"));
        assert_eq!(blocks("script-src c.vn; SCRIPT-SRC 'none'", SCRIPT, url), None);
        assert_eq!(blocks("img-src 'self'; object-src 'none'", Load::Hit, url), None);
        assert_eq!(blocks("img-src 'self'", Load::Pixel, url).as_deref(), Some("img-src"));
        assert_eq!(blocks("script-src *, script-src 'self'", SCRIPT, url).as_deref(), Some("script-src"));
        assert_eq!(blocks("", SCRIPT, url), None);
    }

    #[test]
    fn a_nonce_or_a_hash_allows_the_script() {
        let url = "https://c.vn/thongke.js";
        let load = |nonce, integrity| Load::Script { nonce, integrity };
        let policy = "script-src 'nonce-abc' 'sha384-xyz=' 'strict-dynamic'";
        assert_eq!(blocks(policy, load(Some("abc"), None), url), None);
        assert!(blocks(policy, load(Some("abd"), None), url).is_some());
        assert_eq!(blocks(policy, load(None, Some("sha384-xyz=")), url), None);
        assert!(blocks(policy, load(None, Some("sha384-xyz= sha256-other")), url).is_some());
    }

    #[test]
    fn a_sandbox_must_let_scripts_run_with_their_origin() {
        let lacks = |text: &str| Policies::of([text].into_iter(), std::iter::empty()).sandbox_lacks();
        assert_eq!(lacks("sandbox"), Some("allow-scripts"));
        assert_eq!(lacks("sandbox allow-scripts"), Some("allow-same-origin"));
        assert_eq!(lacks("sandbox allow-scripts allow-same-origin"), None);
        assert_eq!(lacks("default-src *"), None);
        // A <meta> can't set one.
        assert_eq!(Policies::of(std::iter::empty(), ["sandbox"].into_iter()).sandbox_lacks(), None);
        assert!(Policies::of(["upgrade-insecure-requests"].into_iter(), std::iter::empty()).upgrades());
    }
}
