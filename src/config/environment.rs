//! The environment variables that thongke knows.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::problem::Problems;
use super::suggest;

const PREFIX: &str = "THONGKE_";
const KNOWN: [&str; 8] = [
    "THONGKE_CONFIG",
    "THONGKE_LISTEN",
    "THONGKE_ADMIN_LISTEN",
    "THONGKE_ADMIN_OPEN",
    "THONGKE_DATA_DIR",
    "THONGKE_REDIS",
    "THONGKE_LOG_FORMAT",
    "THONGKE_LOG",
];

/// All variables that begin with `THONGKE_`.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// This process's.
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    /// A variable that means nothing when it is empty: then it is a mistake.
    pub fn get(&self, name: &str, problems: &mut Problems) -> Option<String> {
        let value = self.get_or_empty(name, problems)?;
        if value.is_empty() {
            problems.add(format!("{name} is empty; give it a value, or leave the variable out"));
            return None;
        }
        Some(value)
    }

    /// A variable that says yes or no.
    pub fn get_boolean(&self, name: &str, problems: &mut Problems) -> Option<bool> {
        let text = self.get(name, problems)?;
        let value = text.parse().ok();
        if value.is_none() {
            problems.add(format!("{name} is `{text}`; expected `true` or `false`"));
        }
        value
    }

    /// A variable that says something when it is empty.
    pub fn get_or_empty(&self, name: &str, problems: &mut Problems) -> Option<String> {
        match self.0.get(name)?.clone().into_string() {
            Ok(value) => Some(value),
            Err(_) => {
                problems.add(format!("{name} is not in UTF-8"));
                None
            }
        }
    }

    /// Notes variables that would have no effect: most are misspelt.
    pub fn refuse_unknown(&self, problems: &mut Problems) {
        for name in self.0.keys().filter(|name| !KNOWN.contains(&name.as_str()) && !is_of_a_service(name)) {
            let shown: String = name.chars().take(80).collect();
            problems.add(format!("unknown environment variable {shown}; {}", suggest::nearest_or_all(name, &KNOWN)));
        }
    }
}

impl FromIterator<(String, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }
}

/// Kubernetes sets these for every service whose name begins with `thongke`, wanted or not:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_NAME`, `…_PORT`, `…_PORT_8080_TCP…`.
fn is_of_a_service(name: &str) -> bool {
    // The service may be called `thongke` itself.
    let ends = |end: &str| name.ends_with(end);
    ends("_SERVICE_HOST") || ends("_SERVICE_PORT") || ends("_PORT") || name.contains("_SERVICE_PORT_") || {
        name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}
