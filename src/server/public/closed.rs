//! Parts that a site closes to strangers.

use hyper::StatusCode;
use hyper::header::HeaderValue;

use crate::counter::{PublicPart, Site};
use crate::server::http::{HttpError, Rendered};
use crate::server::routes::Public;

/// The part to which a read belongs.
pub fn part_of(read: Public) -> PublicPart {
    match read {
        Public::PageFigures | Public::PageHistory => PublicPart::Page,
        Public::TopPages => PublicPart::Top,
        Public::History => PublicPart::History,
        Public::Chart => PublicPart::Chart,
        _ => PublicPart::Figures,
    }
}

/// Refuses a part that the site closes to strangers.
pub fn check(site: &Site, part: PublicPart) -> Result<(), HttpError> {
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
pub fn figures() -> Rendered {
    let body = format!(r#"{{"closed":"{}"}}"#, PublicPart::Figures).into();
    Rendered { body, etag: HeaderValue::from_static("W/\"closed\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_part_is_refused_by_its_name_and_the_others_are_not() {
        let mut site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        assert!(PublicPart::ALL.iter().all(|part| check(&site, *part).is_ok()));
        site.public = [PublicPart::Top].into_iter().collect();
        for part in PublicPart::ALL {
            let checked = check(&site, part);
            assert_eq!(checked.is_ok(), part == PublicPart::Top, "{part}");
            if let Err(error) = checked {
                assert_eq!((error.status, error.closed), (StatusCode::FORBIDDEN, Some(part)));
                assert!(error.to_string().contains(&format!("`\"{part}\"`")), "{error}");
            }
        }
    }
}
