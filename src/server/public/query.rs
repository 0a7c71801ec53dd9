//! Query parameters: the figures, language and label style that a request asks for.

use crate::counter::{FigureKey, LabelStyle, Language, Site};

use crate::server::http::{HttpError, form, shown};

/// The figures that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `figures=0`: a beacon reads no answer.
    None,
    /// As the site shows them, or with overrides.
    Figures(Option<Overrides>),
}

/// Overrides of the site's settings; none keeps the site's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Overrides {
    pub figures: Option<Vec<FigureKey>>,
    pub language: Option<Language>,
    pub label_style: Option<LabelStyle>,
}

impl Query {
    pub fn of(query: Option<&str>) -> Result<Self, HttpError> {
        // As a rule the query is empty or a beacon's.
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(Self::Figures(None)) };
        if query == "figures=0" {
            return Ok(Self::None);
        }
        let figures = match form::field(query, "figures")? {
            Some(list) if list == "0" => return Ok(Self::None),
            Some(list) => Some(figures(&list)?),
            None => None,
        };
        let overrides = Overrides { figures, ..Overrides::of_words(query)? };
        Ok(Self::Figures(Some(overrides).filter(|overrides| *overrides != Overrides::default())))
    }

    /// The overrides of a query of figures.
    pub fn overrides(self) -> Result<Option<Overrides>, HttpError> {
        let detail = "`figures=0` is only for hits; name figures, or leave it out for the figures that the site shows";
        match self {
            Self::None => Err(HttpError::field("figures", detail)),
            Self::Figures(overrides) => Ok(overrides),
        }
    }
}

impl Overrides {
    /// Reads the language and the label style of a query.
    pub fn of_words(query: &str) -> Result<Self, HttpError> {
        let language = form::field(query, "language")?.map(|text| text.parse()).transpose();
        let label_style = form::field(query, "label_style")?.map(|text| text.parse()).transpose();
        Ok(Self {
            figures: None,
            language: language.map_err(|error| HttpError::field("language", error))?,
            label_style: label_style.map_err(|error| HttpError::field("label_style", error))?,
        })
    }

    /// The site in another language or label style; none if nothing differs.
    pub fn apply(&self, site: &Site) -> Option<Site> {
        let language = self.language.unwrap_or(site.language);
        let label_style = self.label_style.unwrap_or(site.label_style);
        if (language, label_style) == (site.language, site.label_style) {
            return None;
        }
        let mut other = Site { language, label_style, ..site.clone() };
        // The site's own labels are in its own language.
        if language != site.language {
            other.labels.clear();
            other.own_title = None;
        }
        Some(other)
    }

    /// Refuses visitor figures of a site that counts no visitors: 0 would be wrong.
    pub fn check(&self, site: &Site) -> Result<(), HttpError> {
        let unknown = self.figures.iter().flatten().find(|key| key.is_of_visitors());
        match unknown {
            Some(key) if !site.counts_visitors() => {
                let (key, id) = (key.as_str(), &site.id);
                let hint = "set `visitors = true`, or name a visitor figure in its `figures`";
                let detail = format!("site `{id}` counts no visitors, so it has no `{key}`; {hint}");
                Err(HttpError::field("figures", detail))
            }
            _ => Ok(()),
        }
    }
}

/// A number of the query, from 1 to `max`.
pub fn count(query: &str, field: &'static str, default: usize, max: usize) -> Result<usize, HttpError> {
    let Some(text) = form::field(query, field)? else { return Ok(default) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<usize>().ok().filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| {
        let reason = format!("`{field}` is `{}`; expected a whole number from 1 to {max}", shown(&text));
        HttpError::field(field, reason)
    })
}

fn figures(list: &str) -> Result<Vec<FigureKey>, HttpError> {
    let mut keys = Vec::new();
    for name in list.split(',') {
        let key = name.trim().parse::<FigureKey>().map_err(|error| HttpError::field("figures", error))?;
        if keys.contains(&key) {
            let detail = format!("`figures` names `{}` twice; name it once", key.as_str());
            return Err(HttpError::field("figures", detail));
        }
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(figures: &[FigureKey]) -> Query {
        Query::Figures(Some(Overrides { figures: Some(figures.to_vec()), ..Overrides::default() }))
    }

    #[test]
    fn figures_are_asked_for_by_name_in_any_order() {
        assert_eq!(Query::of(None), Ok(Query::Figures(None)));
        assert_eq!(Query::of(Some("x=1")), Ok(Query::Figures(None)));
        assert_eq!(Query::of(Some("x=1&figures=0")), Ok(Query::None));
        let expected = only(&[FigureKey::Total, FigureKey::LastWeek]);
        assert_eq!(Query::of(Some("figures=total,last_week")), Ok(expected.clone()));
        assert_eq!(Query::of(Some("figures=total%2C+last_week")), Ok(expected));
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
            let error = Query::of(Some(query)).unwrap_err();
            assert_eq!(error.status, 400);
            assert!(error.to_string().contains(said), "{query}: {error}");
        }
    }

    #[test]
    fn another_language_drops_the_sites_own_labels_and_another_style_keeps_them() {
        let mut site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        site.own_title = Some("Lượt xem".to_owned());
        let overridden = |query| Overrides::of_words(query).unwrap().apply(&site);
        assert_eq!(overridden("language=vi&label_style=dated"), None);
        assert_eq!(overridden("label_style=relative").unwrap().title(), "Lượt xem");
        let english = overridden("language=en").unwrap();
        assert_eq!((english.title().as_str(), english.id), ("Visit statistics", site.id.clone()));
    }
}
