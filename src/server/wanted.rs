//! How an answer is to differ from what its site shows.

use crate::counter::{FigureKey, LabelStyle, Language, Site};

use super::hit_fields::form_field;
use super::refusal::Refusal;

/// What a request says of the figures that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `figures=0`: a beacon reads no answer.
    Nothing,
    /// Nothing is said: as the site shows them.
    OfSite,
    Other(Wish),
}

/// Where it says nothing, it is as the site shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Wish {
    pub figures: Option<Vec<FigureKey>>,
    pub language: Option<Language>,
    pub label_style: Option<LabelStyle>,
}

impl Wanted {
    pub fn of(query: Option<&str>) -> Result<Self, Refusal> {
        // As a rule there is no query, or a beacon's.
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(Self::OfSite) };
        if query == "figures=0" {
            return Ok(Self::Nothing);
        }
        let figures = match form_field(query, "figures")? {
            Some(list) if list == "0" => return Ok(Self::Nothing),
            Some(list) => Some(figures(&list)?),
            None => None,
        };
        let wish = Wish { figures, ..Wish::of_words(query)? };
        Ok(if wish == Wish::default() { Self::OfSite } else { Self::Other(wish) })
    }
}

impl Wish {
    /// What a query says of words and digits.
    pub fn of_words(query: &str) -> Result<Self, Refusal> {
        let language = form_field(query, "language")?.map(|text| text.parse()).transpose();
        let label_style = form_field(query, "label_style")?.map(|text| text.parse()).transpose();
        Ok(Self {
            figures: None,
            language: language.map_err(|error| Refusal::query("language", error))?,
            label_style: label_style.map_err(|error| Refusal::query("label_style", error))?,
        })
    }

    /// The site as it is to speak for once; none if it does so anyway.
    pub fn told_by(&self, site: &Site) -> Option<Site> {
        let language = self.language.unwrap_or(site.language);
        let label_style = self.label_style.unwrap_or(site.label_style);
        if (language, label_style) == (site.language, site.label_style) {
            return None;
        }
        let mut told = Site { language, label_style, ..site.clone() };
        // Its own words are of its own language.
        if language != site.language {
            told.labels.clear();
            told.own_title = None;
        }
        Some(told)
    }

    /// Of visitors nothing is known where they are not counted; 0 would be a lie.
    pub fn check(&self, site: &Site) -> Result<(), Refusal> {
        let unknown = self.figures.iter().flatten().find(|key| key.is_of_visitors());
        match unknown {
            Some(key) if !site.counts_visitors() => {
                Err(Refusal::VisitorsUncounted { key: key.as_str(), site: site.id.to_string() })
            }
            _ => Ok(()),
        }
    }
}

fn figures(list: &str) -> Result<Vec<FigureKey>, Refusal> {
    let mut keys = Vec::new();
    for name in list.split(',') {
        let key = name.trim().parse::<FigureKey>().map_err(Refusal::Figure)?;
        if keys.contains(&key) {
            return Err(Refusal::FigureTwice { key: key.as_str() });
        }
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(figures: &[FigureKey]) -> Wanted {
        Wanted::Other(Wish { figures: Some(figures.to_vec()), ..Wish::default() })
    }

    #[test]
    fn figures_are_asked_for_by_name_in_any_order() {
        assert_eq!(Wanted::of(None), Ok(Wanted::OfSite));
        assert_eq!(Wanted::of(Some("x=1")), Ok(Wanted::OfSite));
        assert_eq!(Wanted::of(Some("x=1&figures=0")), Ok(Wanted::Nothing));
        let expected = these(&[FigureKey::Total, FigureKey::LastWeek]);
        assert_eq!(Wanted::of(Some("figures=total,last_week")), Ok(expected.clone()));
        assert_eq!(Wanted::of(Some("figures=total%2C+last_week")), Ok(expected));
    }

    #[test]
    fn unknown_and_repeated_figures_and_words_are_refused() {
        for (query, said) in [
            ("figures=tomorrow", "expected one of today, yesterday"),
            ("figures=today,", "`` is not a figure"),
            ("figures=", "`` is not a figure"),
            ("figures=today,0", "`0` is not a figure"),
            ("figures=Today", "`Today` is not a figure"),
            ("figures=today,week,today", "`today` twice"),
            ("figures=today&figures=week", "more than once"),
            ("language=fr", "expected vi or en"),
            ("language=vi&language=en", "more than once"),
            ("label_style=modern", "expected dated"),
        ] {
            let refusal = Wanted::of(Some(query)).unwrap_err();
            assert_eq!(refusal.status(), 400);
            assert!(refusal.to_string().contains(said), "{query}: {refusal}");
        }
    }

    #[test]
    fn a_site_speaks_another_language_without_its_own_words_and_another_style_with_them() {
        let mut site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        site.own_title = Some("Lượt xem".to_owned());
        let told = |query| Wish::of_words(query).unwrap().told_by(&site);
        assert_eq!(told("language=vi&label_style=dated"), None);
        assert_eq!(told("label_style=relative").unwrap().title(), "Lượt xem");
        let english = told("language=en").unwrap();
        assert_eq!((english.title().as_str(), english.id), ("Visit statistics", site.id.clone()));
    }
}
