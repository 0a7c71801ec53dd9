//! The script without what only readers of its source need.

/// Local names of the script, shortened to a letter each. None is also a key or a property.
const LOCAL_NAMES: [&str; 47] = [
    "script", "around", "address", "former", "wait", "claimed", "sent", "each", "encoded", "ask", "fill", "show",
    "boxes", "views", "urls", "asked", "count", "look", "moved", "early", "due", "mark", "data", "box", "list", "row",
    "doc", "explain", "why", "said", "answer", "item", "anchor", "place", "asks", "error", "here", "router", "one",
    "tag", "path", "rows", "root", "send", "event", "gone", "start",
];
/// Their letters, none of which is a name in the source.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Signs that need no space beside them.
const SIGNS: &str = "=+?:&|,;{}()<>!-";

/// Strips comments, line breaks and spaces, and shortens local names. Relies on the source: each statement
/// ends in `;` or `}`, and no regular expression holds a space, a quote or a local name.
pub fn minify(script: &str) -> String {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let mut short = String::with_capacity(script.len());
    for line in lines {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            let is_sign = |c: Option<char>| c.is_none_or(|c| SIGNS.contains(c));
            if token != " " {
                push(&mut short, token);
            } else if !is_sign(short.chars().next_back()) && !is_sign(after.chars().next()) {
                short.push(' ');
            }
            rest = after;
        }
    }
    short.push('\n');
    short
}

fn push(to: &mut String, token: &str) {
    let before = to.chars().next_back();
    match LOCAL_NAMES.iter().position(|name| *name == token).filter(|_| before != Some('.')) {
        Some(at) => to.push(char::from(LETTERS[at])),
        None => {
            // Two lines.
            if before.is_some_and(is_word) && token.starts_with(is_word) {
                to.push(' ');
            }
            to.push_str(token);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_readers_need_goes_and_strings_stay() {
        let source = "// A comment.\nvar wait = 1, query = 'a + b', due;\n\nif (due) return wait;\nelse look(page.look, \"x = y\");\nfunction look() { }\n";
        let short = "var E=1,query='a + b',U;if(U)return E;else R(page.look,\"x = y\");function R(){}\n";
        assert_eq!(minify(source), short);
    }

    #[test]
    fn local_names_of_the_script_are_no_keys_and_no_properties() {
        let script = include_str!("../../web/thongke.js");
        let code: String = script.lines().filter(|line| !line.trim().starts_with("//")).collect();
        for name in LOCAL_NAMES {
            for wrong in [format!(".{name}"), format!("{name}:"), format!("{name} :")] {
                let is_wrong = |(at, _): (usize, &str)| {
                    let after = code[at + wrong.len()..].chars().next();
                    let before = code[..at].chars().next_back();
                    if wrong.starts_with('.') { !after.is_some_and(is_word) } else { !before.is_some_and(is_word) }
                };
                assert!(!code.match_indices(&wrong).any(is_wrong), "{wrong}");
            }
            assert!(code.contains(name), "{name}");
        }
    }
}
