//! Runs Debian's PgBouncer in front of a server that accepts connections without TLS.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::data_dir::DataDir;
use crate::server::{MASTER, MASTER_PASSWORD, as_user, change_owner, user};
use crate::{Error, Server, io_error};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// How long PgBouncer keeps a session of the server for one client.
#[derive(Debug, Clone, Copy)]
pub enum PoolMode {
    /// Until the client disconnects.
    Session,
    /// Until the end of a transaction.
    Transaction,
    /// Until the end of a statement.
    Statement,
}

/// A running PgBouncer. Dropping it stops the process.
pub struct PgBouncer {
    directory: DataDir,
    process: Child,
    port: u16,
}

impl PgBouncer {
    /// Starts PgBouncer, which knows the administrator only. `databases` are the names in its
    /// configuration: `*` means all, also those that are created later. `settings` are further lines.
    ///
    /// # Errors
    /// Fails if the Debian package is not installed or PgBouncer does not start.
    pub fn start(
        server: &Server,
        mode: PoolMode,
        databases: &[&str],
        settings: &str,
    ) -> Result<Self, Error> {
        if !Path::new(PROGRAM).exists() {
            return Err(Error::NotInstalled { package: "pgbouncer".to_owned() });
        }
        let user = user()?;
        let free = TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let port = free.local_addr().map_err(io_error("cannot find a free port"))?.port();
        let directory = DataDir::new()?;
        let path = |name: &str| directory.path().join(name);
        let entries: String = databases
            .iter()
            .map(|name| format!("{name} = host=127.0.0.1 port={}\n", server.port()))
            .collect();
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        let text = format!(
            "[databases]\n{entries}[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\nunix_socket_dir =\n\
             {settings}\n",
            path("users").display()
        );
        fs::write(path("pgbouncer.ini"), text).map_err(io_error("pgbouncer.ini"))?;
        fs::write(path("users"), format!("\"{MASTER}\" \"{MASTER_PASSWORD}\"\n"))
            .map_err(io_error("users"))?;
        change_owner(user.as_deref(), directory.path())?;
        let log = File::create(path("log")).map_err(io_error("cannot create the log"))?;
        drop(free);
        let mut process = as_user(user.as_deref(), Path::new(PROGRAM))
            .arg(path("pgbouncer.ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io_error("cannot start pgbouncer"))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = process.try_wait().map_err(io_error("cannot wait for pgbouncer"))?;
            if ended.is_some() || Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                let log = fs::read_to_string(path("log")).unwrap_or_default();
                return Err(Error::NotStarted { log });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { directory, process, port })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // SIGTERM requests an immediate shutdown.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
