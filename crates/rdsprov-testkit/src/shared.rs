//! One server of a version for all tests of a program.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::{Error, Server, io_error};

static SERVERS: Mutex<BTreeMap<u32, &'static Server>> = Mutex::new(BTreeMap::new());

impl Server {
    /// The server of a major version that all tests of this program share. It ends with the
    /// program, also where that is killed.
    ///
    /// # Errors
    /// Where its programs are not to be had, or it does not come up.
    pub fn shared(major: u32) -> Result<&'static Self, Error> {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(&major) {
            return Ok(server);
        }
        let server = keep(major)?;
        servers.insert(major, server);
        Ok(server)
    }
}

/// Starts a server in a thread that stays: a server ends with the thread that started it.
fn keep(major: u32) -> Result<&'static Server, Error> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let server = Server::start(major).and_then(|server| {
            remove_after_this_program(server.directory())?;
            Ok(&*Box::leak(Box::new(server)))
        });
        let _ = sender.send(server);
        loop {
            thread::park();
        }
    });
    receiver.recv().unwrap_or_else(|_| Err(Error::NotUp { log: "its thread panicked".to_owned() }))
}

/// Nothing that is static is dropped, and a program that is killed drops nothing: another process
/// waits for the end of this one, which closes the pipe between them, and removes the directory.
/// The server may still be writing to it for a moment.
fn remove_after_this_program(directory: &Path) -> Result<(), Error> {
    let script = "trap '' INT TERM HUP; cat; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- \"$1\" && break; sleep 1; done";
    let mut remover = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(directory)
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io_error("sh cannot be run"))?;
    // Open until this program ends.
    std::mem::forget(remover.stdin.take());
    Ok(())
}
