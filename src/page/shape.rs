//! Shapes of values: what tells a session from a section where both are called `s`.
//!
//! Values are canonical: what is no letter, digit or safe character stands percent-encoded.

/// See the head of `noise.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Any,
    Stamp,
    Token,
    Code,
    Guid,
    Words,
    Sentence,
    First,
    OwnLanguage,
    Url,
    Path,
    Flag,
    Number,
    Alias,
    OneOf(Box<[Box<str>]>),
    Email,
    Phone,
    Citizen,
    Jwt,
}

/// Shortest session or token.
const TOKEN_CHARS_MIN: usize = 16;
/// Shortest run of letters and digits in a token: words between hyphens are shorter.
const TOKEN_RUN_CHARS_MIN: usize = 12;
/// Shortest time since 1970 or written out.
const STAMP_DIGITS_MIN: usize = 9;

impl Shape {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "any" => Self::Any,
            "stamp" => Self::Stamp,
            "token" => Self::Token,
            "code" => Self::Code,
            "guid" => Self::Guid,
            "words" => Self::Words,
            "sentence" => Self::Sentence,
            "first" => Self::First,
            "own-language" => Self::OwnLanguage,
            "url" => Self::Url,
            "path" => Self::Path,
            "flag" => Self::Flag,
            "number" => Self::Number,
            "alias" => Self::Alias,
            "email" => Self::Email,
            "phone" => Self::Phone,
            "citizen" => Self::Citizen,
            "jwt" => Self::Jwt,
            _ => Self::OneOf(text.strip_prefix('=')?.split(',').map(Into::into).collect()),
        })
    }

    /// `language` is the site's own.
    pub(super) fn matches(&self, value: &str, language: &str) -> bool {
        match self {
            Self::Any | Self::Alias => true,
            Self::Stamp => is_stamp(value),
            Self::Token => is_token(value) || is_long_run(value) || is_cas_ticket(value),
            Self::Code => is_token(value) && !is_guid(value),
            Self::Guid => is_guid(value.trim_start_matches("%7B").trim_end_matches("%7D")),
            Self::Words => !is_path(value),
            Self::Sentence => value.contains("%20") || !value.is_ascii(),
            Self::First => matches!(value, "0" | "1"),
            Self::OwnLanguage => is_language(value, language),
            Self::Url => value.starts_with('/') || value.contains("://"),
            Self::Path => value.contains('/'),
            Self::Flag => ["0", "1", "true", "false", "yes", "no", "on", "off"]
                .iter()
                .any(|flag| value.eq_ignore_ascii_case(flag)),
            Self::Number => is_number(value),
            Self::OneOf(values) => values.iter().any(|one| value.eq_ignore_ascii_case(one)),
            Self::Email => is_email(value),
            Self::Phone => is_phone(value),
            Self::Citizen => is_citizen(value),
            Self::Jwt => is_jwt(value),
        }
    }
}

/// Cheap test before the shapes of personal data.
pub(super) fn may_be_personal(value: &str) -> bool {
    matches!(value.as_bytes(), [b'0', ..] | [b'%', b'2', ..] | [b'e', b'y', b'J', ..])
        || value.bytes().any(|b| b == b'@')
}

