//! The query's part of an address: all of it but noise.

use std::borrow::Cow;

use super::noise::{Companion, NOISE, Place, Row};
use super::path::{self, Path};
use super::pattern::Pattern;
use super::rules::{PageParams, PageRules};
use super::shape::{self, Shape};
use super::text::{self, Part};

/// Most parameters in an address.
const KEPT_MAX: usize = 8;
/// Most parameters that are looked at.
const PARAMS_MAX: usize = 64;
/// Longest value in a link, in bytes, of a parameter that is no part of the address.
const BESIDE_BYTES_MAX: usize = 64;

/// Fate of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the address.
    Kept,
    /// `page_params_ignored` names it.
    Ignored,
    /// `page_params` doesn't name it.
    NotListed,
    /// Another names the article alone.
    NotNamed,
    Noise,
    Personal,
    /// One more than an address holds, or the same again.
    Surplus,
}

impl Fate {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Ignored => "ignored",
            Self::NotListed => "not_listed",
            Self::NotNamed => "not_named",
            Self::Noise => "noise",
            Self::Personal => "personal",
            Self::Surplus => "surplus",
        }
    }
}

/// A parameter with a value, both canonical; a path without a name, as in `?/archives/1`, has an empty one.
#[derive(Debug)]
pub(super) struct Param<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    pub(super) fate: Fate,
    /// As it stands in the query.
    written: &'a str,
}

/// Surroundings of a query.
pub(super) struct Context<'a> {
    pub(super) rules: &'a PageRules,
    pub(super) is_root: bool,
    /// None for a route's query.
    pub(super) path: Option<&'a Path<'a>>,
}

/// Adds what of `query` is part of the address.
pub(super) fn push(to: &mut String, query: &str, context: &Context<'_>) {
    let mut separator = '?';
    for param in judged(query, context).iter().filter(|param| param.fate == Fate::Kept) {
        to.push(separator);
        if !param.name.is_empty() {
            to.push_str(&param.name);
            to.push('=');
        }
        to.push_str(&param.value);
        separator = '&';
    }
}

/// Adds what of `query` opens the page, as it was written: what is part of the address, and what an engine's link
/// has beside it.
pub(super) fn push_written(to: &mut String, query: &str, context: &Context<'_>) {
    let judged = judged(query, context);
    let mut all: Vec<_> = pieces(query).filter_map(read).collect();
    sort(&mut all);
    all.truncate(PARAMS_MAX);
    let mut separator = '?';
    for piece in pieces(query) {
        let is_written = judged.iter().find(|param| std::ptr::eq(param.written, piece)).is_some_and(|param| {
            let goes_beside = || read(piece).is_some_and(|param| param.may_stand_beside(&all, context));
            param.is_kept() || param.fate == Fate::NotNamed && goes_beside()
        });
        if is_written {
            to.push(separator);
            to.push_str(piece);
            separator = '&';
        }
    }
}

fn pieces(query: &str) -> impl Iterator<Item = &str> {
    query.split(['&', ';'])
}

/// All parameters with a value, sorted, each with its fate.
pub(super) fn judged<'a>(query: &'a str, context: &Context<'_>) -> Vec<Param<'a>> {
    let mut params = Vec::with_capacity(KEPT_MAX);
    params.extend(pieces(query).filter_map(read));
    if params.is_empty() {
        return params;
    }
    sort(&mut params);
    params.truncate(PARAMS_MAX);
    if !context.rules.ignored.is_empty() {
        for param in &mut params {
            if param.is_one_of(&context.rules.ignored) {
                param.fate = Fate::Ignored;
            }
        }
    }
    match &context.rules.params {
        PageParams::Only(patterns) => params.iter_mut().for_each(|param| param.allow(patterns, context)),
        PageParams::AllButNoise => {
            if !name_alone(&mut params, context) {
                drop_noise(&mut params, context);
            }
        }
    }
    drop_surplus(&mut params);
    params
}

