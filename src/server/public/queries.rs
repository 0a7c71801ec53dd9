//! Queries of pages and history: the same on both listeners, but for the parts that a site closes to strangers.

use std::future::Future;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::query::Overrides;
use super::{history, pages};
use crate::counter::{PublicPart, RegisteredSite, Site};
use crate::server::hit::Canonicals;
use crate::server::http::{
    AnswerBody, CSV, ContentType, FixedFields, HeaderSink as _, HttpError, JSON, Rendered, SVG, SingleFlight,
    conditional, fixed,
};
use crate::server::ports::Node;

static VARY_ACCEPT: FixedFields = fixed!("vary": "accept");

/// A query that one worker answers at most once a second for all who ask the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    PageFigures,
    TopPages,
    History,
    Chart,
}

/// One worker's queries.
pub struct Queries<N> {
    node: Arc<N>,
    canonicals: Arc<Canonicals>,
    single_flight: SingleFlight,
}

type Outcome = Result<Response<AnswerBody>, HttpError>;

impl Kind {
    /// The part of the site to which the answer belongs.
    pub fn part(self) -> PublicPart {
        match self {
            Self::PageFigures => PublicPart::Page,
            Self::TopPages => PublicPart::Top,
            Self::History => PublicPart::History,
            Self::Chart => PublicPart::Chart,
        }
    }
}

/// Refuses a part that the site closes to strangers.
pub fn check_public(site: &Site, part: PublicPart) -> Result<(), HttpError> {
    if site.public.contains(part) {
        return Ok(());
    }
    let what = match part {
        PublicPart::Figures => "figures",
        PublicPart::Page => "views of pages",
        PublicPart::Top => "lists of the most read pages",
        PublicPart::History => "history",
        PublicPart::Chart => "charts",
    };
    let hint = format!("the admin listener has them, or add `\"{part}\"` to the site's `public`");
    let detail = format!("site `{}` keeps its {what} to itself; {hint}", site.id);
    Err(HttpError { closed: Some(part), ..HttpError::new(StatusCode::FORBIDDEN, "closed", detail) })
}

/// The body of a hit's answer where the site closes its figures. The hit itself is as any other.
pub fn closed_figures() -> Rendered {
    let body = format!(r#"{{"closed":"{}"}}"#, PublicPart::Figures).into();
    Rendered { body, etag: HeaderValue::from_static("W/\"closed\"") }
}

impl<N: Node> Queries<N> {
    pub fn new(node: Arc<N>, canonicals: Arc<Canonicals>) -> Self {
        Self { node, canonicals, single_flight: SingleFlight::default() }
    }

    /// Answers a query about a site, whatever is public. It reuses the map of the request's headers.
    pub async fn answer(&self, kind: Kind, site: Arc<RegisteredSite>, query: &str, headers: &mut HeaderMap) -> Outcome {
        match kind {
            Kind::PageFigures => {
                let canonicals = Arc::clone(&self.canonicals);
                let make = |site, query| pages::figures(Arc::clone(&self.node), canonicals, site, query);
                self.shared("pages/figures", site, query, headers, &JSON, make).await
            }
            Kind::TopPages => {
                let make = |site, query| pages::most_read(Arc::clone(&self.node), site, query);
                self.shared("pages", site, query, headers, &JSON, make).await
            }
            Kind::History => {
                let format = history::Format::of(query, headers)?;
                let (name, content_type) = match format {
                    history::Format::Json => ("history.json", &JSON),
                    history::Format::Csv => ("history.csv", &CSV),
                };
                let make = |site, query| history::history(Arc::clone(&self.node), site, query, format);
                let mut response = self.shared(name, site, query, headers, content_type, make).await?;
                response.headers_mut().fixed(&VARY_ACCEPT);
                Ok(response)
            }
            Kind::Chart => {
                let make = |site, query| history::chart(Arc::clone(&self.node), site, query);
                self.shared("chart.svg", site, query, headers, &SVG, make).await
            }
        }
    }

    /// An answer that is made once for all equal requests within a second.
    async fn shared<F: Future<Output = Result<Rendered, HttpError>> + 'static>(
        &self,
        name: &str,
        site: Arc<RegisteredSite>,
        query: &str,
        headers: &mut HeaderMap,
        content_type: &'static ContentType,
        make: impl FnOnce(Arc<RegisteredSite>, String) -> F,
    ) -> Outcome {
        let query = query.to_owned();
        let other = Overrides::of_words(&query)?.apply(&site.site);
        let in_words = |other| {
            Arc::new(RegisteredSite { number: site.number, site: other, editor_rules: site.editor_rules.clone() })
        };
        let site = other.map_or(site.clone(), in_words);
        let request = format!("{name} {} {query}", site.number.0);
        let rendered = self.single_flight.get(request, || make(site, query)).await?;
        let is_known = conditional::is_known(headers, &rendered.etag);
        Ok(conditional::answer(std::mem::take(headers), is_known, content_type, &rendered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_part_is_refused_by_its_name_and_the_others_are_not() {
        let mut site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        assert!(PublicPart::ALL.iter().all(|part| check_public(&site, *part).is_ok()));
        site.public = [PublicPart::Top].into_iter().collect();
        for part in PublicPart::ALL {
            let checked = check_public(&site, part);
            assert_eq!(checked.is_ok(), part == PublicPart::Top, "{part}");
            if let Err(error) = checked {
                assert_eq!((error.status, error.closed), (StatusCode::FORBIDDEN, Some(part)));
                assert!(error.to_string().contains(&format!("`\"{part}\"`")), "{error}");
            }
        }
    }
}
