//! Suggestions for misspelt names.

use unicode_normalization::UnicodeNormalization as _;

/// The one of `known` that `text` is probably a misspelling of.
pub fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = plain(text);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &self::plain(candidate)), candidate))
        // A third of the letters may be wrong; more is another word.
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The nearest name as a question, or a list of all names.
pub fn nearest_or_all(text: &str, known: &[&str]) -> String {
    match nearest(text, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}

/// Folds case and dashes, which are the commonest mistakes.
fn plain(text: &str) -> String {
    text.chars().take(64).flat_map(char::to_lowercase).map(|c| if c == '-' || c == ' ' { '_' } else { c }).collect()
}

/// A site id made of `text`: `vi-xuyen` of `Vị_Xuyên`. None if nothing is left of it.
pub fn site_id(text: &str) -> Option<String> {
    let mut id = String::new();
    for c in text.nfd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)) {
        match c.to_ascii_lowercase() {
            'đ' | 'Đ' => id.push('d'),
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => id.push(c),
            _ if id.is_empty() || id.ends_with('-') => {}
            _ => id.push('-'),
        }
        if id.len() == 63 {
            break;
        }
    }
    let id = id.trim_end_matches('-');
    (!id.is_empty()).then(|| id.to_owned())
}

/// The IANA time zone that was probably meant.
pub fn time_zone(text: &str) -> &'static str {
    // Vietnam's zone has one name, and its capital none.
    if ["hanoi", "vietnam", "ho_chi_minh", "hcm", "+07", "+7"].iter().any(|word| plain(text).contains(word)) {
        return "Asia/Ho_Chi_Minh";
    }
    chrono_tz::TZ_VARIANTS
        .iter()
        .map(|zone| zone.name())
        .max_by(|a, b| strsim::jaro_winkler(a, text).total_cmp(&strsim::jaro_winkler(b, text)))
        .unwrap_or("Asia/Ho_Chi_Minh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["origins", "time_zone", "page_days"];
        assert_eq!(nearest("orgins", known), Some("origins"));
        assert_eq!(nearest("Time-Zone", known), Some("time_zone"));
        assert_eq!(nearest("timezone", known), Some("time_zone"));
        assert_eq!(nearest("password", known), None);
    }

    #[test]
    fn a_site_id_is_made_of_what_was_given() {
        for (text, id) in [
            ("VixUyen", Some("vixuyen")),
            ("vi_xuyen", Some("vi-xuyen")),
            ("Huyện Vị Xuyên", Some("huyen-vi-xuyen")),
            ("Điện Biên", Some("dien-bien")),
            ("-a.", Some("a")),
            ("", None),
            ("…", None),
        ] {
            assert_eq!(site_id(text).as_deref(), id, "{text}");
        }
    }
}
