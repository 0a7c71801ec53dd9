//! What can't be read as TOML, in the words of one who writes a configuration.

use std::ops::Range;

use super::problem::Findings;

/// Notes all syntax errors; true if the rest of the file can be trusted to be what it seems.
pub fn note(errors: &[toml::de::Error], findings: &mut Findings<'_>) -> bool {
    let mut rest_is_sound = true;
    // The keys below a header that is there twice are there twice too: one error says it.
    let mut below_duplicate: Option<Range<usize>> = None;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let place = Context::of(findings.text(), &span);
        let kind = Kind::of(error.message());
        rest_is_sound &= kind.is_contained() && !(place.is_header && kind != Kind::Duplicate);
        if kind == Kind::Duplicate {
            if below_duplicate.as_ref().is_some_and(|section| section.contains(&span.start)) {
                continue;
            }
            if place.is_header {
                below_duplicate = Some(span.start..section_end(findings.text(), span.end));
            }
        }
        findings.syntax(&span, place.explain(kind, error.message()));
    }
    rest_is_sound
}

/// Where the table that is open at `at` ends: before the next line that is a header.
fn section_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find("\n[")).map_or(text.len(), |length| at + length)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotAValue,
    Boolean,
    Number,
    Duplicate,
    NoEquals,
    Key,
    Header,
    OpenText,
    Escape,
    Other,
}

impl Kind {
    fn of(message: &str) -> Self {
        let begins = |start: &str| message.starts_with(start);
        match () {
            () if begins("string values must be quoted") => Self::NotAValue,
            () if begins("invalid boolean") => Self::Boolean,
            () if begins("duplicate key") => Self::Duplicate,
            () if begins("key with no value") => Self::NoEquals,
            () if begins("invalid unquoted key") => Self::Key,
            () if begins("unclosed table") => Self::Header,
            () if begins("invalid basic string") || begins("invalid literal string") => Self::OpenText,
            () if message.contains("unicode value") || message.contains("escape") => Self::Escape,
            () if ["invalid float", "invalid integer", "invalid datetime", "invalid leading", "leading zero"]
                .iter()
                .any(|start| begins(start)) =>
            {
                Self::Number
            }
            () => Self::Other,
        }
    }

    /// Whether it spoils only its own line.
    fn is_contained(self) -> bool {
        matches!(self, Self::NotAValue | Self::Boolean | Self::Number | Self::Duplicate | Self::NoEquals | Self::Key)
    }
}

/// The text at an error.
struct Context<'t> {
    line: &'t str,
    at: &'t str,
    is_header: bool,
}

impl<'t> Context<'t> {
    fn of(text: &'t str, span: &Range<usize>) -> Self {
        let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default().trim();
        Self { line, at: text.get(span.clone()).unwrap_or_default().trim(), is_header: line.starts_with('[') }
    }

    fn explain(&self, kind: Kind, message: &str) -> String {
        let Self { line, at, .. } = self;
        match kind {
            Kind::NotAValue if at.is_empty() => {
                let key = line.split('=').next().unwrap_or_default().trim();
                format!("`{key}` has no value; give it one, or take the line out")
            }
            Kind::NotAValue => match at.to_ascii_lowercase().as_str() {
                "yes" | "on" => format!("`{at}` is not a value: expected `true` (or \"{at}\", if it is text)"),
                "no" | "off" => format!("`{at}` is not a value: expected `false` (or \"{at}\", if it is text)"),
                _ => needs_quotes(at),
            },
            Kind::Number => needs_quotes(value_of(line)),
            Kind::Boolean => format!("`{at}` is not a value: expected `true` or `false`, in lower case"),
            Kind::Duplicate if self.is_header => format!("duplicate key: `{line}` is here a second time; make it one"),
            Kind::Duplicate => format!("duplicate key: `{at}` is set a second time; keep one of the two"),
            Kind::NoEquals | Kind::Key if is_followed_by_colon(line) => {
                format!("`{0}` is followed by `:`; expected `{0} = …`", first_word(line))
            }
            Kind::NoEquals => format!("`{0}` has no `=` after it; expected `{0} = …`", first_word(line)),
            Kind::Key => {
                let key = line.split('=').next().unwrap_or_default().trim();
                format!("`{key}` is not a key: expected letters a-z, digits, `-` and `_`")
            }
            Kind::Header => format!("`{line}` lacks its closing `]`"),
            Kind::OpenText => "the text that begins in this line lacks its closing quote".to_owned(),
            Kind::Escape => {
                format!("{message}: in \"…\" a backslash begins an escape; write '…' for text that holds one")
            }
            Kind::Other => message.to_owned(),
        }
    }
}

/// The value of a line `key = value # comment`.
fn value_of(line: &str) -> &str {
    let value = line.split_once('=').map_or(line, |(_, value)| value);
    value.split('#').next().unwrap_or_default().trim()
}

/// The key of a line; never more, since a value may be a secret.
fn first_word(line: &str) -> &str {
    line.split(|c: char| c.is_whitespace() || c == ':' || c == '=').next().unwrap_or_default()
}

fn is_followed_by_colon(line: &str) -> bool {
    line.get(first_word(line).len()..).is_some_and(|rest| rest.trim_start().starts_with(':'))
}

fn needs_quotes(text: &str) -> String {
    if text.contains('@') {
        // It may be an address with a password.
        return "the value is text, and needs quotes: `\"…\"`".to_owned();
    }
    // Word processors write quotes that TOML doesn't know.
    let bare = text.trim_matches(['“', '”', '„', '‘', '’', '"', '\'']);
    if bare == text {
        format!("`{text}` is not a value: text needs quotes, `\"{text}\"`")
    } else {
        format!("`{text}` is not a value: text needs straight quotes, `\"{bare}\"`")
    }
}
