//! Which endpoint a path of the public listener names.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    Hit,
    Pixel,
    Figures {
        site: &'a str,
    },
    PageFigures {
        site: &'a str,
    },
    TopPages {
        site: &'a str,
    },
    History {
        site: &'a str,
    },
    Chart {
        site: &'a str,
    },
    Script,
    ScriptVersioned,
    OpenApi,
    DemoPage,
    DemoStyles,
    DemoScript,
    /// The path prefix without its slash: where a person may begin.
    Prefix,
    Unknown,
}

pub const SCRIPT_VERSIONED: &str = concat!("/thongke-", env!("CARGO_PKG_VERSION"), ".js");

impl<'a> Route<'a> {
    /// Every endpoint, with an empty site where it has one.
    pub const ALL: [Self; 13] = [
        Self::Hit,
        Self::Pixel,
        Self::Figures { site: "" },
        Self::PageFigures { site: "" },
        Self::TopPages { site: "" },
        Self::History { site: "" },
        Self::Chart { site: "" },
        Self::Script,
        Self::ScriptVersioned,
        Self::OpenApi,
        Self::DemoPage,
        Self::DemoStyles,
        Self::DemoScript,
    ];

    pub fn of(path: &'a str, prefix: &str) -> Self {
        let Some(path) = path.strip_prefix(prefix) else { return Self::Unknown };
        match path {
            "/v1/hit" => Self::Hit,
            "/v1/hit.gif" => Self::Pixel,
            "/thongke.js" => Self::Script,
            "/openapi.json" => Self::OpenApi,
            "/" => Self::DemoPage,
            "/demo.css" => Self::DemoStyles,
            "/demo.js" => Self::DemoScript,
            SCRIPT_VERSIONED => Self::ScriptVersioned,
            "" if !prefix.is_empty() => Self::Prefix,
            _ => match path.strip_prefix("/v1/sites/").and_then(|rest| rest.split_once('/')) {
                Some((site, what)) if !site.is_empty() => Self::of_site(site, what),
                _ => Self::Unknown,
            },
        }
    }

    fn of_site(site: &'a str, what: &str) -> Self {
        match what {
            "figures" => Self::Figures { site },
            "pages/figures" => Self::PageFigures { site },
            "pages" => Self::TopPages { site },
            "history" => Self::History { site },
            "chart.svg" => Self::Chart { site },
            _ => Self::Unknown,
        }
    }

    /// What the metrics call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "/v1/hit",
            Self::Pixel => "/v1/hit.gif",
            Self::Figures { .. } => "/v1/sites/{site}/figures",
            Self::PageFigures { .. } => "/v1/sites/{site}/pages/figures",
            Self::TopPages { .. } => "/v1/sites/{site}/pages",
            Self::History { .. } => "/v1/sites/{site}/history",
            Self::Chart { .. } => "/v1/sites/{site}/chart.svg",
            Self::Script => "/thongke.js",
            Self::ScriptVersioned => "/thongke-VERSION.js",
            Self::OpenApi => "/openapi.json",
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
        assert_eq!(Route::of("/v1/sites/demo/pages/figures", ""), Route::PageFigures { site: "demo" });
        assert_eq!(Route::of("/v1/sites/demo/pages", ""), Route::TopPages { site: "demo" });
        assert_eq!(Route::of("/v1/sites/demo/history", ""), Route::History { site: "demo" });
        assert_eq!(Route::of("/tk/v1/sites/demo/chart.svg", "/tk"), Route::Chart { site: "demo" });
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
            ("/v1/sites/a/pages/", ""),
            ("/v1/sites/a/chart", ""),
            ("/v1/sites/a", ""),
            ("/v1/hit", "/tk"),
            ("/tkv1/hit", "/tk"),
        ] {
            assert_eq!(Route::of(path, prefix), Route::Unknown, "{path}");
        }
    }
}
