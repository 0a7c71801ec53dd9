//! The page to which a login returns: one of the editors' pages, never another site's.

/// Longest path that a form carries on.
const BYTES_MAX: usize = 2_000;

/// The path, if it is one of the editors' pages under `home`.
pub fn checked<'p>(path: &'p str, home: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(home)?;
    let is_under = rest.is_empty() || rest.starts_with(['/', '?']);
    let (plain, _) = rest.split_once('?').unwrap_or((rest, ""));
    // Browsers read a backslash as a slash, and drop control characters.
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#');
    let climbs = plain.contains("//") || plain.contains("..") || plain.to_ascii_lowercase().contains("%2e");
    (is_under && is_plain && !climbs && path.len() <= BYTES_MAX).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_returns_to_its_own_pages_alone() {
        for path in ["/tk/manage", "/tk/manage?sort=today", "/tk/manage/sites/demo?from=2024-01-01&to=2024-02-01"] {
            assert_eq!(checked(path, "/tk/manage"), Some(path));
        }
        for path in [
            "",
            "/",
            "/manage",
            "/tk/managers",
            "//evil.vn/tk/manage",
            "https://evil.vn/tk/manage",
            "/tk/manage//evil.vn",
            "/tk/manage/../../x",
            "/tk/manage/%2E%2e/x",
            "/tk/manage\\..\\x",
            "/tk/manage\n",
            "/tk/manage#x",
            "/tk/manage/ả",
            &format!("/tk/manage/{}", "a".repeat(BYTES_MAX)),
        ] {
            assert_eq!(checked(path, "/tk/manage"), None, "{path}");
        }
    }
}
