//! Reads a TOML table key by key, and notes what is not of the kind that it should be.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Findings;

/// A text of the file, and where it stands.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    pub text: &'a str,
    pub span: Range<usize>,
}

/// Texts in brackets, and where the brackets stand.
#[derive(Debug)]
pub struct Texts<'a> {
    pub texts: Vec<Text<'a>>,
    pub span: Range<usize>,
}

/// A table of the file. `example`s are what would be right, as it is written.
#[derive(Debug)]
pub struct Reader<'a, 't, 'f> {
    table: &'a DeTable<'t>,
    findings: &'a mut Findings<'f>,
}

impl<'a, 't, 'f> Reader<'a, 't, 'f> {
    pub fn new(table: &'a DeTable<'t>, findings: &'a mut Findings<'f>) -> Self {
        Self { table, findings }
    }

    pub fn findings(&mut self) -> &mut Findings<'f> {
        self.findings
    }

    pub fn string(&mut self, key: &str, example: &str) -> Option<Text<'a>> {
        let value = self.table.get(key)?;
        let text = text(value);
        if text.is_none() {
            self.mismatch(key, value, "a string", example);
        }
        text
    }

    pub fn strings(&mut self, key: &str, example: &str) -> Option<Texts<'a>> {
        let value = self.table.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.mismatch(key, value, "a list of strings in brackets", example);
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items.iter() {
            match text(item) {
                Some(text) => texts.push(text),
                None => {
                    let found = a_kind_of(item.get_ref());
                    self.findings.wrong(
                        &item.span(),
                        format!("`{key}` holds {found}; expected strings only: `{key} = {example}`"),
                    );
                }
            }
        }
        Some(Texts { texts, span: value.span() })
    }

    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        let read = value.get_ref().as_bool();
        if read.is_none() {
            let reason =
                format!("`{key}` is {}; expected `true` or `false`, without quotes", a_kind_of(value.get_ref()));
            self.findings.wrong(&value.span(), reason);
        }
        read
    }

    pub fn whole_number(&mut self, key: &str, range: RangeInclusive<u32>, example: &str) -> Option<u32> {
        let value = self.table.get(key)?;
        let (least, most) = (range.start(), range.end());
        let Some(integer) = value.get_ref().as_integer() else {
            self.mismatch(key, value, &format!("a whole number from {least} to {most}, without quotes"), example);
            return None;
        };
        let read = u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| range.contains(number));
        if read.is_none() {
            let reason = format!("`{key}` is {integer}; expected a whole number from {least} to {most}");
            self.findings.wrong(&value.span(), reason);
        }
        read
    }

    pub fn table(&mut self, key: &str, example: &str) -> Option<(&'a DeTable<'t>, Range<usize>)> {
        let value = self.table.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some((table, value.span())),
            _ => {
                self.mismatch(key, value, "a table", example);
                None
            }
        }
    }

    /// Notes each key that is none of `known`, with what `explain` says of it.
    pub fn refuse_unknown(&mut self, known: &[&str], explain: impl Fn(&str, &DeValue<'t>) -> String) {
        for (key, value) in self.table.iter() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let shown: String = name.chars().take(80).collect();
                let reason = format!("unknown key `{shown}`; {}", explain(name, value.get_ref()));
                self.findings.wrong(&key.span(), reason);
            }
        }
    }

    fn mismatch(&mut self, key: &str, value: &Spanned<DeValue<'t>>, expected: &str, example: &str) {
        let found = a_kind_of(value.get_ref());
        let equals =
            if example.starts_with('[') && expected == "a table" { String::new() } else { format!("{key} = ") };
        self.findings.wrong(&value.span(), format!("`{key}` is {found}; expected {expected}: `{equals}{example}`"));
    }
}

impl Text<'_> {
    /// The value that the text stands for; else what is wrong is noted, with what `hint` adds.
    pub fn read<T: FromStr<Err: std::fmt::Display>>(
        &self,
        findings: &mut Findings<'_>,
        hint: impl FnOnce(&str) -> Option<String>,
    ) -> Option<T> {
        match self.text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let meant = hint(self.text).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
                findings.wrong(&self.span, format!("{error}{meant}"));
                None
            }
        }
    }
}

fn text<'a>(value: &'a Spanned<DeValue<'_>>) -> Option<Text<'a>> {
    value.get_ref().as_str().map(|text| Text { text, span: value.span() })
}

pub fn a_kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
