//! The path's part of an address.

use std::borrow::Cow;

use super::noise::NOISE;
use super::rules::PageCase;
use super::text::{self, Part};

/// A path as it stands in the address; borrowed where that is as it came.
pub(super) struct Path<'a> {
    whole: Cow<'a, str>,
    /// End of the address's path; zero at the root.
    end: usize,
    /// The last file that stood for its folder, `index.php`: an engine may be known by it.
    index: (usize, usize),
}

/// Escapes of what can't be seen at a path's or a value's end: spaces, and marks without width.
const INVISIBLE: [&str; 10] =
    ["%20", "%09", "%0A", "%0D", "%C2%A0", "%E2%80%8B", "%E2%80%8C", "%E2%80%8D", "%E2%81%A0", "%EF%BB%BF"];

/// Escapes of marks without width: they go at the end of every segment.
const WIDTHLESS: &[&str] = INVISIBLE.split_at(5).1;

impl<'a> Path<'a> {
    pub(super) fn of(raw: &'a str, case: PageCase) -> Self {
        let whole = if is_ordinary(raw, case) { Cow::Borrowed(raw) } else { Cow::Owned(rebuilt(raw, case)) };
        Self::trimmed(whole)
    }

    /// The same where no byte of it has to be changed: only the end is cut. Of a path in safe characters.
    pub(super) fn of_ordinary(raw: &'a str, case: PageCase) -> Option<&'a str> {
        is_ordinary(raw, case).then(|| {
            let (end, _) = trim(raw);
            if end == 0 { "/" } else { &raw[..end] }
        })
    }

    /// A route behind `#`: segments alone; a client's router knows no index files.
    pub(super) fn of_route(raw: &str) -> String {
        let mut to = String::with_capacity(raw.len());
        for segment in raw.split('/').filter(|segment| !segment.is_empty()) {
            let segment = text::canonical(segment, Part::Segment);
            let segment = without(&segment, WIDTHLESS);
            if !segment.is_empty() {
                to.push('/');
                to.push_str(segment);
            }
        }
        loop {
            let end = without_invisible(&to).trim_end_matches('/').len();
            if end == to.len() {
                return to;
            }
            to.truncate(end);
        }
    }

    fn trimmed(whole: Cow<'a, str>) -> Self {
        let (end, index) = trim(&whole);
        Self { whole, end, index }
    }

    /// Without a slash at its end; `/` at the root.
    pub(super) fn text(&self) -> &str {
        if self.is_root() { "/" } else { &self.whole[..self.end] }
    }

    pub(super) fn is_root(&self) -> bool {
        self.end == 0
    }

    /// True if it names the file `name`, shown or standing for its folder.
    pub(super) fn is_file(&self, name: &str) -> bool {
        let last = self.whole[..self.end].rsplit('/').next().unwrap_or_default();
        last.eq_ignore_ascii_case(name) || self.whole[self.index.0..self.index.1].eq_ignore_ascii_case(name)
    }
}

/// Kinds of bytes that [`is_ordinary`] distinguishes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Upper,
    Slash,
    Dot,
    Parenthesis,
    /// To be decoded or cut: the path is not ordinary.
    Other,
}

static KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'A'..=b'Z' => Kind::Upper,
            b'/' => Kind::Slash,
            b'.' => Kind::Dot,
            b'(' => Kind::Parenthesis,
            b';' => Kind::Other,
            byte if text::is_safe_byte(byte) => Kind::Ordinary,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
};

/// True if the path is canonical as it stands, except for its end. Cheap: one look at each byte.
fn is_ordinary(raw: &str, case: PageCase) -> bool {
    let bytes = raw.as_bytes();
    let follows_slash = |at: usize| at > 0 && bytes[at - 1] == b'/';
    let (mut start, mut dot) = (0, None);
    let (mut has_upper, mut is_caseless) = (false, case == PageCase::Fold);
    for (at, byte) in bytes.iter().enumerate() {
        match KINDS[usize::from(*byte)] {
            Kind::Ordinary => {}
            Kind::Upper => has_upper = true,
            Kind::Slash => {
                if follows_slash(at) || dot.is_some_and(|dot| is_special(raw, start, dot, at, case, &mut is_caseless)) {
                    return false;
                }
                (start, dot) = (at + 1, None);
            }
            Kind::Dot if !follows_slash(at) => dot = Some(at),
            Kind::Parenthesis if !follows_slash(at) => {}
            Kind::Dot | Kind::Parenthesis | Kind::Other => return false,
        }
    }
    // What stands at the end is cut, not changed.
    if let Some(dot) = dot {
        is_special(raw, start, dot, bytes.len(), case, &mut is_caseless);
    }
    raw.starts_with('/') && !(has_upper && is_caseless)
}

