//! Environment variables.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Args as _;

use super::flags::Flags;
use super::problem::Problems;
use super::suggest;

const PREFIX: &str = "THONGKE_";

/// Variables without a flag: keys of the file, and the filter of log lines.
const WITHOUT_FLAG: [&str; 2] = ["admin_open", "log"];

/// The variable that stands for a flag or a key.
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
}

/// The variables that thongke reads: one for each flag, and those without.
pub fn variables() -> Vec<String> {
    let flags = Flags::augment_args(clap::Command::default());
    let keys = flags.get_arguments().map(|flag| flag.get_id().as_str()).chain(WITHOUT_FLAG);
    keys.map(variable_of).collect()
}

/// All variables that begin with `THONGKE_`.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A variable that must not be empty.
    pub fn get(&self, name: &str, problems: &mut Problems) -> Option<String> {
        let value = self.get_or_empty(name, problems)?;
        if value.is_empty() {
            problems.add(format!("{name} is empty; give it a value, or leave the variable out"));
            return None;
        }
        Some(value)
    }

    /// A variable that is `true` or `false`.
    pub fn get_boolean(&self, name: &str, problems: &mut Problems) -> Option<bool> {
        let text = self.get(name, problems)?;
        let value = text.parse().ok();
        if value.is_none() {
            problems.add(format!("{name} is `{text}`; expected `true` or `false`"));
        }
        value
    }

    /// A variable that may be empty.
    pub fn get_or_empty(&self, name: &str, problems: &mut Problems) -> Option<String> {
        match self.0.get(name)?.clone().into_string() {
            Ok(value) => Some(value),
            Err(_) => {
                problems.add(format!("{name} is not in UTF-8"));
                None
            }
        }
    }

    /// Notes variables without effect: most are misspelt.
    pub fn refuse_unknown(&self, problems: &mut Problems) {
        let variables = variables();
        let known: Vec<_> = variables.iter().map(String::as_str).collect();
        for name in self.0.keys().filter(|name| !known.contains(&name.as_str()) && !is_of_a_service(name)) {
            let shown: String = name.chars().take(80).collect();
            problems.add(format!("unknown environment variable {shown}; {}", suggest::nearest_or_all(name, &known)));
        }
    }
}

impl FromIterator<(String, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }
}

/// True for a variable that Kubernetes sets for each service whose name begins with `thongke`:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_NAME`, `…_PORT`, `…_PORT_8080_TCP…`.
fn is_of_a_service(name: &str) -> bool {
    // The service may be called `thongke` itself.
    let ends = |end: &str| name.ends_with(end);
    ends("_SERVICE_HOST") || ends("_SERVICE_PORT") || ends("_PORT") || name.contains("_SERVICE_PORT_") || {
        name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}
