//! Shares one server of each version among all tests of a program.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::{Error, Server};

static SERVERS: Mutex<BTreeMap<u32, &'static Server>> = Mutex::new(BTreeMap::new());

impl Server {
    /// Returns the server of a major version that all tests of this program share. It stops when
    /// the program ends, also when it is killed.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn shared(major: u32) -> Result<&'static Self, Error> {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(&major) {
            return Ok(server);
        }
        let server = start_detached(major)?;
        servers.insert(major, server);
        Ok(server)
    }
}

/// Starts a server in a thread that never ends, because a server ends with the
/// thread that started it.
fn start_detached(major: u32) -> Result<&'static Server, Error> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let server = Server::start(major).map(|server| &*Box::leak(Box::new(server)));
        let _ = sender.send(server);
        loop {
            thread::park();
        }
    });
    receiver.recv().unwrap_or_else(|_| {
        Err(Error::NotStarted { log: "the thread of the server panicked".to_owned() })
    })
}
