use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::beside::{project, run};
use crate::node::PROGRAM;

const CONFIG: &str = "/etc/thongke/thongke.toml";
const DATA: &str = "/var/lib/thongke";

/// A package of this program.
fn build(folder: &Path, version: &str) -> PathBuf {
    let manual = folder.join("manual");
    run(Command::new(project("deploy/debian/manual")).arg(&manual));
    let package = folder.join(format!("{version}.deb"));
    run(Command::new(project("deploy/debian/package")).arg(PROGRAM).args([&manual, &package]).arg(version));
    package
}

fn dpkg(arguments: &[&str]) -> String {
    run(Command::new("dpkg").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Runs the installed program as its own user.
fn as_user(arguments: &[&str]) -> String {
    run(Command::new("setpriv")
        .args(["--reuid=thongke", "--regid=thongke", "--init-groups", "--reset-env", "/usr/bin/thongke"])
        .args(["--config", CONFIG])
        .args(arguments))
}

fn user_exists() -> bool {
    Command::new("getent").args(["passwd", "thongke"]).output().unwrap().status.success()
}

#[test]
fn the_package_is_installed_upgraded_and_purged() {
    if !is_root() {
        eprintln!("not root: nothing can be installed, so the package is only built");
        build(TempDir::new().unwrap().path(), "0.1.0-1");
        return;
    }
    let is_installed = Path::new("/usr/bin/thongke").exists() || Path::new(DATA).exists();
    assert!(!is_installed, "thongke is installed on this machine: the test would purge it");
    let folder = TempDir::new().unwrap();
    let (before, now) = (build(folder.path(), "0.0.9-1"), build(folder.path(), "0.1.0-1"));
    let _end = Purged;

    dpkg(&["--install", before.to_str().unwrap()]);
    assert!(user_exists());
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        [mode(DATA), mode("/etc/thongke"), mode("/etc/thongke/secrets"), mode(CONFIG)],
        [0o750, 0o750, 0o700, 0o640]
    );
    let owner = std::fs::metadata(DATA).unwrap().uid();
    assert_ne!(owner, 0);
    assert!(Path::new("/usr/lib/systemd/system/thongke.socket").exists());
    assert!(run(Command::new("zcat").arg("/usr/share/man/man1/thongke.1.gz")).contains("thongke"));
    // Free ports: the usual ones may be in use.
    let free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    as_user(&[&["check"], &free[..]].concat());
    let import = folder.path().join("old.csv");
    std::fs::write(&import, "period,hits\n2023,1234\ntotal,1234\n").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    as_user(&["import", "demo", import.to_str().unwrap(), "--source", "old"]);
    back_up_as_the_unit_does();

    // The operator's changes stay, as do the counts.
    let own = std::fs::read_to_string(CONFIG).unwrap() + "\n# ours\n[sites.ours]\norigins = [\"http://localhost:*\"]\n";
    std::fs::write(CONFIG, &own).unwrap();
    dpkg(&["--install", now.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(CONFIG).unwrap(), own);
    assert_eq!(run(Command::new("dpkg-query").args(["-W", "-f=${Version}", "thongke"])), "0.1.0-1");
    assert!(as_user(&["export", "demo"]).contains("2023,,1234"));
    assert!(as_user(&["export", "ours"]).starts_with("period,page,hits"));

    // The only copy of the counts outlives even a purge.
    dpkg(&["--remove", "thongke"]);
    assert!(!Path::new("/usr/bin/thongke").exists() && Path::new(CONFIG).exists());
    assert!(dpkg(&["--purge", "thongke"]).contains(DATA));
    assert!(!Path::new("/etc/thongke").exists() && Path::new(DATA).join("thongke.db").exists() && user_exists());

    // Without counts, nothing is left.
    std::fs::remove_dir_all(DATA).unwrap();
    std::fs::remove_dir_all("/var/backups/thongke").unwrap();
    dpkg(&["--install", now.to_str().unwrap()]);
    dpkg(&["--purge", "thongke"]);
    assert!(!Path::new(DATA).exists() && !Path::new("/etc/thongke").exists() && !user_exists());
}

/// Runs the line of the installed backup unit, with systemd's specifiers replaced.
fn back_up_as_the_unit_does() {
    let unit = std::fs::read_to_string("/usr/lib/systemd/system/thongke-backup.service").unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/bin/sh -c '")?.strip_suffix('\'')).unwrap();
    run(Command::new("setpriv")
        .args(["--reuid=thongke", "--regid=thongke", "--init-groups", "--reset-env", "/bin/sh", "-c"])
        .arg(line.replace("%%", "%")));
    let backups = std::fs::read_dir("/var/backups/thongke").unwrap().count();
    assert_eq!(backups, 1);
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Restores the machine's state, also when the test fails.
struct Purged;

impl Drop for Purged {
    fn drop(&mut self) {
        let _ = Command::new("dpkg").args(["--purge", "thongke"]).output();
        let _ = std::fs::remove_dir_all(DATA);
        let _ = std::fs::remove_dir_all("/var/backups/thongke");
        let _ = std::fs::remove_dir_all("/etc/thongke");
        let _ = Command::new("deluser").args(["--quiet", "--system", "thongke"]).output();
    }
}
