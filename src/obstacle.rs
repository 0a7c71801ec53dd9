//! Files that the system refuses: the part of the path in the way, and what to do about it. Files that the
//! program is given by their paths are read here.

mod regular;

use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

pub use regular::{ReadError, read, read_text};

/// Advice about a refused file, with a leading `; `. Empty where the error says all.
pub fn advice(path: &Path, error: &Error) -> String {
    let words = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let folder = existing_part(path);
            format!("no file is damaged: make room (`df -h {0}`, `df -i {0}`), then try again", folder.display())
        }
        ErrorKind::PermissionDenied => permission(existing_part(path)),
        ErrorKind::ReadOnlyFilesystem => "its file system is mounted read-only, or the service's sandbox forbids \
            writing there (`ReadWritePaths=`): after an error of the disk check the disk first, then mount it writable"
            .to_owned(),
        ErrorKind::NotADirectory => {
            format!("{} is a file and no folder: move it away, or name another folder", existing_part(path).display())
        }
        ErrorKind::IsADirectory => "a folder is in the file's place: move it away".to_owned(),
        _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::IO) => "the disk reports an error: see `dmesg`, and copy the files to another \
                disk before anything else"
                .to_owned(),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                "too few files may be open at once: raise `LimitNOFILE=` or `ulimit -n`".to_owned()
            }
            _ => return String::new(),
        },
    };
    format!("; {words}")
}

/// The path, or its nearest folder that can be seen: that one is in the way.
fn existing_part(path: &Path) -> &Path {
    let seen = path.ancestors().find(|part| std::fs::symlink_metadata(part).is_ok());
    seen.unwrap_or(if path.is_absolute() { Path::new("/") } else { Path::new(".") })
}

fn permission(path: &Path) -> String {
    let user = rustix::process::geteuid().as_raw();
    let shown = path.display();
    let name = |user| if user == 0 { "root".to_owned() } else { format!("user {user}") };
    let Ok(metadata) = std::fs::metadata(path) else { return format!("{} may not use it", name(user)) };
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let whose = format!("{shown} belongs to {} (mode {mode:04o})", name(owner));
    if owner != user {
        format!("{whose}, and this program runs as {}: `chown {user} {shown}`, or run it as the owner", name(user))
    } else if mode & 0o600 != 0o600 || metadata.is_dir() && mode & 0o100 == 0 {
        format!("{whose}: `chmod u+rwX {shown}`")
    } else {
        format!("{whose}, which this program may use: something else forbids it, such as the service's sandbox")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn advised(path: &Path, errno: rustix::io::Errno) -> String {
        advice(path, &errno.into())
    }

    #[test]
    fn the_part_of_a_path_that_is_in_the_way_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let shown = folder.path().display().to_string();
        let below = file.join("data");
        assert!(advised(&below, rustix::io::Errno::NOTDIR).contains(&format!("{shown}/file is a file")));
        let missing = folder.path().join("a/b");
        assert!(advised(&missing, rustix::io::Errno::NOSPC).contains(&format!("`df -h {shown}`")));
        assert!(advised(&missing, rustix::io::Errno::ACCESS).contains(&format!("{shown} belongs to ")));
    }

    #[test]
    fn each_kind_of_error_has_its_own_advice() {
        use rustix::io::Errno;
        let folder = tempfile::TempDir::new().unwrap();
        let kinds = [
            (Errno::NOSPC, "make room"),
            (Errno::DQUOT, "make room"),
            (Errno::ROFS, "read-only"),
            (Errno::ISDIR, "a folder is in"),
            (Errno::IO, "dmesg"),
            (Errno::MFILE, "LimitNOFILE"),
        ];
        for (errno, says) in kinds {
            assert!(advised(folder.path(), errno).contains(says), "{errno:?}");
        }
        assert_eq!(advised(folder.path(), Errno::NOENT), "");
    }

    #[test]
    fn a_file_of_ones_own_with_a_closed_mode_is_opened_by_chmod() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        assert!(advised(&file, rustix::io::Errno::ACCESS).contains("(mode 0444): `chmod u+rwX "));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(advised(&file, rustix::io::Errno::ACCESS).contains("something else forbids it"));
    }
}
