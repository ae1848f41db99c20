//! Creates the data directory of a server and removes it when the process ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::packages::run;
use crate::{Error, io_error};

/// A temporary directory that is removed even if the process is killed, when no destructor runs. A
/// shell waits until the pipe from this process closes, then removes the directory. It retries,
/// because the server may still write for a moment.
pub(crate) struct DataDir {
    directory: TempDir,
    remover: Child,
    /// The pipe to the shell. It closes when this value is dropped or the process ends.
    pipe: Option<ChildStdin>,
}

const REMOVE_SCRIPT: &str = "trap '' INT TERM HUP; cat; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- \"$1\" && break; sleep 1; done";

/// The free space in MiB that `/dev/shm` must have before data directories are created in
/// it: about 40 servers.
const ENOUGH_MEMORY: u64 = 4096;

/// Returns the directory in which data directories are created: memory if there is enough of
/// it, because each server starts from a copy of about 50 MB and 1,600 files, which takes
/// seconds on a busy disk.
fn data_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let free = run(Command::new("df").args(["--output=avail", "-BM", "/dev/shm"]));
        let free = free.ok().and_then(|text| {
            text.lines().last().and_then(|line| line.trim().trim_end_matches('M').parse().ok())
        });
        if free.is_some_and(|free: u64| free >= ENOUGH_MEMORY) {
            PathBuf::from("/dev/shm")
        } else {
            std::env::temp_dir()
        }
    })
}

impl DataDir {
    pub fn new() -> Result<Self, Error> {
        let directory = TempDir::with_prefix_in("rdsprov-pg-", data_root())
            .map_err(io_error("cannot create the data directory"))?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .map_err(io_error("cannot create the data directory"))?;
        let mut remover = Command::new("sh")
            .args(["-c", REMOVE_SCRIPT, "sh"])
            .arg(directory.path())
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_error("cannot run sh"))?;
        let pipe = remover.stdin.take();
        Ok(Self { directory, remover, pipe })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.remover.wait();
    }
}
