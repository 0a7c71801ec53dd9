//! Refused starts: exit 2, the reason, and nothing written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::node::{Node, PROGRAM};

/// Messages of a program that refuses to start.
fn refusal(command: &mut Command) -> String {
    let output = command.args(["--admin-listen", "127.0.0.1:0"]).output().unwrap();
    let says = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{command:?}: {says}");
    assert!(!says.contains("panicked"), "{says}");
    // Each cause appears once.
    assert!(says.matches("os error").count() <= 1, "{says}");
    says
}

fn on(listen: &str, data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", listen, "--data-dir"]).arg(data);
    command
}

#[test]
fn a_second_node_on_a_data_directory_is_refused_and_the_holder_is_named() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let says = refusal(&mut on("127.0.0.1:0", directory.path()));
    assert!(says.contains(&format!("process {}", node.id())), "{says}");
    assert_eq!(node.hit("/a").status, 200);
    node.stop();
}

#[test]
fn a_taken_port_is_named() {
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = Node::start(directory.path(), &[]);
    for address in [&node.public, &node.admin] {
        let says = refusal(&mut on(address, other.path()));
        assert!(says.contains(address.as_str()), "{says}");
    }
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0, "it wrote before it could serve");
    node.stop();
}

/// Root may write anywhere; without these capabilities it may not.
fn with_no_more_rights_than_the_file_modes_give(command: &Command) -> Command {
    let mut limited = Command::new("setpriv");
    limited.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(command.get_program());
    limited.args(command.get_args());
    limited
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let directory = TempDir::new().unwrap();
    let locked = directory.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = std::fs::write(locked.join("probe"), "").is_ok();
    // The directory may also have to be created inside it.
    for data in [locked.clone(), locked.join("data")] {
        let mut command = on("127.0.0.1:0", &data);
        if is_root {
            command = with_no_more_rights_than_the_file_modes_give(&command);
        }
        let says = refusal(&mut command);
        assert!(says.contains(&*data.to_string_lossy()) && says.contains("ermission denied"), "{says}");
    }
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let says = refusal(&mut on("127.0.0.1:0", &file));
    assert!(says.contains(&*file.to_string_lossy()), "{says}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a directory");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line_and_what_would_be_right() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.toml");
    let data = directory.path().join("data");
    let site = "[sites.demo]\norigins = [\"http://localhost:*\"]\n";
    for (text, line, says) in [
        ("lisen = \"127.0.0.1:0\"\n".to_owned() + site, 1, "`listen`"),
        (site.to_owned() + "time_zon = \"Asia/Ho_Chi_Minh\"\n", 3, "`time_zone`"),
        (site.to_owned() + "time_zone = \"Asia/Ho_Chi_Min\"\n", 3, "Asia/Ho_Chi_Minh"),
        (site.to_owned() + "[sites.demo]\n", 3, "duplicate"),
        (site.to_owned() + "figures = [\"todey\"]\n", 3, "expected one of today"),
        ("[sites.Demo]\norigins = [\"http://localhost:*\"]\n".to_owned(), 1, "Demo"),
        ("[sites.demo]\norigins = [\"localhost\"]\n".to_owned(), 2, "localhost"),
        ("[sites.demo\n".to_owned(), 1, ""),
    ] {
        std::fs::write(&file, &text).unwrap();
        let refused = refusal(on("127.0.0.1:0", &data).arg("--config").arg(&file));
        assert!(refused.contains(&format!("{}:{line}", file.display())), "{text}: {refused}");
        assert!(refused.contains(says), "{text}: {refused}");
    }
    for unreadable in [directory.path().join("missing.toml"), directory.path().to_owned()] {
        let refused = refusal(on("127.0.0.1:0", &data).arg("--config").arg(&unreadable));
        assert!(refused.contains(&*unreadable.to_string_lossy()), "{refused}");
    }
    refusal(on("127.0.0.1:0", &data).args(["--redis", "http://127.0.0.1:6379"]));
    refusal(&mut on("nowhere", &data));
    assert!(!data.exists(), "a refused start left a data directory");
}

/// A wrong --data-dir would silently report zeros.
#[test]
fn a_folder_in_which_nothing_was_counted_is_not_read_as_one_with_no_hits() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("data");
    for command in ["figures demo", "sources demo", "bots demo", "export demo", "verify", "forget demo --source old"] {
        let mut run = Command::new(PROGRAM);
        let output = run.args(command.split(' ')).arg("--data-dir").arg(&missing).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.contains("nothing was ever counted in ") && said.contains("--data-dir"), "{command}: {said}");
        assert!(output.stdout.is_empty() && !missing.exists(), "{command}");
    }
}
