//! Aliases: further ids of sites. Each id is of one site.

use std::collections::HashMap;

use super::problem::{Place, Problems};
use crate::counter::{Site, SiteId};

/// An alias of a site, or the id under which its counts are kept, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    pub id: SiteId,
    pub of: SiteId,
    pub place: Place,
}

/// Notes ids that two sites claim. `places`: those of the sites.
pub fn check(sites: &[Site], places: &[Place], aliases: &[Alias], problems: &mut Problems) {
    let mut first_of: HashMap<&SiteId, &Alias> = HashMap::new();
    for alias in aliases {
        let first = *first_of.entry(&alias.id).or_insert(alias);
        if first.of != alias.of {
            let Alias { id, of, place } = first;
            let reason = format!("`{id}` is an alias of site `{of}` as well, at {place}; leave one of them out");
            problems.add_at(alias.place.clone(), reason);
        }
    }
    if first_of.is_empty() {
        return;
    }
    for (site, place) in sites.iter().zip(places).filter(|(site, _)| first_of.contains_key(&site.id)) {
        for alias in aliases.iter().filter(|alias| alias.id == site.id) {
            let Alias { id, of, place: at } = alias;
            let reason = match *of == site.id {
                true => format!("`{id}` is the site's own id; leave it out"),
                false => {
                    format!("`{id}`, here of site `{of}`, is the id of the site at {place}; leave one of them out")
                }
            };
            problems.add_at(at.clone(), reason);
        }
    }
}
