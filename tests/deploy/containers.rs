use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dockerfile_parser_rs::{Dockerfile, Instruction};
use tempfile::TempDir;

use crate::beside::{Beside, project, run};
use crate::load::{Connections, Load};
use crate::node::{PROGRAM, exchange, until};
use crate::port::free_port;

const TIMEOUT: Duration = Duration::from_secs(60);
/// The image's user.
const USER: u32 = 65532;

fn delivered(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

#[test]
fn the_image_is_empty_but_for_the_program_and_runs_without_root() {
    let text = delivered("deploy/docker/Dockerfile");
    // The parser does not know HEALTHCHECK; the test parses that line itself.
    let (health, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("HEALTHCHECK"));
    assert!(health.len() == 1 && health[0].ends_with(r#"CMD ["/thongke", "health"]"#), "{health:?}");
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("Dockerfile"), rest.join("\n")).unwrap();
    let file = Dockerfile::from(directory.path().join("Dockerfile")).unwrap();
    let last_stage =
        file.instructions.iter().rposition(|instruction| matches!(instruction, Instruction::From { .. })).unwrap();
    let (build, image) = file.instructions.split_at(last_stage);
    assert!(matches!(&image[0], Instruction::From { image, .. } if image == "scratch"));
    let mut user = None;
    for instruction in image {
        match instruction {
            // An empty image has no program to run these.
            Instruction::Run { .. } | Instruction::Shell(_) => panic!("{instruction:?}"),
            Instruction::User { user: name, .. } => user = Some(name.clone()),
            _ => {}
        }
    }
    assert_eq!(user.as_deref(), Some(USER.to_string().as_str()));
    // All that the build copies exists.
    for instruction in build {
        if let Instruction::Copy { sources, .. } = instruction {
            sources.iter().for_each(|source| assert!(project(source).exists(), "{source}"));
        }
    }
    assert!(text.contains(r#"ENTRYPOINT ["/thongke"]"#));
}

#[test]
fn the_composition_is_valid_and_what_it_mounts_is_there() {
    let said = run(Command::new("docker-compose").arg("-f").arg(project("deploy/docker/compose.yaml")).arg("config"));
    for service in ["thongke:", "redis:", "nginx:", "prometheus:", "grafana:"] {
        assert!(said.contains(&format!("  {service}\n")), "{said}");
    }
    let text = delivered("deploy/docker/compose.yaml");
    let mounted: BTreeSet<_> =
        text.lines().filter_map(|line| line.trim().strip_prefix("- .")?.split_once(':')).collect();
    assert!(mounted.len() > 8, "{mounted:?}");
    for (path, _) in mounted {
        assert!(project("deploy/docker").join(format!(".{path}")).exists(), ".{path}");
    }
    // Only addresses differ from the files for machines.
    let upstream =
        delivered("deploy/nginx/thongke-upstream.conf").replace("server 127.0.0.1:8080;", "server thongke:8080;");
    assert_eq!(delivered("deploy/docker/thongke-upstream.conf"), upstream);
    let prometheus = delivered("deploy/prometheus/prometheus.yml").replace("127.0.0.1:8081", "thongke:8081");
    assert!(prometheus.starts_with(&delivered("deploy/docker/prometheus.yml")));
}

/// A folder with the image's content: the program, its libraries, and nothing else.
struct Image {
    root: PathBuf,
    data: PathBuf,
}

impl Image {
    fn new(folder: &Path, config: &str, password: &str) -> Self {
        let (root, data) = (folder.join("root"), folder.join("data"));
        for path in ["etc/thongke", "run/secrets", "var/lib/thongke", "proc"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        std::fs::create_dir(&data).unwrap();
        chown(&data, Some(USER), Some(USER)).unwrap();
        std::fs::copy(PROGRAM, root.join("thongke")).unwrap();
        // The image's program is static; this one links a few libraries.
        for library in run(Command::new("ldd").arg(PROGRAM)).split_whitespace().filter(|word| word.starts_with('/')) {
            let copy = root.join(&library[1..]);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(library, copy).unwrap();
        }
        std::fs::write(root.join("etc/thongke/thongke.toml"), config).unwrap();
        std::fs::write(root.join("run/secrets/redis-password"), password).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { root, data }
    }

    /// The program in the folder: read-only except for its data, no capability, the image's user and
    /// environment.
    fn command(&self, arguments: &[&str], listen: &str, admin: &str) -> Command {
        let (root, data) = (self.root.display(), self.data.display());
        let script = format!(
            "mount --bind {root} {root} && mount -o remount,ro,bind {root} && mount --bind {data} {root}/var/lib/thongke && \
             exec setpriv --reuid={USER} --regid={USER} --clear-groups --bounding-set=-all,+sys_chroot \
             --inh-caps=+sys_chroot --ambient-caps=+sys_chroot --no-new-privs chroot {root} /thongke \"$@\""
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("THONGKE_LISTEN", listen)
            .env("THONGKE_ADMIN_LISTEN", admin)
            .env("THONGKE_DATA_DIR", "/var/lib/thongke")
            .env("THONGKE_LOG_FORMAT", "json");
        command
    }
}

/// No container engine runs here. The processes of `compose.yaml` run in its arrangement with its files, and
/// the node in a folder with the image's content.
#[test]
fn the_composition_counts_when_its_processes_are_started_by_hand() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: chroot needs root");
        return;
    }
    let directory = TempDir::new().unwrap();
    let [redis, public, admin, nginx, prometheus] = [(); 5].map(|()| free_port());
    let at = |port: u16| format!("127.0.0.1:{port}");
    let password = "0123456789abcdef";
    let config = delivered("deploy/docker/thongke.toml")
        .replace("redis://redis:6379", &format!("redis://{}", at(redis)))
        .replace("172.30.77.0/24", "127.0.0.0/8");
    let image = Image::new(directory.path(), &config, password);

    // Redis, by the composition's own line.
    let compose = delivered("deploy/docker/compose.yaml");
    let line = compose.lines().find_map(|line| line.trim().strip_prefix("- umask 077; ")).unwrap();
    let line = line
        .replace("$$", "$")
        .replace("/etc/redis/standalone.conf", project("deploy/redis/standalone.conf").to_str().unwrap())
        .replace("echo bind 0.0.0.0", &format!("echo port {redis}"))
        .replace("/tmp/redis.conf", directory.path().join("redis.conf").to_str().unwrap())
        .replace("dir /data", &format!("dir {}", directory.path().display()))
        .replace("/run/secrets/redis-password", image.root.join("run/secrets/redis-password").to_str().unwrap());
    let _redis = Beside::start(Command::new("sh").args(["-c", &line]), &directory.path().join("redis.log"));
    until("Redis answers", TIMEOUT, || std::net::TcpStream::connect(at(redis)).is_ok());

    let serve = ["--config", "/etc/thongke/thongke.toml"];
    let node = Beside::start(&mut image.command(&serve, &at(public), &at(admin)), &directory.path().join("node.log"));
    let health = || {
        image.command(&["--config", "/etc/thongke/thongke.toml", "health"], &at(public), &at(admin)).output().unwrap()
    };
    until("the image's health check succeeds", TIMEOUT, || health().status.success());
    assert!(String::from_utf8(health().stdout).unwrap().contains("ready"));

    let home = directory.path().join("nginx");
    std::fs::create_dir_all(home.join("snippets")).unwrap();
    for file in ["thongke-locations.conf", "thongke-proxy.conf"] {
        std::fs::copy(project("deploy/nginx").join(file), home.join("snippets").join(file)).unwrap();
    }
    let upstream = delivered("deploy/docker/thongke-upstream.conf")
        .replace("thongke:8080", &at(public))
        .replace("/var/cache/nginx/thongke", home.join("cache").to_str().unwrap());
    std::fs::write(home.join("snippets/thongke-upstream.conf"), upstream).unwrap();
    let main = delivered("deploy/docker/nginx.conf")
        .replace("/tmp/nginx.pid", home.join("pid").to_str().unwrap())
        .replace("listen 8088", &format!("listen {}", at(nginx)));
    std::fs::write(home.join("nginx.conf"), format!("user root; daemon off;\n{main}")).unwrap();
    let _nginx = Beside::start(
        Command::new("nginx").arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf")).args(["-e", "stderr"]),
        &directory.path().join("nginx.log"),
    );
    until("nginx listens", TIMEOUT, || std::net::TcpStream::connect(at(nginx)).is_ok());

    let scrape = delivered("deploy/docker/prometheus.yml").replace("thongke:8081", &at(admin)).replace("15s", "1s");
    std::fs::write(directory.path().join("prometheus.yml"), scrape).unwrap();
    std::fs::copy(project("deploy/prometheus/thongke.rules.yml"), directory.path().join("thongke.rules.yml")).unwrap();
    let _prometheus = Beside::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={}", at(prometheus))),
        &directory.path().join("prometheus.log"),
    );

    let load = Load::start(&at(nginx), "/tk/v1/hit", 2, Connections::New);
    load.go_on_for(50);
    let counted = load.stop();
    let get = |port: u16, path: &str| {
        exchange(&at(port), format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    };
    assert_eq!(get(public, "/tk/v1/sites/demo/figures").figure("today"), i64::try_from(counted).unwrap());
    let query = "/api/v1/query?query=thongke_hits_total%20and%20on(instance)%20(thongke_redis_up%20%3D%3D%201)";
    until("Prometheus has seen the hits", TIMEOUT, || {
        std::net::TcpStream::connect(at(prometheus)).is_ok() && {
            let answer = get(prometheus, query);
            answer.status == 200 && answer.body.contains(&format!("\"{counted}\""))
        }
    });
    // The engine's stop signal; the health check fails then.
    node.signal("TERM");
    assert!(node.wait().success());
    assert!(!health().status.success());
}
