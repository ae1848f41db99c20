//! Counts the connections to a port on loopback, to prove that a program did not contact a service.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, io_error};

/// Counts connections and closes each of them at once. Stops when the process ends.
///
/// ```
/// let counter = rdsprov_testkit::ConnectionCounter::start()?;
/// let client = std::net::TcpStream::connect(("127.0.0.1", counter.port()))?;
/// // The connection is counted before it is closed.
/// std::io::copy(&mut &client, &mut std::io::sink())?;
/// assert_eq!(counter.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ConnectionCounter {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl ConnectionCounter {
    /// Starts to listen on a free port.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start() -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Ok(Self { address, count })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}
