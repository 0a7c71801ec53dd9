use std::process::Command;

use crate::beside::{project, run};
use crate::node::PROGRAM;

/// The tutorial checks itself: it succeeds only if all counts are exact and no request failed.
#[test]
fn three_nodes_on_a_cluster_lose_a_node_and_a_primary_and_nothing_else() {
    // Above this binary's other ports; a cluster's bus is 10,000 higher, still below the kernel's.
    let base = 19_000 + (std::process::id() % 30) * 100;
    let said =
        run(Command::new(project("deploy/scale-out/run")).env("THONGKE", PROGRAM).env("BASE_PORT", base.to_string()));
    assert!(said.contains("failed: 0\n") && said.contains("every count is exact"), "{said}");
    let number = |name: &str| -> u64 {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {said}"));
        line.split([' ', ',']).find_map(|word| word.parse().ok()).unwrap()
    };
    let sent = number("requests: ");
    assert!(sent >= 800, "{said}");
    for name in ["node 1: ", "node 3: ", "node 4: ", "Redis:  "] {
        assert_eq!(number(name), sent, "{said}");
    }
}
