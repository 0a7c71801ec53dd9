use std::path::Path;
use std::process::Command;

use crate::node::PROGRAM;

/// The program under the system call tracer, which injects faults. The tracer counts calls by thread and by
/// name.
pub fn traced(injections: &[&str]) -> Command {
    let mut command = Command::new("strace");
    // -D: the program is the child and the tracer a grandchild, so that signals reach the program.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
    for injection in injections {
        command.args(["-e", &format!("inject={injection}")]);
    }
    command.arg(PROGRAM);
    command
}

/// The program, with a trace of all its writes, syncs and sends.
pub fn recorded(to: &Path) -> Command {
    let mut command = Command::new("strace");
    let calls = "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,rename,unlink";
    command
        .args(["-D", "-f", "-q", "-y", "-x", "-s", "8192", "-e", calls, "-e", "signal=none", "-o"])
        .arg(to)
        .arg(PROGRAM);
    command
}
