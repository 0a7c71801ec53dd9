//! Frame of every page: its language, its links, its user.

use form_urlencoded::Serializer;

use super::access::Entry;
use super::assets::Assets;
use super::locale::Locale;
use super::words::Words;
use crate::counter::{Access, Site};

#[derive(Debug, Clone)]
pub struct Frame {
    /// Path of the overview.
    base: String,
    pub locale: Locale,
    pub words: &'static Words,
    pub version: String,
    /// Name of the token that opened the page; empty for an operator.
    pub user: String,
    /// None for whoever may see nothing.
    access: Option<Access>,
    /// Token of the page's forms.
    pub form_token: String,
    /// There is a session, which can end.
    pub has_session: bool,
    /// The page's own address without its language, for the link to the other one.
    own: (String, Vec<(String, String)>),
}

impl Frame {
    pub fn new(prefix: &str, locale: Locale, entry: &Entry, assets: &Assets) -> Self {
        Self {
            user: entry.access.name.to_string(),
            access: Some(entry.access.clone()),
            form_token: entry.form_token(),
            has_session: entry.has_session,
            ..Self::bare(prefix, locale, assets)
        }
    }

    /// A frame for whoever may see nothing.
    pub fn bare(prefix: &str, locale: Locale, assets: &Assets) -> Self {
        let base = format!("{prefix}/manage");
        let own = (String::new(), Vec::new());
        Self {
            base,
            locale,
            words: locale.words(),
            version: assets.version.clone(),
            user: String::new(),
            access: None,
            form_token: String::new(),
            has_session: false,
            own,
        }
    }

    /// True if the page's user may change something of the site.
    pub fn may_edit(&self, site: &Site) -> bool {
        self.access.as_ref().is_some_and(|access| access.may_edit(site))
    }

    /// Notes the page's own path below the overview's, and its query.
    pub fn at(mut self, path: &str, query: &[(&str, &str)]) -> Self {
        let query = query.iter().filter(|(_, value)| !value.is_empty());
        self.own = (path.to_owned(), query.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        self
    }

    /// Path of the overview, under which all pages are.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The overview.
    pub fn home(&self) -> String {
        self.href("", &[])
    }

    /// Address of an asset.
    pub fn asset(&self, name: &str) -> String {
        format!("{}/{name}?v={}", self.base, self.version)
    }

    /// Address of a page below the overview, with values that are not empty, and the language if it was chosen.
    pub fn href(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut pairs = Serializer::new(String::new());
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            pairs.append_pair(name, value);
        }
        if self.locale.is_chosen {
            pairs.append_pair("lang", self.locale.language.tag());
        }
        self.joined(path, &pairs.finish())
    }

    /// The path of a form's page. Its query is the form's fields.
    pub fn path(&self, path: &str) -> String {
        self.joined(path, "")
    }

    /// This page in the other language.
    pub fn translated(&self) -> String {
        let (path, query) = &self.own;
        let mut pairs = Serializer::new(String::new());
        pairs.extend_pairs(query);
        pairs.append_pair("lang", self.locale.other().tag());
        self.joined(path, &pairs.finish())
    }

    /// The chosen language, for a form's hidden field.
    pub fn chosen_language(&self) -> Option<&'static str> {
        self.locale.is_chosen.then(|| self.locale.language.tag())
    }

    fn joined(&self, path: &str, query: &str) -> String {
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{separator}{query}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn each_form_that_changes_something_has_the_token_of_its_session() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/manage");
        let mut forms = 0;
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "html")) {
            let text = std::fs::read_to_string(file).unwrap();
            for form in text.split("<form").skip(1).filter(|form| form.contains("method=\"post\"")) {
                let form = form.split("</form>").next().unwrap();
                assert!(form.contains("name=\"form_token\""), "{form}");
                forms += 1;
            }
        }
        assert!(forms > 3);
    }
}
