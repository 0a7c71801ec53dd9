//! Which endpoint a path of the admin listener names.

use super::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminRoute<'a> {
    Metrics,
    Alive,
    Ready,
    OpenApi,
    Of { site: &'a str, operation: Operation<'a> },
}

/// What an operator asks of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    Export,
    Import,
    Sources,
    Forget { source: &'a str },
    Figures,
    Bots,
    Verify,
    Repair,
}

impl<'a> AdminRoute<'a> {
    pub fn of(path: &'a str) -> Result<Self, Refusal> {
        Ok(match path {
            "/metrics" => Self::Metrics,
            "/healthz" => Self::Alive,
            "/readyz" => Self::Ready,
            "/openapi.json" => Self::OpenApi,
            _ => {
                let rest = path.strip_prefix("/sites/").ok_or(Refusal::PathUnknown)?;
                let (site, what) = rest.split_once('/').ok_or(Refusal::PathUnknown)?;
                Self::Of { site, operation: Operation::of(what)? }
            }
        })
    }

    /// A probe, or Prometheus: it has no token, and is told no secrets.
    pub fn is_free(self) -> bool {
        matches!(self, Self::Metrics | Self::Alive | Self::Ready)
    }

    pub fn allow(self) -> &'static str {
        match self {
            Self::Of { operation: Operation::Import | Operation::Repair, .. } => "POST",
            Self::Of { operation: Operation::Forget { .. }, .. } => "DELETE",
            _ => "GET, HEAD",
        }
    }
}

impl<'a> Operation<'a> {
    fn of(what: &'a str) -> Result<Self, Refusal> {
        Ok(match what {
            "export" => Self::Export,
            "import" => Self::Import,
            "sources" => Self::Sources,
            "figures" => Self::Figures,
            "bots" => Self::Bots,
            "verify" => Self::Verify,
            "repair" => Self::Repair,
            _ => Self::Forget { source: what.strip_prefix("sources/").ok_or(Refusal::PathUnknown)? },
        })
    }
}
