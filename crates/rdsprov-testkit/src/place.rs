//! The directory of a server, which goes when its program does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use crate::{Error, io_error};

/// A directory. A program that is killed drops nothing, and nothing that is static is dropped: another process
/// waits for the end of this one, which closes the pipe between them, and removes it. The server may still be
/// writing to it for a moment.
pub(crate) struct Place {
    directory: TempDir,
    remover: Child,
    /// Open until this is dropped, or the program ends.
    pipe: Option<ChildStdin>,
}

const REMOVE: &str = "trap '' INT TERM HUP; cat; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- \"$1\" && break; sleep 1; done";

impl Place {
    pub fn new() -> Result<Self, Error> {
        let directory = TempDir::with_prefix("rdsprov-pg-").map_err(io_error("a directory"))?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .map_err(io_error("a directory"))?;
        let mut remover = Command::new("sh")
            .args(["-c", REMOVE, "sh"])
            .arg(directory.path())
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_error("sh cannot be run"))?;
        let pipe = remover.stdin.take();
        Ok(Self { directory, remover, pipe })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.remover.wait();
    }
}
