//! Fields of a form or of a query.

use std::borrow::Cow;

use super::HttpError;

/// All values of a field.
pub fn values<'a>(form: &'a str, field: &str) -> impl Iterator<Item = Cow<'a, str>> {
    // The values of other fields need no decoding, which would allocate.
    let may_match = move |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name == field || name.contains('%')
    };
    let pairs = form.split('&').filter(may_match).flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    pairs.filter(move |(key, _)| key == field).map(|(_, value)| value)
}

/// The fields' names, decoded, without empty ones.
pub fn names(form: &str) -> impl Iterator<Item = Cow<'_, str>> {
    form_urlencoded::parse(form.as_bytes()).map(|(name, _)| name).filter(|name| !name.is_empty())
}

/// The value of a field, which may be given once.
pub fn field<'a>(form: &'a str, field: &'static str) -> Result<Option<Cow<'a, str>>, HttpError> {
    let mut values = values(form, field);
    let value = values.next();
    if values.next().is_some() {
        return Err(HttpError::field(field, format!("`{field}` is given more than once; send it once")));
    }
    match value {
        Some(value) if has_invalid_utf8(&value) => {
            let expected = "expected `%` and two hexadecimal digits, decoding to UTF-8";
            Err(HttpError::field(field, format!("`{field}` is not well percent-encoded; {expected}")))
        }
        value => Ok(value),
    }
}

/// True for text with the decoder's mark for bytes that are not UTF-8. No address has it of its own.
pub fn has_invalid_utf8(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_forms_field_has_the_values_that_the_standard_gives_it(form in "([a+=&]|%75|%ff|%|u|rl|url){0,20}") {
            let all = form_urlencoded::parse(form.as_bytes());
            let expected: Vec<_> = all.filter(|(key, _)| key == "url").map(|(_, value)| value).collect();
            proptest::prop_assert_eq!(values(&form, "url").collect::<Vec<_>>(), expected);
        }
    }
}
