//! Which figures a request asks for.

use crate::counter::FigureKey;

use super::refusal::Refusal;

/// What `?figures=` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `figures=0`: a beacon reads no answer.
    Nothing,
    /// Nothing is said: those that the site shows.
    OfSite,
    These(Vec<FigureKey>),
}

impl Wanted {
    pub fn of(query: Option<&str>) -> Result<Self, Refusal> {
        // As a rule there is no query, or a beacon's.
        let Some(query) = query else { return Ok(Self::OfSite) };
        if query == "figures=0" {
            return Ok(Self::Nothing);
        }
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "figures");
        let Some((_, list)) = values.next() else { return Ok(Self::OfSite) };
        if values.next().is_some() {
            return Err(Refusal::FieldTwice { field: "figures" });
        }
        if list == "0" {
            return Ok(Self::Nothing);
        }
        let mut keys = Vec::new();
        for name in list.split(',') {
            let key = name.trim().parse::<FigureKey>().map_err(Refusal::Figure)?;
            if keys.contains(&key) {
                return Err(Refusal::FigureTwice { key: key.as_str() });
            }
            keys.push(key);
        }
        Ok(Self::These(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_asked_for_by_name_in_any_order() {
        assert_eq!(Wanted::of(None), Ok(Wanted::OfSite));
        assert_eq!(Wanted::of(Some("x=1")), Ok(Wanted::OfSite));
        assert_eq!(Wanted::of(Some("x=1&figures=0")), Ok(Wanted::Nothing));
        let these = Wanted::These(vec![FigureKey::Total, FigureKey::LastWeek]);
        assert_eq!(Wanted::of(Some("figures=total,last_week")), Ok(these.clone()));
        assert_eq!(Wanted::of(Some("figures=total%2C+last_week")), Ok(these));
    }

    #[test]
    fn unknown_and_repeated_figures_are_refused() {
        for (query, said) in [
            ("figures=tomorrow", "expected one of today, yesterday"),
            ("figures=today,", "`` is not a figure"),
            ("figures=", "`` is not a figure"),
            ("figures=today,0", "`0` is not a figure"),
            ("figures=Today", "`Today` is not a figure"),
            ("figures=today,week,today", "`today` twice"),
            ("figures=today&figures=week", "more than once"),
        ] {
            let refusal = Wanted::of(Some(query)).unwrap_err();
            assert_eq!(refusal.status(), 400);
            assert!(refusal.to_string().contains(said), "{query}: {refusal}");
        }
    }
}