/// True if a segment with a dot is a front file before a path; notes if it makes the path caseless.
fn is_special(raw: &str, start: usize, dot: usize, end: usize, case: PageCase, is_caseless: &mut bool) -> bool {
    *is_caseless |= case == PageCase::Auto && is_caseless_ending(&raw[dot..end]);
    is_one_of(&raw[start..end], &NOISE.path.middle)
}

fn is_caseless_ending(ending: &str) -> bool {
    is_one_of(ending, &NOISE.path.caseless)
}

fn is_one_of(text: &str, names: &[Box<str>]) -> bool {
    names.iter().any(|name| text.eq_ignore_ascii_case(name))
}

fn rebuilt(raw: &str, case: PageCase) -> String {
    let mut to = String::with_capacity(raw.len());
    let mut is_caseless = case == PageCase::Fold;
    for segment in raw.split('/').filter(|segment| !segment.is_empty()) {
        let segment = without_sessions(text::canonical(segment, Part::Segment));
        let segment = without(&segment, WIDTHLESS);
        if matches!(segment, "" | "." | "..") || is_aspnet_session(segment) {
            continue;
        }
        is_caseless |=
            case == PageCase::Auto && segment.rfind('.').is_some_and(|dot| is_caseless_ending(&segment[dot..]));
        // A front file before a path.
        if let Some(slash) = to.rfind('/')
            && is_one_of(&to[slash + 1..], &NOISE.path.middle)
        {
            to.truncate(slash);
        }
        to.push('/');
        to.push_str(segment);
    }
    if is_caseless { text::lower(to) } else { to }
}

/// Without `;jsessionid=…`.
fn without_sessions(segment: Cow<'_, str>) -> Cow<'_, str> {
    let is_session = |parameter: &str| {
        let starts = |name: &str| parameter.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        NOISE.path.parameters.iter().any(|name| starts(name))
    };
    if !segment.contains(';') || !segment.split(';').skip(1).any(is_session) {
        return segment;
    }
    let mut pieces = segment.split(';');
    let mut to = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces.filter(|piece| !is_session(piece)) {
        to.push(';');
        to.push_str(piece);
    }
    Cow::Owned(to)
}

/// `(S(lit3py55t21z5v55vlm25s55))`, also with `A(…)` and `F(…)`; in ASP.NET 1 `(lit3py55t21z5v55vlm25s55)`. It has a
/// digit or, in ASP.NET 2, 24 characters: a word in parentheses is a page.
fn is_aspnet_session(segment: &str) -> bool {
    let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let Some(inner) = segment.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return false };
    if inner.len() == 24 && inner.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return has_digit(inner);
    }
    inner.strip_suffix(')').is_some_and(|groups| {
        groups.split(')').all(|group| {
            group.split_once('(').is_some_and(|(kind, text)| {
                let is_kind = matches!(kind, "S" | "A" | "F" | "X" | "s" | "a" | "f" | "x");
                is_kind && !text.is_empty() && is_text(text) && (has_digit(inner) || text.len() == 24)
            })
        })
    })
}

/// End of the path without files that stand for their folder, and place of the last such file. Repeats until
/// nothing changes, so that an address is its own address: `/a/index.html/index.php/` is `/a`.
fn trim(path: &str) -> (usize, (usize, usize)) {
    let mut text = path;
    let mut index = (0, 0);
    loop {
        let before = text.len();
        text = without_invisible(text.trim_end_matches('/'));
        if let Some(slash) = text.rfind('/') {
            let last = &text[slash + 1..];
            let is_index = is_index(last);
            if is_index {
                index = (slash + 1, text.len());
            }
            // `/amp` at the root is a page of that name.
            let is_edition = slash > 0 && is_edition(last);
            if is_index || is_edition || matches!(last, "." | "..") {
                text = &text[..slash];
            }
        }
        if text.len() == before {
            return (before, index);
        }
    }
}

/// `amp`, `comment-page-2`: another view of the page before it.
fn is_edition(last: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    NOISE.path.last.iter().any(|name| **name == *last)
        || NOISE.path.last_numbered.iter().any(|name| last.strip_prefix(&**name).is_some_and(is_number))
}

pub(super) fn without_invisible(text: &str) -> &str {
    without(text, &INVISIBLE)
}

/// The text without these escapes at its end.
fn without<'a>(mut text: &'a str, escapes: &[&str]) -> &'a str {
    while text.len() >= 3 && text.as_bytes()[text.len() - 3] == b'%' {
        let Some(shorter) = escapes.iter().find_map(|escape| text.strip_suffix(escape)) else { break };
        text = shorter;
    }
    text
}

/// `index.html`, `Default.aspx`, …: what a server shows for the folder itself.
fn is_index(name: &str) -> bool {
    name.split_once('.').is_some_and(|(name, ending)| {
        is_one_of(name, &NOISE.path.folders)
            && (NOISE.path.endings.contains(ending) || NOISE.path.endings.contains(&*ending.to_ascii_lowercase()))
    })
}