/// Number before `:` in `27804:hop-bao`.
pub(super) fn without_alias(value: &str) -> &str {
    value.split_once(':').filter(|(number, _)| is_number(number)).map_or(value, |(number, _)| number)
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_stamp(value: &str) -> bool {
    (value.len() >= STAMP_DIGITS_MIN && is_number(value)) || value.strip_prefix("0.").is_some_and(is_number)
}

fn is_guid(value: &str) -> bool {
    let mut groups = value.trim_matches(['{', '}']).split('-');
    [8, 4, 4, 4, 12].iter().all(|length| {
        groups.next().is_some_and(|group| group.len() == *length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }) && groups.next().is_none()
}

fn is_token(value: &str) -> bool {
    let is_random = |run: &str| {
        run.len() >= TOKEN_RUN_CHARS_MIN
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    value.len() >= TOKEN_CHARS_MIN
        && value.is_ascii()
        && !value.contains('/')
        && (is_guid(value) || value.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random))
}

/// Letters or digits alone: enough under a name that means a session.
fn is_long_run(value: &str) -> bool {
    value.len() >= TOKEN_CHARS_MIN && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `ST-123456-…`, `TGT-…`.
fn is_cas_ticket(value: &str) -> bool {
    let rest = ["ST-", "PT-", "TGT-"].iter().find_map(|kind| value.strip_prefix(kind));
    value.len() >= TOKEN_CHARS_MIN && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `node/5`, `06/2016/QĐ-TTg`: a slash, and nothing that words have.
fn is_path(value: &str) -> bool {
    value.contains('/') && value.chars().all(|c| c.is_alphanumeric() || "-_./:~,()".contains(c))
}

fn is_language(value: &str, language: &str) -> bool {
    // Portals write the country for the language.
    let is_tag = |tag: &str| {
        tag.eq_ignore_ascii_case(language)
            || (language == "vi" && ["vn", "vie"].iter().any(|vn| tag.eq_ignore_ascii_case(vn)))
    };
    let is_region = |region: &str| region.len() == 2 && region.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_tag(value) || value.split_once(['-', '_']).is_some_and(|(tag, region)| is_tag(tag) && is_region(region))
}

fn is_email(value: &str) -> bool {
    const FILES: [&str; 14] =
        ["png", "jpg", "jpeg", "gif", "webp", "svg", "html", "htm", "pdf", "css", "js", "aspx", "php", "json"];
    value.match_indices('@').any(|(at, _)| {
        let has_name = value.as_bytes()[..at].last().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let after = &value[at + 1..];
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(after.len());
        let host = after[..end].trim_end_matches('.');
        has_name
            && host.rsplit_once('.').is_some_and(|(name, top)| {
                !name.is_empty()
                    && top.len() >= 2
                    && top.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && !FILES.iter().any(|file| top.eq_ignore_ascii_case(file))
            })
    })
}

/// Vietnamese numbers: ten digits of a mobile phone, eleven of another, with `0` or `+84` before.
fn is_phone(value: &str) -> bool {
    let (is_international, rest) = match value.strip_prefix("%2B84").or_else(|| value.strip_prefix("%2084")) {
        Some(rest) => (true, rest),
        None => match value.strip_prefix('0') {
            Some(rest) => (false, rest),
            None => return false,
        },
    };
    let mut digits = [0; 11];
    let mut count = 0;
    let mut rest = rest.as_bytes();
    loop {
        match rest {
            [] => break,
            [digit @ b'0'..=b'9', after @ ..] => {
                let Some(place) = digits.get_mut(count) else { return false };
                *place = *digit;
                count += 1;
                rest = after;
            }
            [b'.' | b'-', after @ ..] | [b'%', b'2', b'0', after @ ..] => rest = after,
            _ => return false,
        }
    }
    // `+84 0912…` is written too.
    let digits = &digits[..count];
    let digits = if is_international { digits.strip_prefix(b"0").unwrap_or(digits) } else { digits };
    matches!((digits, digits.len()), ([b'3' | b'5' | b'7'..=b'9', ..], 9) | ([b'2', ..], 10))
}

/// Twelve digits, the first three a province's from 001 to 096.
fn is_citizen(value: &str) -> bool {
    value.len() == 12 && is_number(value) && value.starts_with('0') && ("001"..="096").contains(&&value[..3])
}

fn is_jwt(value: &str) -> bool {
    let is_part =
        |part: &str| part.len() >= 4 && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    value.starts_with("eyJ") && value.split('.').count() == 3 && value.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_and_citizens_are_known_and_ids_are_not() {
        for phone in [
            "0912345678",
            "0351234567",
            "02412345678",
            "%2B84912345678",
            "%2084912345678",
            "0912.345.678",
            "091%20234%205678",
        ] {
            assert!(is_phone(phone), "{phone}");
        }
        for other in
            ["0100109106", "912345678", "09123456789", "091234567", "20240617093000", "0", "0-9", "09123456789012345"]
        {
            assert!(!is_phone(other), "{other}");
        }
        assert!(is_citizen("001099012345") && is_citizen("096199000001"));
        assert!(!is_citizen("000099012345") && !is_citizen("097099012345") && !is_citizen("0010990123456"));
    }

    #[test]
    fn an_email_is_no_file_and_no_handle() {
        for email in ["a@b.vn", "nguyen.van.a@mail.gov.vn", "Name%20%3Ca@b.vn%3E", "https://a.vn/?e=x@y.com"] {
            assert!(is_email(email), "{email}");
        }
        for other in ["@a", "a@b", "tin/a@2x.png", "/@nguyen/bai.html", "a@.vn", "@b.vn"] {
            assert!(!is_email(other), "{other}");
        }
    }

    #[test]
    fn words_between_hyphens_are_no_token() {
        for token in
            ["0123456789abcdef0123456789abcdef", "ST-1-ab12cd34ef56ab78cd90", "0f8fad5b-d9cb-469f-a165-70867728950e"]
        {
            assert!(is_token(token), "{token}");
        }
        for other in
            ["thong-bao-so-1-nam-2024", "TTHC-001-2024-QD-UBND", "696", "hanoi", "thongbaosomot", "2024061709300012"]
        {
            assert!(!is_token(other), "{other}");
        }
        let names_session = |value: &str| Shape::Token.matches(value, "vi");
        for session in ["12345678901234567890", "abcdefghijklmnopqrst", "ST-123456-abcdefghijklmnop-cas"] {
            assert!(names_session(session) && !Shape::Code.matches(session, "vi"), "{session}");
        }
        for other in ["ST-1", "thong-bao-so-hai-muoi", "123456789012345", "1201"] {
            assert!(!names_session(other), "{other}");
        }
        assert!(Shape::Guid.matches("%7B0c2a3b44-1111-4a3f-9c55-3b6a6e6f4f11%7D", "vi"));
        assert!(!Shape::Guid.matches("danhsachvanbanmoi", "vi"));
    }
}
