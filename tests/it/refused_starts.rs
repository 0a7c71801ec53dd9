//! Refused starts: exit 2, the reason, and nothing written.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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

/// A node that says that it counts, and serves nobody, would be found by its readers.
#[test]
fn with_too_few_descriptors_for_its_threads_a_node_does_not_seem_to_start() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 24; exec timeout 60 \"$0\" \"$@\"",
        PROGRAM,
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    let says = refusal(command.arg(directory.path()));
    assert!(says.contains("LimitNOFILE=") && !says.contains("counting on"), "{says}");
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

/// A data directory as a killed node leaves it, with a log and its index.
fn left_by_a_kill() -> TempDir {
    let directory = TempDir::new().unwrap();
    let node = Node::start(&directory.path().join("data"), &[]);
    assert_eq!(node.hit("/a").status, 200);
    node.kill();
    directory
}

fn own_user() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

fn is_root() -> bool {
    own_user() == 0
}

#[test]
fn a_file_that_this_user_may_not_use_is_named_with_its_owner_and_the_command_that_opens_it() {
    let directory = left_by_a_kill();
    let data = directory.path().join("data");
    let limited = || match is_root() {
        true => with_no_more_rights_than_the_file_modes_give(&on("127.0.0.1:0", &data)),
        false => on("127.0.0.1:0", &data),
    };
    for name in ["thongke.db", "thongke.db-wal", "thongke.db-shm", "thongke.lock", "thongke.reached", "."] {
        let path = data.join(name);
        let permissions = std::fs::metadata(&path).unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        let says = refusal(&mut limited());
        let shown = if name == "." { data.clone() } else { path.clone() };
        assert!(says.contains(&format!("(mode 0000): `chmod u+rwX {}`", shown.display())), "{name}: {says}");
        assert!(!says.contains("damaged"), "{name}: {says}");
        std::fs::set_permissions(&path, permissions).unwrap();
    }
    if is_root() {
        let lock = data.join("thongke.lock");
        std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&lock, Some(65_534), None).unwrap();
        let says = refusal(&mut limited());
        let lock = lock.display();
        assert!(says.contains(&format!("the lock file {lock}")), "{says}");
        assert!(says.contains("belongs to user 65534 (mode 0600), and this program runs as root"), "{says}");
        assert!(says.contains(&format!("`chown 0 {lock}`")), "{says}");
    }
    // Nothing of this has changed the files.
    std::os::unix::fs::chown(data.join("thongke.lock"), Some(own_user()), None).unwrap();
    let node = Node::start(&data, &[]);
    assert_eq!(node.total("demo"), 1);
    node.stop();
}

#[test]
fn a_configuration_and_a_secret_that_this_user_may_not_read_are_named_in_the_same_way() {
    let directory = TempDir::new().unwrap();
    let (file, secret) = (directory.path().join("thongke.toml"), directory.path().join("token"));
    std::fs::write(&secret, "0123456789abcdef").unwrap();
    std::fs::write(&file, "admin_token_file = \"token\"\n[sites.demo]\norigins = [\"http://localhost:*\"]\n").unwrap();
    for path in [&secret, &file] {
        let permissions = std::fs::metadata(path).unwrap().permissions();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
        let mut command = on("127.0.0.1:0", &directory.path().join("data"));
        command.arg("--config").arg(&file);
        if is_root() {
            command = with_no_more_rights_than_the_file_modes_give(&command);
        }
        let says = refusal(&mut command);
        assert!(says.contains(&format!("(mode 0000): `chmod u+rwX {}`", path.display())), "{says}");
        std::fs::set_permissions(path, permissions).unwrap();
    }
}

#[test]
fn a_file_that_another_program_holds_locked_is_not_damaged() {
    let directory = left_by_a_kill();
    let data = directory.path().join("data");
    let other = rusqlite::Connection::open(data.join("thongke.db")).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let says = refusal(&mut on("127.0.0.1:0", &data));
    assert!(says.contains("locked by another program") && !says.contains("damaged"), "{says}");
}

#[test]
fn check_says_what_is_wrong_with_the_file_and_leaves_it_as_it_is() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.db");
    let check = || {
        let mut command = on("127.0.0.1:0", directory.path());
        let output = command.args(["--admin-listen", "127.0.0.1:0", "check"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for garbage in ["garbage, and no more than that".repeat(500), String::new()] {
        std::fs::write(&file, &garbage).unwrap();
        let (code, says) = check();
        assert_eq!(code, Some(1), "{says}");
        assert!(says.contains(&format!("error: {} is damaged: ", file.display())), "{says}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), garbage);
        assert!(!directory.path().join("thongke.db-wal").exists());
    }
    std::fs::remove_file(&file).unwrap();
    let (code, says) = check();
    assert_eq!(code, Some(0), "{says}");
    let left = left_by_a_kill();
    let data = left.path().join("data");
    let output = on("127.0.0.1:0", &data).args(["--admin-listen", "127.0.0.1:0", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let before = std::fs::read(data.join("thongke.db-wal")).unwrap();
    assert!(!before.is_empty(), "a node that was killed leaves a log");
}
