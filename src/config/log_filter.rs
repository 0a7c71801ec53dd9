//! The filter of log lines. The library takes a misspelt level for the name of a part that logs nothing, and
//! then nothing is logged at all; so names are checked here.

use super::suggest;

/// Levels, the quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Crates that log.
const PARTS: [&str; 8] = ["thongke", "h2", "hyper", "hyper_util", "mio", "redis", "rustls", "tokio"];

/// Fails with the reason why a directive is wrong, and with the known names.
pub fn check(filter: &str) -> Result<(), String> {
    filter.split(',').try_for_each(check_directive)
}

fn check_directive(directive: &str) -> Result<(), String> {
    let is_level = |name: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(name));
    let known = || format!("levels are {}, and parts {}", LEVELS.join(", "), PARTS.join(", "));
    let meant = |name: &str, names: &[&'static str]| {
        let longer = names.iter().copied().find(|known| name.to_lowercase().starts_with(known));
        let meant = longer.or_else(|| suggest::nearest(name, names.iter().copied()));
        meant.map_or(String::new(), |meant| format!("did you mean `{meant}`? "))
    };
    match directive.split_once('=') {
        _ if is_level(directive) => Ok(()),
        None if is_part(directive) => Ok(()),
        None => {
            let meant = meant(directive, &[LEVELS.as_slice(), PARTS.as_slice()].concat());
            Err(format!("`{directive}` is neither a level nor a part of the program; {meant}{}", known()))
        }
        Some((part, _)) if !is_part(part) => {
            Err(format!("`{part}` is no part that logs; {}{}", meant(part, &PARTS), known()))
        }
        Some((_, level)) if !is_level(level) => {
            Err(format!("`{level}` is no level; {}{}", meant(level, &LEVELS), known()))
        }
        Some(_) => Ok(()),
    }
}

/// True for a crate that logs, or a module in one.
fn is_part(name: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    name.split("::").all(is_name) && name.split("::").next().is_some_and(|first| PARTS.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_directives_pass() {
        let filters =
            ["info", "WARN", "off", "thongke=debug", "info,thongke::redis=trace", "thongke", "warn,hyper=info"];
        for filter in filters {
            assert_eq!(check(filter), Ok(()), "{filter}");
            assert!(tracing_subscriber::EnvFilter::try_new(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn an_unknown_one_is_refused_with_the_known_names() {
        for (filter, says) in [
            (
                "warning",
                "`warning` is neither a level nor a part of the program; did you mean `warn`? levels are off, error",
            ),
            ("verbose", "`verbose` is neither"),
            ("info,", "`` is neither"),
            ("thonkge=debug", "`thonkge` is no part that logs; did you mean `thongke`?"),
            ("thongke=warning", "`warning` is no level; did you mean `warn`?"),
            ("thongke=", "`` is no level"),
            ("info,thongke::=debug", "`thongke::` is no part"),
            ("thongke[hit]=debug", "`thongke[hit]` is no part"),
            ("a=b=c", "`a` is no part"),
            ("5", "`5` is neither"),
        ] {
            let reason = check(filter).unwrap_err();
            assert!(reason.contains(says) && reason.contains("debug, trace, and parts thongke"), "{filter}: {reason}");
        }
    }
}
