//! The OpenAPI documents: written by hand, one for each listener, and completed by what the routers
//! say: HEAD beside each GET, and OPTIONS.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::admin_router::AdminRoute;
use super::router::{Route, SCRIPT_VERSIONED};

const PUBLIC: &str = include_str!("public.json");
const ADMIN: &str = include_str!("admin.json");

/// The public listener's, as it is reached under `prefix`.
pub fn public(prefix: &str) -> Bytes {
    let mut document = read(PUBLIC);
    if !prefix.is_empty() {
        document["servers"] = json!([{ "url": prefix }]);
    }
    complete(&mut document, |path| Route::of(path, "").allow());
    written(&document)
}

/// The admin listener's; where there are tokens, it says so.
pub fn admin(wants_token: bool) -> Bytes {
    let mut document = read(ADMIN);
    if wants_token {
        document["security"] = json!([{ "bearer": [] }]);
    }
    complete(&mut document, |path| AdminRoute::of(path).map_or("", AdminRoute::allow));
    written(&document)
}

/// Both files are valid, as a test says.
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

/// Adds to each path the methods that `allow` names and that need no words of their own.
fn complete(document: &mut Value, allow: impl Fn(&str) -> &'static str) {
    let Some(Value::Object(paths)) = document.get_mut("paths") else { return };
    for (path, item) in paths {
        let Value::Object(item) = item else { continue };
        for method in allow(path).split(", ") {
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

/// What is said of GET, without bodies.
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
    let mut operation = Map::new();
    operation.insert("summary".to_owned(), json!("Which methods there are, and a browser's preflight."));
    operation.insert("security".to_owned(), json!([]));
    operation.insert(
        "responses".to_owned(),
        json!({
            "204": { "description": "They stand in `Allow`.", "headers": { "Allow": { "schema": { "type": "string" } } } },
            "4XX": { "$ref": "#/components/responses/Refused" },
        }),
    );
    Value::Object(operation)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::admin_router::Operation;
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

    fn routed(routes: impl IntoIterator<Item = (&'static str, &'static str)>) -> Described {
        let methods = |allow: &str| allow.split(", ").map(str::to_owned).collect();
        routes.into_iter().map(|(path, allow)| (path.to_owned(), methods(allow))).collect()
    }

    /// The next route, so that a new one can't be forgotten here.
    fn after(route: Route<'static>) -> Option<Route<'static>> {
        let site = "{site}";
        Some(match route {
            Route::Hit => Route::Pixel,
            Route::Pixel => Route::Figures { site },
            Route::Figures { .. } => Route::PageFigures { site },
            Route::PageFigures { .. } => Route::TopPages { site },
            Route::TopPages { .. } => Route::History { site },
            Route::History { .. } => Route::Chart { site },
            Route::Chart { .. } => Route::Script,
            Route::Script => Route::ScriptVersioned,
            Route::ScriptVersioned => Route::OpenApi,
            Route::OpenApi => Route::DemoPage,
            Route::DemoPage => Route::DemoStyles,
            Route::DemoStyles => Route::DemoScript,
            // Only a redirect to the prefix with its slash, and what is no route, are not described.
            Route::DemoScript | Route::Prefix | Route::Unknown => return None,
        })
    }

    #[test]
    fn the_public_document_and_the_router_know_the_same_paths_and_methods() {
        let routes = std::iter::successors(Some(Route::Hit), |route| after(*route)).map(|route| {
            let path = if route == Route::ScriptVersioned { SCRIPT_VERSIONED } else { route.label() };
            assert_eq!(Route::of(path, ""), route, "{path}");
            (path, route.allow())
        });
        assert_eq!(described(&public("")), routed(routes));
    }

    fn admin_path(route: AdminRoute<'_>) -> &'static str {
        match route {
            AdminRoute::Metrics => "/metrics",
            AdminRoute::Alive => "/healthz",
            AdminRoute::Ready => "/readyz",
            AdminRoute::OpenApi => "/openapi.json",
            AdminRoute::Of { operation, .. } => match operation {
                Operation::Export => "/sites/{site}/export",
                Operation::Import => "/sites/{site}/import",
                Operation::Sources => "/sites/{site}/sources",
                Operation::Forget { .. } => "/sites/{site}/sources/{source}",
                Operation::Figures => "/sites/{site}/figures",
                Operation::Bots => "/sites/{site}/bots",
                Operation::Verify => "/sites/{site}/verify",
                Operation::Repair => "/sites/{site}/repair",
            },
        }
    }

    #[test]
    fn the_admin_document_and_the_router_know_the_same_paths_and_methods() {
        let operations = [
            Operation::Export,
            Operation::Import,
            Operation::Sources,
            Operation::Forget { source: "{source}" },
            Operation::Figures,
            Operation::Bots,
            Operation::Verify,
            Operation::Repair,
        ];
        let of_sites = operations.map(|operation| AdminRoute::Of { site: "{site}", operation });
        let free = [AdminRoute::Metrics, AdminRoute::Alive, AdminRoute::Ready, AdminRoute::OpenApi];
        let routes = free.into_iter().chain(of_sites).map(|route| {
            assert_eq!(AdminRoute::of(admin_path(route)), Ok(route));
            (admin_path(route), route.allow())
        });
        assert_eq!(described(&admin(true)), routed(routes));
        let document: Value = serde_json::from_slice(&admin(true)).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            let is_free = AdminRoute::of(path).unwrap().is_free();
            assert_eq!(item["get"]["security"] == json!([]), is_free, "{path}");
        }
    }

    #[test]
    fn a_document_names_the_prefix_and_the_version() {
        let document: Value = serde_json::from_slice(&public("/tk")).unwrap();
        assert_eq!(document["servers"][0]["url"], "/tk");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