/// None where it has no value, unless it is a path or a numbered title.
fn read(piece: &str) -> Option<Param<'_>> {
    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
    let trimmed = |text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(path::without_invisible(text)),
        Cow::Owned(text) => Cow::Owned(path::without_invisible(&text).to_owned()),
    };
    let value = trimmed(text::canonical(value, Part::Value));
    if !value.is_empty() {
        let name = text::canonical(name, Part::Name);
        return (!name.is_empty()).then_some(Param { name, value, fate: Fate::Kept, written: piece });
    }
    if is_numbered(name) {
        let value = text::canonical(name, Part::Value);
        return Some(Param { name: Cow::Borrowed(""), value, fate: Fate::Kept, written: piece });
    }
    if !name.contains(['/', '%']) {
        return None;
    }
    let mut path = text::canonical(name, Part::Value).into_owned();
    loop {
        let end = path::without_invisible(&path).trim_end_matches('/').len();
        if end == path.len() {
            break;
        }
        path.truncate(end);
    }
    let value = Cow::<str>::Owned(path);
    value.contains('/').then_some(Param { name: Cow::Borrowed(""), value, fate: Fate::Kept, written: piece })
}

/// `55-le-hoi`: a thread or an article without a parameter's name. Longer numbers are times.
fn is_numbered(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = text.bytes().skip(digits);
    (1..=8).contains(&digits)
        && rest.next() == Some(b'-')
        && rest.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && rest.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn sort(params: &mut [Param<'_>]) {
    params.sort_unstable_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
}

impl Param<'_> {
    fn is_kept(&self) -> bool {
        self.fate == Fate::Kept
    }

    fn is_one_of(&self, patterns: &[Pattern]) -> bool {
        let name = if self.name.is_empty() { &self.value } else { &self.name };
        patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// True if a link may have it beside what names the article: nothing that leads to elsewhere.
    fn may_stand_beside(&self, params: &[Self], context: &Context<'_>) -> bool {
        let value = shape::without_alias(&self.value);
        let leads_away = value.starts_with('/')
            || value.starts_with("%5C")
            || self.value.contains("://")
            || value.split_once(':').is_some_and(|(scheme, _)| scheme.starts_with(|c: char| c.is_ascii_alphabetic()));
        self.value.len() <= BESIDE_BYTES_MAX && !leads_away && fate_of(self, params, context) == Fate::Kept
    }

    /// `page_params`: a name that the site wrote out wins over all; a pattern doesn't let in personal data.
    fn allow(&mut self, patterns: &[Pattern], context: &Context<'_>) {
        if self.is_kept() && !patterns.iter().any(|pattern| *pattern == Pattern::Exact((&*self.name).into())) {
            if !self.is_one_of(patterns) {
                self.fate = Fate::NotListed;
            } else if is_personal(&self.name, &self.value, context) {
                self.fate = Fate::Personal;
            }
        }
    }
}

/// Class a: whether one parameter names the article, alone or with few beside it.
fn name_alone(params: &mut [Param<'_>], context: &Context<'_>) -> bool {
    let found = params.iter().enumerate().filter(|(_, param)| param.is_kept()).filter_map(|(at, param)| {
        let fits = |row: &Row| {
            row.fits(param, params, context) && !is_personal(&param.name, naming_value(row, &param.value), context)
        };
        NOISE.engines.find(&param.name, fits).map(|row| (row, at))
    });
    // The first of equal rows has the least value, as they are sorted.
    let key = |(row, at): &(usize, usize)| (*row, params[*at].value.len(), &params[*at].value);
    let Some((row, naming)) = found.min_by(|a, b| key(a).cmp(&key(b))) else { return false };
    let row = &NOISE.engines.rows[row];
    let is_companion = |param: &Param<'_>| {
        row.companions.iter().find_map(|companion| match companion {
            Companion::Kept(name) => (**name == *param.name).then_some(true),
            Companion::Valued(name, _) | Companion::Shaped(name, _) | Companion::Present(name) => {
                (**name == *param.name).then_some(false)
            }
            Companion::Absent(_) => None,
        })
    };
    let fates: Vec<Fate> = params
        .iter()
        .enumerate()
        .map(|(at, param)| match is_companion(param) {
            _ if !param.is_kept() => param.fate,
            _ if at == naming => Fate::Kept,
            Some(true) => fate_of(param, params, context),
            Some(false) => Fate::Kept,
            None => Fate::NotNamed,
        })
        .collect();
    for (param, fate) in params.iter_mut().zip(fates) {
        param.fate = fate;
    }
    let param = &mut params[naming];
    let value = naming_value(row, &param.value);
    if value.len() < param.value.len() {
        param.value = Cow::Owned(value.to_owned());
    }
    if let Some(name) = &row.rename {
        param.name = Cow::Owned(name.clone().into());
    }
    sort(params);
    true
}

fn naming_value<'a>(row: &Row, value: &'a str) -> &'a str {
    if row.shape == Shape::Alias { shape::without_alias(value) } else { value }
}

