//! A port on loopback that hears whoever calls, and says nothing.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, io_error};

/// A listener that counts connections and ends each at once. It ends with the process.
///
/// ```
/// let ear = rdsprov_testkit::Ear::open()?;
/// let called = std::net::TcpStream::connect(("127.0.0.1", ear.port()))?;
/// // It is heard by the time that it is ended.
/// std::io::copy(&mut &called, &mut std::io::sink())?;
/// assert_eq!(ear.heard(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ear {
    address: SocketAddr,
    heard: Arc<AtomicUsize>,
}

impl Ear {
    /// Opens one.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn open() -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(io_error("a free port"))?;
        let address = listener.local_addr().map_err(io_error("a free port"))?;
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Ok(Self { address, heard })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections there were.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }
}
