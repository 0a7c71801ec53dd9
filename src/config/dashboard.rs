//! The editors' pages: the listener that serves them.

use super::value::Value;
use crate::server::Dashboard;

impl Value for Dashboard {
    const EXAMPLE: &'static str = r#""admin""#;

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "admin" => Ok(Self::Admin),
            "public" => Ok(Self::Public),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{text}` is no place of the editors' pages; expected `admin`, `public` or `off`")),
        }
    }
}
