//! A file of the configuration as text and as a table.

use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::problem::{Place, Problems};
use crate::obstacle::{self, ReadError};

/// The text of a file of at most `bytes_max`; none if it can't be read, which is noted.
pub fn text(path: &Path, bytes_max: u64, problems: &mut Problems) -> Option<String> {
    let bytes = match obstacle::read(path, bytes_max) {
        Ok(bytes) => bytes,
        Err(error) => {
            let reason = match error {
                ReadError::NotRegular(kind @ "a folder") => {
                    format!("it is {kind}; expected a file such as `thongke.toml` in it")
                }
                error => error.to_string(),
            };
            problems.add(format!("can't read the configuration {}: {reason}", path.display()));
            return None;
        }
    };
    String::from_utf8(bytes)
        .map_err(|error| {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let before = std::str::from_utf8(before).unwrap_or_default();
            let place = Place::of(path, before, before.len());
            problems.add_at(place, "the file is not in UTF-8 from here on; save it in this encoding");
        })
        .ok()
}

/// The table of a file's text; none if it is no TOML, which is noted.
pub fn table<'t>(path: &Path, text: &'t str, problems: &mut Problems) -> Option<Spanned<DeTable<'t>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken_line = None;
    for error in &errors {
        let at = error.span().unwrap_or_default().start;
        let line = text.get(..at).unwrap_or_default().matches('\n').count();
        // Further errors of a line follow from its first.
        if broken_line.replace(line) == Some(line) {
            continue;
        }
        problems.add_at(Place::of(path, text, at), syntax_problem(text, at, error.message()));
    }
    // The other lines may mean something else once these are right.
    errors.is_empty().then_some(table)
}

/// The parser's message, with a hint for the commonest slips.
fn syntax_problem(text: &str, at: usize, message: &str) -> String {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    // Never the value: it may be a secret.
    let key = line.split([':', '=', ' ']).next().unwrap_or_default();
    let after_key = line.get(key.len()..).unwrap_or_default().trim_start();
    let value = after_key.strip_prefix('=').unwrap_or_default().split('#').next().unwrap_or_default().trim();
    let hint = match value.to_ascii_lowercase().as_str() {
        _ if line.starts_with('[') => None,
        _ if !after_key.starts_with('=') => Some(format!("`{key} = …`")),
        "" => Some("a value after `=`, or no such line".to_owned()),
        "yes" | "on" | "true" => Some("`true`, in lower case".to_owned()),
        "no" | "off" | "false" => Some("`false`, in lower case".to_owned()),
        word if !word.starts_with(['"', '\'', '[', '{']) => Some(format!("text in straight quotes: `{key} = \"…\"`")),
        _ if value.contains('\\') => Some(format!("text with a backslash in single quotes: `{key} = '…'`")),
        _ => None,
    };
    match hint {
        Some(hint) => format!("{message}; expected for example {hint}"),
        None => message.to_owned(),
    }
}
