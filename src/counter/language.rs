//! Languages and label styles: headings, labels of pages, and numbers. Labels of figures are in `figure_key`.

use std::str::FromStr;

/// Styles in which portals name the same figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LabelStyle {
    /// By the calendar: `Tháng 06`.
    #[default]
    Dated,
    /// Everyday words: `Tháng này`.
    Relative,
    /// Words of some systems' blocks: `Tháng hiện tại`.
    Current,
}

/// The language of labels and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    Vietnamese,
    English,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a style of labels: expected dated (`Tháng 06`), relative (`Tháng này`) or current (`Tháng hiện tại`)"
)]
pub struct LabelStyleError(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a language: expected vi or en")]
pub struct LanguageError(String);

impl LabelStyle {
    pub const ALL: [Self; 3] = [Self::Dated, Self::Relative, Self::Current];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dated => "dated",
            Self::Relative => "relative",
            Self::Current => "current",
        }
    }
}

impl Language {
    pub const ALL: [Self; 2] = [Self::Vietnamese, Self::English];

    /// The box's heading.
    pub fn title(self, style: LabelStyle) -> &'static str {
        match (self, style) {
            (Self::Vietnamese, LabelStyle::Dated | LabelStyle::Current) => "Thống kê truy cập",
            (Self::Vietnamese, LabelStyle::Relative) => "Số lượt truy cập",
            (Self::English, LabelStyle::Dated | LabelStyle::Current) => "Visit statistics",
            (Self::English, LabelStyle::Relative) => "Number of visits",
        }
    }

    /// Language tag for HTML and SVG.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Vietnamese => "vi",
            Self::English => "en",
        }
    }

    /// Label of a page's count.
    pub fn page_label(self) -> &'static str {
        match self {
            Self::Vietnamese => "Lượt xem",
            Self::English => "Views",
        }
    }

    /// The number as the language writes it: 2455 is `2.455` in Vietnamese and `2,455` in English.
    pub fn number(self, value: i64) -> String {
        let mut text = String::new();
        self.push_number(value, &mut text);
        text
    }

    /// Writes the number behind a text.
    ///
    /// By hand: a history has a thousand numbers. A test compares them with the languages' own rules.
    pub fn push_number(self, value: i64, text: &mut String) {
        let separator = match self {
            Self::Vietnamese => '.',
            Self::English => ',',
        };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value.unsigned_abs());
        if value < 0 {
            text.push('-');
        }
        let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
        text.push_str(first);
        let mut rest = rest;
        while let Some((three, more)) = rest.split_at_checked(3) {
            text.push(separator);
            text.push_str(three);
            rest = more;
        }
    }
}

/// The value whose name a text is; otherwise the start of the text, for a message.
pub fn named<T: Copy>(values: &[T], name: impl Fn(T) -> &'static str, text: &str) -> Result<T, String> {
    let found = values.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| text.chars().take(40).collect())
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Self, LanguageError> {
        named(&Self::ALL, Self::tag, text).map_err(LanguageError)
    }
}

impl FromStr for LabelStyle {
    type Err = LabelStyleError;

    fn from_str(text: &str) -> Result<Self, LabelStyleError> {
        named(&Self::ALL, Self::as_str, text).map_err(LabelStyleError)
    }
}

#[cfg(test)]
mod tests {
    use icu_decimal::DecimalFormatter;
    use icu_decimal::input::Decimal;
    use icu_locale_core::locale;
    use proptest::prelude::*;

    use super::*;

    fn is_as_the_language_writes_it(value: i64) -> bool {
        [(Language::Vietnamese, locale!("vi")), (Language::English, locale!("en"))].into_iter().all(
            |(language, locale)| {
                let formatter = DecimalFormatter::try_new(locale.into(), Default::default()).unwrap();
                language.number(value) == formatter.format(&Decimal::from(value)).to_string()
            },
        )
    }

    #[test]
    fn numbers_at_the_edges_are_written_as_the_language_does() {
        for value in [0, 7, 99, 999, 1_000, -1, -999, -1_000, 1_000_000, i64::MAX, i64::MIN] {
            assert!(is_as_the_language_writes_it(value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_number_is_written_as_the_language_does(value: i64, shift in 0..64_u32) {
            prop_assert!(is_as_the_language_writes_it(value >> shift));
        }
    }
}
