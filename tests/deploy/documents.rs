use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::beside::{project, run};
use crate::node::{Node, PROGRAM, USER_AGENT};

fn page(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

/// Pages that name every key, command, flag, variable, route and metric.
fn reference() -> String {
    ["configuration", "command-line", "api", "metrics"].map(|name| page(&format!("docs/{name}.md"))).concat()
}

/// Names in backticks at the beginning of one column's cells, in all tables of a section.
fn column(section: &str, column: usize) -> BTreeSet<String> {
    let reference = reference();
    let begin = format!("\n## {section}\n");
    let text = reference.split(&begin).nth(1).unwrap_or_else(|| panic!("no section `{section}`"));
    let text = text.split("\n## ").next().unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.split('|').nth(column)?.trim().strip_prefix('`')?.split('`').next().map(str::to_owned));
    let mut found = BTreeSet::new();
    for name in names {
        assert!(!found.contains(&name), "`{name}` stands twice under `{section}`");
        found.insert(name);
    }
    found
}

fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

#[test]
fn the_reference_names_every_key_of_the_configuration_and_no_other() {
    let (of_tokens, others) =
        thongke::config::keys().into_iter().partition::<Vec<_>, _>(|(table, _)| *table == "tokens");
    let keys = |tables: Vec<(_, &[&'static str])>| set(tables.into_iter().flat_map(|(_, keys)| keys).copied());
    assert_eq!(column("Configuration file", 1), keys(others));
    assert_eq!(column("Tokens in the file", 1), keys(of_tokens));
}

#[test]
fn the_reference_names_every_command_flag_and_variable_and_no_other() {
    let help = run(Command::new(PROGRAM).arg("--help"));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands = set(commands.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help"));
    assert_eq!(column("Command line", 1), commands);
    let flags =
        help.split_whitespace().filter(|word| word.starts_with("--") && !["--help", "--version"].contains(word));
    assert_eq!(column("Flags and environment", 1), set(flags));
    assert_eq!(column("Flags and environment", 2), set(thongke::config::variables()));
}

#[test]
fn the_reference_names_every_route_and_metric() {
    let directory = TempDir::new().unwrap();
    // No Redis runs there; its metrics exist all the same.
    let node = Node::start(directory.path(), &["--redis", "redis://127.0.0.1:1"]);
    assert_eq!(node.hit("/a").status, 200);
    assert_eq!(node.get("/nothing").status, 404);
    let metrics = node.admin_get("/metrics").body;
    let reference = reference();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let mut found = BTreeSet::new();
    for (name, help) in names {
        let kind = metrics.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        assert!(reference.contains(&format!("| `{name}` | {kind} | {help} |\n")), "{name} | {kind} | {help}");
        found.insert(name.to_owned());
    }
    assert_eq!(column("Metrics", 1), found);
    let public = thongke::server::routes::PUBLIC.iter().map(|route| route.label);
    for path in public.chain(thongke::server::routes::ADMIN.iter().map(|route| route.path)) {
        assert!(reference.contains(&format!("`{}`", path.replace("{source}", "import:NAME"))), "{path}");
    }
    node.stop();
}

/// Asserts that each warning has its row, and each row a warning in the program.
#[test]
fn the_warnings_of_check_are_explained_as_they_are_said() {
    let said = [
        "src/operate/check.rs",
        "src/redis/client/preflight.rs",
        "src/redis/client/policy.rs",
        "src/redis/publish/agreement.rs",
        // Warnings of a running node.
        "src/server/hit/canonical.rs",
        "src/server/hit/handler.rs",
        "src/server/hit/parameters.rs",
    ]
    .map(|path| page(path).split("mod tests").next().unwrap().to_owned())
    .concat();
    let continued = regex::Regex::new(r"\\\n\s*").unwrap();
    let said = continued.replace_all(&said, "");
    let operations = page("docs/operations.md");
    let rows = operations.split("| warning |").nth(1).unwrap().split("\n\n").next().unwrap();
    let cells: Vec<&str> = rows.lines().skip(2).filter_map(|row| row.split('|').nth(1)).collect();
    let phrases: Vec<&str> = cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(phrases.len() > 12, "{phrases:?}");
    for phrase in &phrases {
        assert!(said.contains(phrase), "the program never says `{phrase}`");
    }
    // Warnings of the program: the literal after each call.
    let calls =
        regex::Regex::new(r#"(?s)(?:\.warn\(|warnings\.push\()\s*(?:&?format!\()?\s*"((?:[^"\\]|\\.)*)""#).unwrap();
    let mut warnings = 0;
    for call in calls.captures_iter(&said) {
        let warning = &call[1];
        // Warnings in other words, and the rest of a list.
        if warning.ends_with("{danger}") || warning.ends_with("{warning}") || warning.starts_with("{more} more") {
            continue;
        }
        assert!(phrases.iter().any(|phrase| warning.contains(phrase)), "no row for: {warning}");
        warnings += 1;
    }
    assert!(warnings > 8, "only {warnings} warnings were found in the sources");
}

#[test]
fn manual_pages_name_every_command_and_completions_can_be_read() {
    let folder = TempDir::new().unwrap();
    run(Command::new(project("deploy/debian/manual")).arg(folder.path()));
    let made =
        set(std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    for command in column("Command line", 1) {
        let name = format!("thongke-{command}.1.gz");
        assert!(made.contains(&name), "{name} is not among {made:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(made.contains(&format!("thongke.{shell}")), "{made:?}");
    }
    run(Command::new("bash").arg("-n").arg(folder.path().join("thongke.bash")));
}

/// A heading's name in links, as hosts of pages generate it.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Files that the package keeps at the repository's place, below its documents: lines of
/// `deploy/debian/package` with one folder on both sides.
fn packaged() -> BTreeSet<PathBuf> {
    let script = page("deploy/debian/package");
    let lines = script.lines().filter_map(|line| line.strip_prefix("put 644 $doc")?.split_once(' '));
    let assets = lines.flat_map(|(folder, sources)| {
        let sources = sources.split(' ').map(|source| source.trim_start_matches("./"));
        sources.map(move |source| (source, folder.trim_start_matches('/')))
    });
    let mut files = BTreeSet::new();
    for (source, folder) in assets {
        let (from, name) = source.rsplit_once('/').unwrap_or(("", source));
        if from != folder {
            continue;
        }
        let (start, end) = name.split_once('*').unwrap_or((name, ""));
        let entries = std::fs::read_dir(project(if from.is_empty() { "." } else { from })).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| name.starts_with(start) && name.ends_with(end));
        files.extend(names.map(|name| std::fs::canonicalize(project(from).join(name)).unwrap()));
    }
    files
}

/// Links hold in the repository and in the package.
#[test]
fn links_between_pages_lead_somewhere() {
    let packaged = packaged();
    let pages = packaged.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut links = 0;
    for path in pages {
        let text = std::fs::read_to_string(path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_packaged = target.canonicalize().is_ok_and(|target| packaged.contains(&target));
            assert!(is_packaged, "{}: {link} leads nowhere, or is not in the package", path.display());
            let is_there = || {
                std::fs::read_to_string(&target)
                    .unwrap()
                    .lines()
                    .any(|line| line.starts_with('#') && anchor(line) == place)
            };
            assert!(place.is_empty() || is_there(), "{}: {link} leads to no heading", path.display());
            links += 1;
        }
    }
    assert!(links > 20, "{links}");
    assert!(page("README.md").len() <= 6_000, "the first page has become long");
    let version = run(Command::new(PROGRAM).arg("--version"));
    assert!(page("CHANGELOG.md").contains(&format!("\n## {}\n", version.trim().rsplit(' ').next().unwrap())));
}

/// Tags that webmasters paste, on a node that serves them as the pages say.
#[test]
fn the_tags_of_the_pages_for_webmasters_count() {
    let pages = [page("docs/cai-dat.md"), page("docs/install.md")];
    for (text, plain) in pages.iter().zip(["HTML thường", "Plain HTML"]) {
        for part in ["NukeViet", "Liferay", "WordPress", "Joomla", plain] {
            assert!(text.contains(&format!("\n## {part}\n")), "{part}");
        }
    }
    let text = pages.concat();
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    std::fs::write(&config, "path_prefix = \"/tk\"\n[sites.vixuyen]\norigins = [\"https://vixuyen.example.gov.vn\"]\n")
        .unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    let host = "https://counter.example.gov.vn";
    let addresses =
        text.split(host).skip(1).filter_map(|rest| rest.split('"').next()).filter(|path| path.starts_with("/tk/"));
    let addresses: BTreeSet<_> = addresses.collect();
    assert!(addresses.len() >= 2, "{addresses:?}");
    for path in addresses {
        // The browser's Referer names the page of the picture.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {USER_AGENT}\r\n\
             Referer: https://vixuyen.example.gov.vn/\r\nConnection: close\r\n\r\n"
        );
        let answer = crate::node::exchange(&node.public, request.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        assert!(!path.contains("hit.gif") || answer.head.contains("thongke-hit: counted"), "{path}: {}", answer.head);
    }
    node.stop();
}
