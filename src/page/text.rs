//! Characters that stand in an address as they are, and decoding to them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;

const fn bytes(others: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut at = 0;
    while at < others.len() {
        set[others[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 128 {
        set[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    set
}

/// In a path.
const SAFE: [bool; 256] = bytes(b"-._~!$&'()*+,;=:@");
/// In a query's name or value: no separators; a slash reads better as it is (`op=Tin-tuc/bai-7`).
static SAFE_IN_QUERY: [bool; 256] = bytes(b"-._~!$'()*,:@/");

/// ASCII that stands in an address's path as it is.
pub const fn is_safe_byte(byte: u8) -> bool {
    SAFE[byte as usize]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Segment,
    Name,
    Value,
}

impl Part {
    fn holds_byte(self, byte: u8) -> bool {
        if self == Self::Segment { SAFE[usize::from(byte)] } else { SAFE_IN_QUERY[usize::from(byte)] }
    }

    fn holds(self, c: char) -> bool {
        match u8::try_from(c) {
            Ok(byte) if c.is_ascii() => self.holds_byte(byte),
            // Letters, marks and digits of every script; no spaces, controls, or marks that reorder or hide text.
            _ => c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c),
        }
    }
}

/// Decodes what reads the same decoded; keeps encoded what would change the address's structure
/// (`%2F` is no separator) or can't be seen. What was not valid UTF-8 stays encoded too. Names become lower case.
pub(super) fn canonical(raw: &str, part: Part) -> Cow<'_, str> {
    // As nearly all are.
    if raw.bytes().all(|byte| part.holds_byte(byte)) {
        return if part == Part::Name && raw.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(raw.to_ascii_lowercase())
        } else {
            Cow::Borrowed(raw)
        };
    }
    let bytes: Vec<u8> = if part == Part::Segment {
        percent_decode_str(raw).collect()
    } else {
        percent_decode_str(&raw.replace('+', " ")).collect()
    };
    let mut to = String::with_capacity(raw.len());
    for chunk in bytes.utf8_chunks() {
        if part == Part::Name {
            push_all(&mut to, chunk.valid().nfc().flat_map(char::to_lowercase).nfc(), part);
        } else {
            push_all(&mut to, chunk.valid().nfc(), part);
        }
        chunk.invalid().iter().for_each(|byte| push_encoded(&mut to, *byte));
    }
    Cow::Owned(to)
}

fn push_all(to: &mut String, chars: impl Iterator<Item = char>, part: Part) {
    for c in chars {
        if part.holds(c) {
            to.push(c);
        } else {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().for_each(|byte| push_encoded(to, byte));
        }
    }
}

fn push_encoded(to: &mut String, byte: u8) {
    to.push_str(percent_encoding::percent_encode_byte(byte));
}

/// Lower case of a canonical path, whose escapes stay as they are.
pub(super) fn lower(mut path: String) -> String {
    if path.is_ascii() && !path.contains('%') {
        path.make_ascii_lowercase();
        return path;
    }
    let mut to = String::with_capacity(path.len());
    let mut rest = &*path;
    while let Some(at) = rest.find('%') {
        let (text, escape) = rest.split_at(at);
        to.extend(text.chars().flat_map(char::to_lowercase).nfc());
        // Three bytes of ASCII: the path is canonical.
        let (escape, after) = escape.split_at(3.min(escape.len()));
        to.push_str(escape);
        rest = after;
    }
    to.extend(rest.chars().flat_map(char::to_lowercase).nfc());
    to
}

/// True if it can be the start of a canonical address.
pub(super) fn is_visible(text: &str) -> bool {
    text.chars().all(|c| Part::Segment.holds(c) || matches!(c, '/' | '?' | '%' | '#'))
}
