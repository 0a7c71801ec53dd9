//! Proxies in front of a node: who the client is, and what reaches the node at all.

use tempfile::TempDir;

use crate::node::Node;

#[test]
fn a_unix_socket_serves_a_proxy_and_one_left_by_a_crash_is_no_hindrance() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("http.sock");
    let listen = format!("unix:{}", socket.display());
    let start = || Node::start(&directory.path().join("data"), &["--listen", &listen]);
    let node = start();
    assert_eq!(node.public, socket.to_str().unwrap());
    assert_eq!(node.hit("/bai-1").figure("today"), 1);
    node.kill();
    assert!(socket.exists());
    let node = start();
    assert_eq!(node.hit("/bai-1").figure("today"), 2);
    // Another node must not take the socket from one that listens on it.
    let other = std::process::Command::new(crate::node::PROGRAM)
        .args(["--listen", &listen, "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("other"))
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("can't listen on unix:"));
    assert_eq!(node.hit("/bai-1").figure("today"), 3);
    node.stop();
}
