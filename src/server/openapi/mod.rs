//! OpenAPI documents: written by hand, one for each listener, and completed from the route tables with
//! HEAD beside each GET, and OPTIONS.

use bytes::Bytes;
use serde_json::{Value, json};

use super::routes::{self, Route, SCRIPT_VERSIONED};

const PUBLIC: &str = include_str!("public.json");
const ADMIN: &str = include_str!("admin.json");

/// The public listener's document, with its path prefix.
pub fn public(prefix: &str) -> Bytes {
    let mut document = read(PUBLIC);
    if !prefix.is_empty() {
        document["servers"] = json!([{ "url": prefix }]);
    }
    complete(&mut document, &routes::PUBLIC);
    written(&document)
}

/// The admin listener's document, with the need of a token.
pub fn admin(needs_token: bool) -> Bytes {
    let mut document = read(ADMIN);
    if needs_token {
        document["security"] = json!([{ "bearer": [] }]);
    }
    complete(&mut document, &routes::ADMIN);
    written(&document)
}

/// Parses a document. A test checks both.
fn read(text: &str) -> Value {
    let text = text
        .replace("/thongke-VERSION.js", SCRIPT_VERSIONED)
        .replace("\"version\": \"VERSION\"", concat!("\"version\": \"", env!("CARGO_PKG_VERSION"), "\""));
    serde_json::from_str(&text).unwrap_or_default()
}

fn written(document: &Value) -> Bytes {
    // A value always serialises.
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// Adds to each path those of its methods that need no description of their own.
fn complete<E: Copy>(document: &mut Value, table: &[Route<E>]) {
    let Some(Value::Object(paths)) = document.get_mut("paths") else { return };
    for (path, item) in paths {
        let Value::Object(item) = item else { continue };
        let methods = table.iter().find(|route| route.path == *path).map_or("", |route| route.methods);
        for method in methods.split(", ") {
            let operation = match method {
                "HEAD" => item.get("get").map(head),
                "OPTIONS" => Some(options()),
                _ => None,
            };
            if let Some(operation) = operation {
                item.insert(method.to_ascii_lowercase(), operation);
            }
        }
    }
}

/// GET's operation, without bodies.
fn head(get: &Value) -> Value {
    let mut operation = get.clone();
    if let Some(Value::String(id)) = operation.get_mut("operationId") {
        id.push_str("Head");
    }
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        for response in responses.values_mut() {
            *response = json!({ "description": "As to GET, without the body." });
        }
    }
    operation
}

fn options() -> Value {
    json!({
        "summary": "The path's methods, and a browser's preflight.",
        "security": [],
        "responses": {
            "204": { "description": "The methods are in `Allow`.", "headers": { "Allow": { "schema": { "type": "string" } } } },
            "4XX": { "$ref": "#/components/responses/Refused" },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    type Described = BTreeMap<String, BTreeSet<String>>;

    fn described(document: &Bytes) -> Described {
        let document: Value = serde_json::from_slice(document).unwrap();
        let methods = |item: &Value| {
            let names = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
            names.map(|name| name.to_ascii_uppercase()).collect()
        };
        let paths = document["paths"].as_object().unwrap();
        paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
    }

    fn routed<E: Copy>(table: &[Route<E>]) -> Described {
        let methods = |methods: &str| methods.split(", ").map(str::to_owned).collect();
        table.iter().map(|route| (route.path.to_owned(), methods(route.methods))).collect()
    }

    #[test]
    fn documents_and_route_tables_have_the_same_paths_and_methods() {
        assert_eq!(described(&public("")), routed(&routes::PUBLIC));
        assert_eq!(described(&admin(true)), routed(&routes::ADMIN));
    }

    #[test]
    fn a_document_names_the_prefix_and_the_version() {
        let document: Value = serde_json::from_slice(&public("/tk")).unwrap();
        assert_eq!(document["servers"][0]["url"], "/tk");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
