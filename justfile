# Each recipe is one line, which works without `just` as well.

# Format, lints and unit tests.
quick:
    cargo fmt --all --check && cargo clippy --all-targets -- -D warnings && cargo test --lib --bins

# Everything, with what it needs (tests/run says what it installs).
all:
    tests/run

# The program at http://127.0.0.1:8080/ with a demo page.
demo:
    cargo run --release

# What is handed out: program, manual pages, Debian package.
release:
    deploy/release

# This program beside an earlier one: CPU time per request.
compare base="19bc671":
    cargo bench --bench compare -- --base {{base}}