/// Classes b, c and d.
fn drop_noise(params: &mut [Param<'_>], context: &Context<'_>) {
    // Companions are looked for among all, whatever becomes of them.
    let mut fates = [Fate::Kept; PARAMS_MAX];
    for (fate, param) in fates.iter_mut().zip(&*params) {
        *fate = fate_of(param, params, context);
    }
    for (param, fate) in params.iter_mut().zip(fates) {
        param.fate = fate;
    }
}

fn fate_of(param: &Param<'_>, params: &[Param<'_>], context: &Context<'_>) -> Fate {
    if !param.is_kept() {
        param.fate
    } else if NOISE.noise.find(&param.name, |row| row.fits(param, params, context)).is_some() {
        Fate::Noise
    } else if is_personal(&param.name, &param.value, context) {
        Fate::Personal
    } else {
        Fate::Kept
    }
}

fn is_personal(name: &str, value: &str, context: &Context<'_>) -> bool {
    let fits = |text: &str| {
        shape::may_be_personal(text) && NOISE.personal.iter().any(|shape| shape.matches(text, context.rules.language))
    };
    fits(value) && !NOISE.never_personal.contains(name) || fits(name)
}

/// The same again, and what is beyond the limit: names that look like an id's go last.
fn drop_surplus(params: &mut [Param<'_>]) {
    let mut kept = 0;
    for at in 0..params.len() {
        if params[at].is_kept() {
            let is_again = at > 0
                && params[..at]
                    .iter()
                    .rev()
                    .find(|param| param.is_kept())
                    .is_some_and(|before| before.name == params[at].name && before.value == params[at].value);
            if is_again {
                params[at].fate = Fate::Surplus;
            } else {
                kept += 1;
            }
        }
    }
    for ids_too in [false, true] {
        for param in params.iter_mut().rev() {
            if kept <= KEPT_MAX {
                return;
            }
            let looks_like_id = param.name.is_empty() || param.name.starts_with("id") || param.name.ends_with("id");
            if param.is_kept() && (ids_too || !looks_like_id) {
                param.fate = Fate::Surplus;
                kept -= 1;
            }
        }
    }
}

impl Row {
    fn fits(&self, param: &Param<'_>, params: &[Param<'_>], context: &Context<'_>) -> bool {
        let is_right_place = match &self.place {
            Place::Anywhere => true,
            Place::Root => context.is_root,
            Place::NotRoot => !context.is_root,
            Place::File(name) => context.path.is_some_and(|path| path.is_file(name)),
            Place::Ending(ending) => context.path.is_some_and(|path| path.text().ends_with(&**ending)),
            Place::Under(folder) => context.path.is_some_and(|path| path.text().starts_with(&**folder)),
        };
        is_right_place
            && self.shape.matches(&param.value, context.rules.language)
            && self.companions.iter().all(|companion| companion.is_there(params, context))
    }
}

impl Companion {
    fn is_there(&self, params: &[Param<'_>], context: &Context<'_>) -> bool {
        // Ignored ones are as good as not there.
        let any = |name: &str, is_right: &dyn Fn(&str) -> bool| {
            params.iter().any(|param| param.fate != Fate::Ignored && *param.name == *name && is_right(&param.value))
        };
        match self {
            Self::Present(name) => any(name, &|_| true),
            Self::Valued(name, pattern) => any(name, &|value| pattern.matches(&value.to_ascii_lowercase())),
            Self::Shaped(name, shape) => any(name, &|value| shape.matches(value, context.rules.language)),
            Self::Absent(name) => !any(name, &|_| true),
            Self::Kept(_) => true,
        }
    }
}
