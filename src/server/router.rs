//! Which endpoint a path of the public listener names.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    Hit,
    Pixel,
    Figures {
        site: &'a str,
    },
    Script,
    ScriptVersioned,
    DemoPage,
    DemoStyles,
    DemoScript,
    /// The path prefix without its slash: where a person may begin.
    Prefix,
    Unknown,
}

pub const SCRIPT_VERSIONED: &str = concat!("/thongke-", env!("CARGO_PKG_VERSION"), ".js");

impl<'a> Route<'a> {
    pub fn of(path: &'a str, prefix: &str) -> Self {
        let Some(path) = path.strip_prefix(prefix) else { return Self::Unknown };
        match path {
            "/v1/hit" => Self::Hit,
            "/v1/hit.gif" => Self::Pixel,
            "/thongke.js" => Self::Script,
            "/" => Self::DemoPage,
            "/demo.css" => Self::DemoStyles,
            "/demo.js" => Self::DemoScript,
            SCRIPT_VERSIONED => Self::ScriptVersioned,
            "" if !prefix.is_empty() => Self::Prefix,
            _ => match path.strip_prefix("/v1/sites/").and_then(|rest| rest.strip_suffix("/figures")) {
                Some(site) if !site.is_empty() && !site.contains('/') => Self::Figures { site },
                _ => Self::Unknown,
            },
        }
    }

    /// What the metrics call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "/v1/hit",
            Self::Pixel => "/v1/hit.gif",
            Self::Figures { .. } => "/v1/sites/{site}/figures",
            Self::Script => "/thongke.js",
            Self::ScriptVersioned => "/thongke-VERSION.js",
            Self::DemoPage => "/",
            Self::DemoStyles => "/demo.css",
            Self::DemoScript => "/demo.js",
            Self::Prefix | Self::Unknown => "other",
        }
    }

    pub fn allow(self) -> &'static str {
        match self {
            Self::Hit => "POST, OPTIONS",
            // Not HEAD: a GET of the pixel counts, and asking about it must not.
            Self::Pixel => "GET, OPTIONS",
            Self::Unknown => "GET, HEAD, POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_endpoint_and_nothing_near_it() {
        assert_eq!(Route::of("/v1/hit", ""), Route::Hit);
        assert_eq!(Route::of("/v1/sites/demo/figures", ""), Route::Figures { site: "demo" });
        assert_eq!(Route::of("/tk/v1/hit.gif", "/tk"), Route::Pixel);
        assert_eq!(Route::of("/tk/", "/tk"), Route::DemoPage);
        assert_eq!(Route::of("/tk", "/tk"), Route::Prefix);
        for (path, prefix) in [
            ("/v1/hit/", ""),
            ("/v1/hitx", ""),
            ("//v1/hit", ""),
            ("/V1/hit", ""),
            ("", ""),
            ("*", ""),
            ("/v1/sites//figures", ""),
            ("/v1/sites/a/b/figures", ""),
            ("/v1/sites/a", ""),
            ("/v1/hit", "/tk"),
            ("/tkv1/hit", "/tk"),
        ] {
            assert_eq!(Route::of(path, prefix), Route::Unknown, "{path}");
        }
    }
}
