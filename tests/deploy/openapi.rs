//! The OpenAPI documents in use: a validator reads them, and Schemathesis sends a node valid and invalid
//! requests.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::node::Node;

/// A tool that `tests/run` installs.
fn installed(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin").join(program);
    assert!(path.exists(), "{} is missing: `tests/run` installs it", path.display());
    path
}

/// Seconds for one listener.
const BUDGET: &str = "20";

fn passes(address: &str, directory: &Path) {
    let report = Command::new(installed("schemathesis"))
        .current_dir(directory)
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml"))
        .args(["run", &format!("http://{address}/openapi.json"), "--checks", "all", "--no-color"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", BUDGET, "--request-timeout", "30"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(report.status.success(), "{text}{}", String::from_utf8_lossy(&report.stderr));
    assert!(text.contains("passed") && !text.contains("failure"), "{text}");
}

#[test]
fn the_documents_are_valid_and_the_node_keeps_to_them() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    let site = "[sites.demo]\norigins = [\"http://localhost\", \"http://localhost:*\"]\n";
    std::fs::write(&config, format!("[limits]\nenabled = false\n{site}")).unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    for (name, document) in [("public", node.get("/openapi.json")), ("admin", node.admin_get("/openapi.json"))] {
        let file = directory.path().join(format!("{name}.json"));
        std::fs::write(&file, &document.body).unwrap();
        let check = Command::new(installed("openapi-spec-validator")).arg(&file).output().unwrap();
        assert!(check.status.success(), "{name}: {check:?}");
    }
    passes(&node.public, directory.path());
    passes(&node.admin, directory.path());
    let panics = node.log().lines().filter(|line| line.contains("panicked")).count();
    assert_eq!(panics, 0, "{}", node.log());
    node.stop();
}
