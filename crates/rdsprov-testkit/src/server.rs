//! Starts and stops one PostgreSQL server on a copy of an initialised cluster.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::binaries;
use crate::data_dir::DataDir;
use crate::packages::run;
use crate::shape::SETTINGS;
use crate::{Error, Session, Shape, cache, io_error, scrub_environment};

pub(crate) const MASTER: &str = "platform_admin";
pub(crate) const MASTER_PASSWORD: &str = "master-Canary-9d41c7";
const DATABASE: &str = "platform";

/// A running server. Dropping it stops the process.
pub struct Server {
    directory: DataDir,
    process: Mutex<Child>,
    port: u16,
    major: u32,
}

/// How a server is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends all sessions, rolls their transactions back, and writes a checkpoint.
    Fast,
    /// Ends at once, as in a crash: the next start recovers from the WAL.
    Immediate,
}

/// Returns the user to run servers as, if it is not the current one: PostgreSQL refuses
/// to run as root.
pub(crate) fn user() -> Result<Option<String>, Error> {
    if run(Command::new("id").arg("-u"))?.trim() != "0" {
        return Ok(None);
    }
    let postgres = run(Command::new("id").args(["-u", "postgres"])).is_ok();
    Ok(Some(if postgres { "postgres" } else { "nobody" }.to_owned()))
}

/// Returns a command that runs `program` as `user`. The process ends with the
/// thread that starts it.
pub(crate) fn as_user(user: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    scrub_environment(&mut command);
    if let Some(user) = user {
        command.args(["--reuid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).current_dir("/");
    command
}

pub(crate) fn change_owner(user: Option<&str>, path: &Path) -> Result<(), Error> {
    if let Some(user) = user {
        run(Command::new("chown").args(["-R", user]).arg(path))?;
    }
    Ok(())
}

impl Server {
    /// Starts a server of a major version.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn start(major: u32) -> Result<Self, Error> {
        Self::start_with(major, |_| Ok(()))
    }

    /// Starts a server that resembles another kind of RDS server than a current instance.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn start_shaped(major: u32, shape: Shape) -> Result<Self, Error> {
        Self::start_on(&shape.template(major), major, shape, |_| Ok(()))
    }

    /// Starts a server with another system identifier than all others of the same version.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn start_unrelated(major: u32) -> Result<Self, Error> {
        let shape = Shape::default();
        let template = format!("{}-unrelated", shape.template(major));
        Self::start_on(&template, major, shape, |_| Ok(()))
    }

    /// Starts a standby: a server that stays in recovery and rejects writes.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn start_standby(major: u32) -> Result<Self, Error> {
        Self::start_with(major, |data| {
            fs::write(data.join("standby.signal"), "").map_err(io_error("standby.signal"))
        })
    }

    /// Starts a hot standby of a running server: a copy that follows it until it is promoted.
    ///
    /// # Errors
    /// Fails if the server cannot be copied or the standby does not start.
    pub fn start_standby_of(primary: &Self) -> Result<Self, Error> {
        let user = user()?;
        let bin = {
            let (cache, _lock) = cache()?;
            binaries::find(primary.major, &cache)?
        };
        let data = primary.data_directory();
        let hba = data.join("pg_hba.conf");
        let text = fs::read_to_string(&hba).map_err(io_error("pg_hba.conf"))?;
        if !text.contains("replication") {
            fs::write(&hba, format!("{text}local replication rdsadmin trust\n"))
                .map_err(io_error("pg_hba.conf"))?;
            primary.superuser("postgres", "SELECT pg_reload_conf()")?;
        }
        // Not all packages of PostgreSQL contain `pg_basebackup`.
        let (begin, end) = if primary.major < 15 {
            ("pg_start_backup('standby', true, false)", "pg_stop_backup(false, false)")
        } else {
            ("pg_backup_start('standby', true)", "pg_backup_stop(false)")
        };
        let directory = DataDir::new()?;
        let copy = directory.path().join("data");
        let mut backup = primary.superuser_session("postgres")?;
        backup.ask(&format!("SELECT {begin}"))?;
        let copied = run(Command::new("cp").arg("-a").arg(&data).arg(&copy));
        let label = backup.ask(&format!("SELECT labelfile FROM {end}"))?.rows;
        copied?;
        let socket = primary.socket_directory().display();
        let conninfo = format!("host={socket} port={} user=rdsadmin", primary.port);
        let settings = format!("{SETTINGS}primary_conninfo = '{conninfo}'\n");
        for (name, text) in [
            ("backup_label", format!("{}\n", label.trim_end())),
            ("standby.signal", String::new()),
            ("postgresql.auto.conf", settings),
        ] {
            fs::write(copy.join(name), text).map_err(io_error(name))?;
        }
        let _ = fs::remove_file(copy.join("postmaster.pid"));
        change_owner(user.as_deref(), directory.path())?;
        let (process, port) = launch(&bin, user.as_deref(), directory.path())
            .or_else(|_| launch(&bin, user.as_deref(), directory.path()))?;
        let process = Mutex::new(process);
        Ok(Self { directory, process, port, major: primary.major })
    }

    /// Promotes a standby, and waits until it accepts changes.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn promote(&self) -> Result<(), Error> {
        self.superuser("postgres", "SELECT pg_promote()").map(drop)
    }

    /// Shuts the server down, and waits until it has ended.
    ///
    /// # Errors
    /// Fails if the server cannot be ended.
    pub fn stop(&self, shutdown: Shutdown) -> Result<(), Error> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = match shutdown {
            Shutdown::Fast => "-INT",
            Shutdown::Immediate => "-QUIT",
        };
        run(Command::new("kill").args([signal, &process.id().to_string()]))?;
        process.wait().map(drop).map_err(io_error("cannot wait for the server"))
    }

    /// Starts the server again, after [`Server::stop`], on the same port. It then ends with the thread that
    /// calls this.
    ///
    /// # Errors
    /// Fails if the server does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        let bin = {
            let (cache, _lock) = cache()?;
            binaries::find(self.major, &cache)?
        };
        let user = user()?;
        let started = launch_at(&bin, user.as_deref(), self.directory.path(), self.port)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = started;
        Ok(())
    }

    /// Starts a server that also accepts connections without TLS from loopback.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn start_without_tls(major: u32) -> Result<Self, Error> {
        Self::start_with(major, |data| {
            let path = data.join("pg_hba.conf");
            let text = fs::read_to_string(&path).map_err(io_error("pg_hba.conf"))?;
            fs::write(&path, format!("{text}hostnossl all all 127.0.0.1/32 scram-sha-256\n"))
                .map_err(io_error("pg_hba.conf"))
        })
    }

    /// Starts a server with additional lines in `postgresql.auto.conf`, for settings
    /// that need a restart.
    ///
    /// # Errors
    /// Fails if the programs of that version are not available or the server does not start.
    pub fn start_with_settings(major: u32, settings: &str) -> Result<Self, Error> {
        Self::start_with(major, |data| {
            let path = data.join("postgresql.auto.conf");
            let text = fs::read_to_string(&path).map_err(io_error("postgresql.auto.conf"))?;
            fs::write(&path, format!("{text}{settings}\n"))
                .map_err(io_error("postgresql.auto.conf"))
        })
    }

    fn start_with(
        major: u32,
        prepare: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let shape = Shape::default();
        Self::start_on(&shape.template(major), major, shape, prepare)
    }

    /// Starts a server on a copy of a cluster in the cache. Copies have the same system identifier.
    fn start_on(
        template: &str,
        major: u32,
        shape: Shape,
        prepare: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let user = user()?;
        let user = user.as_deref();
        let (cache, lock) = cache()?;
        let bin = binaries::find(major, &cache)?;
        let template = cache.join(template);
        if !template.join("ready").exists() {
            let _ = fs::remove_dir_all(&template);
            create_template(&bin, user, &template, shape)?;
            fs::write(template.join("ready"), "")
                .map_err(io_error("cannot write the template cluster"))?;
        }
        drop(lock);

        let directory = DataDir::new()?;
        let data = directory.path().join("data");
        run(Command::new("cp").arg("-a").arg(template.join("data")).arg(&data))?;
        prepare(&data)?;
        change_owner(user, directory.path())?;
        // Another process may take the free port before the server binds it.
        let (process, port) = launch(&bin, user, directory.path())
            .or_else(|_| launch(&bin, user, directory.path()))?;
        let process = Mutex::new(process);
        Ok(Self { directory, process, port, major })
    }

    /// Returns the host name, for which the certificate is issued.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "localhost"
    }

    /// Returns the TCP port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the major version of PostgreSQL.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Returns the data directory, which also contains `pg_hba.conf`.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns the path of the certificate that clients must trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.data_directory().join("server.crt")
    }

    /// Returns the directory of the Unix socket, where the bootstrap superuser
    /// `rdsadmin` needs no password.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the administrator's password.
    #[must_use]
    pub fn master_password(&self) -> &'static str {
        MASTER_PASSWORD
    }

    /// Returns the administrator's secret in the format of RDS.
    #[must_use]
    pub fn admin_secret(&self) -> String {
        serde_json::json!({
            "engine": "postgres", "host": self.host(), "port": self.port,
            "username": MASTER, "password": MASTER_PASSWORD, "dbname": DATABASE,
        })
        .to_string()
    }

    /// Writes the files with which a user tries this server: the administrator's secret, the
    /// certificate `ca.pem`, and `environment`, which sets variables of a shell in the directory.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn write_client_files(&self, directory: &Path) -> Result<(), Error> {
        let failed = || io_error(format!("cannot write into {}", directory.display()));
        let secrets = directory.join("goldenpath/dev/rds");
        fs::create_dir_all(&secrets).map_err(failed())?;
        fs::write(secrets.join("master.json"), self.admin_secret()).map_err(failed())?;
        fs::copy(self.ca_file(), directory.join("ca.pem")).map_err(failed())?;
        let environment = format!(
            "export RDSPROV_SECRETS=file:. RDSPROV_CA_FILE=ca.pem\n\
             export PGHOST={} PGPORT={} PGSSLMODE=verify-full PGSSLROOTCERT=ca.pem\n",
            self.host(),
            self.port
        );
        fs::write(directory.join("environment"), environment).map_err(failed())
    }

    /// Returns the server log, which contains every statement.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.directory.path().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Runs SQL as the bootstrap superuser over the Unix socket.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn superuser(&self, database: &str, sql: &str) -> Result<String, Error> {
        superuser(self.directory.path(), self.port, database, sql)
    }

    /// Runs SQL as the administrator.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn master(&self, database: &str, sql: &str) -> Result<String, Error> {
        self.sql_as(MASTER, MASTER_PASSWORD, database, sql)
    }

    /// Returns the environment in which `psql` is this administrator, in its own database.
    #[must_use]
    pub fn psql_environment(&self) -> Vec<(&'static str, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut path: Vec<_> = std::env::split_paths(&path).collect();
        path.splice(..0, binaries::psql().parent().map(Path::to_owned));
        vec![
            ("PATH", std::env::join_paths(path).unwrap_or_default()),
            ("PGHOST", self.host().into()),
            ("PGPORT", self.port.to_string().into()),
            ("PGUSER", MASTER.into()),
            ("PGPASSWORD", MASTER_PASSWORD.into()),
            ("PGDATABASE", DATABASE.into()),
            ("PGSSLMODE", "verify-full".into()),
            ("PGSSLROOTCERT", self.ca_file().into()),
        ]
    }

    /// Runs SQL as a role that logs in over verified TLS.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn sql_as(
        &self,
        role: &str,
        password: &str,
        database: &str,
        sql: &str,
    ) -> Result<String, Error> {
        run(self.login(&mut psql(sql), role, password, database))
    }

    /// Opens a session as a role that logs in over verified TLS.
    ///
    /// # Errors
    /// Returns the error output of psql if the server rejects the login.
    pub fn session(&self, role: &str, password: &str, database: &str) -> Result<Session, Error> {
        let mut psql = clean_psql();
        psql.args(["-q", "-At"]);
        Session::open(self.login(&mut psql, role, password, database))
    }

    /// Opens a session as the administrator.
    ///
    /// # Errors
    /// Returns the error output of psql if the server rejects the login.
    pub fn master_session(&self, database: &str) -> Result<Session, Error> {
        self.session(MASTER, MASTER_PASSWORD, database)
    }

    /// Opens a session as the bootstrap superuser over the Unix socket.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn superuser_session(&self, database: &str) -> Result<Session, Error> {
        Session::open(
            clean_psql()
                .args(["-q", "-At", "-h"])
                .arg(self.directory.path())
                .args(["-p", &self.port.to_string(), "-U", "rdsadmin"])
                .env("PGDATABASE", database),
        )
    }

    fn login<'command>(
        &self,
        psql: &'command mut Command,
        role: &str,
        password: &str,
        database: &str,
    ) -> &'command mut Command {
        psql.env("PGPASSWORD", password)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", self.ca_file())
            // psql reads an argument that contains `=` as a connection string.
            .env("PGDATABASE", database)
            .args(["-h", self.host(), "-p", &self.port.to_string(), "-U", role])
    }

    /// Runs a psql script as the bootstrap superuser, which may connect to other
    /// databases and set roles.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn script_as_superuser(&self, script: &str) -> Result<String, Error> {
        let path = self.directory.path().join("script.sql");
        fs::write(&path, script).map_err(io_error("cannot write the script"))?;
        run(clean_psql()
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(path)
            .arg("-h")
            .arg(self.directory.path())
            .args(["-p", &self.port.to_string(), "-U", "rdsadmin", "-d", "postgres"]))
    }

    /// Runs a psql script as the administrator in its own database, as a DBA would.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn script_as_master(&self, script: &str) -> Result<String, Error> {
        let path = self.directory.path().join("script.sql");
        fs::write(&path, script).map_err(io_error("cannot write the script"))?;
        run(clean_psql()
            .args(["-q", "-f"])
            .arg(path)
            .env("PGPASSWORD", MASTER_PASSWORD)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", self.ca_file())
            .args(["-h", self.host(), "-p", &self.port.to_string(), "-U", MASTER, "-d", DATABASE]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT requests an immediate shutdown: the data directory is not needed afterwards.
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let pid = process.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = process.wait();
    }
}

/// Returns a `psql` command without the caller's variables and psqlrc.
fn clean_psql() -> Command {
    let mut command = Command::new(binaries::psql());
    scrub_environment(&mut command).arg("-X").current_dir("/");
    command
}

fn psql(sql: &str) -> Command {
    let mut command = clean_psql();
    command.args(["-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    command
}

fn superuser(directory: &Path, port: u16, database: &str, sql: &str) -> Result<String, Error> {
    run(psql(sql)
        .arg("-h")
        .arg(directory)
        .args(["-p", &port.to_string(), "-U", "rdsadmin"])
        .env("PGDATABASE", database))
}

/// Creates the cluster that servers of a version start from.
fn create_template(
    bin: &Path,
    user: Option<&str>,
    template: &Path,
    shape: Shape,
) -> Result<(), Error> {
    fs::create_dir_all(template).map_err(io_error(template.display().to_string()))?;
    change_owner(user, template)?;
    let data = template.join("data");
    run(as_user(user, &bin.join("initdb"))
        .args(["-U", "rdsadmin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        // Each server gets a copy of the cluster; small WAL segments keep it small.
        .args(["--wal-segsize", "1", "-D"])
        .arg(&data))?;
    let hba = "local all rdsadmin trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n";
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    for (name, text) in [
        ("pg_hba.conf", hba.to_owned()),
        ("postgresql.auto.conf", SETTINGS.to_owned()),
        ("server.crt", key.cert.pem()),
        ("server.key", key.signing_key.serialize_pem()),
    ] {
        let path = data.join(name);
        fs::write(&path, text).map_err(io_error(name))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io_error(name))?;
    }
    change_owner(user, template)?;
    let (mut process, port) = launch(bin, user, template)?;
    let statements = concat!(env!("CARGO_MANIFEST_DIR"), "/src/shape.sql");
    let shaped = run(clean_psql()
        .args([
            "-q",
            "-v",
            &format!("master={MASTER}"),
            "-v",
            &format!("master_password={MASTER_PASSWORD}"),
            "-v",
            &format!("shape={}", shape.name()),
        ])
        .args(["-f", statements, "-h"])
        .arg(template)
        .args(["-p", &port.to_string(), "-U", "rdsadmin", "-d", "postgres"]));
    // SIGINT requests a fast shutdown, which leaves the cluster consistent.
    run(Command::new("kill").args(["-INT", &process.id().to_string()]))?;
    process.wait().map_err(io_error("cannot wait for the server"))?;
    shaped.map(drop)
}

/// Starts a server on a free port and waits until it accepts connections.
fn launch(bin: &Path, user: Option<&str>, directory: &Path) -> Result<(Child, u16), Error> {
    let free = TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
    let port = free.local_addr().map_err(io_error("cannot find a free port"))?.port();
    drop(free);
    Ok((launch_at(bin, user, directory, port)?, port))
}

/// Starts a server on a port and waits until it accepts connections.
fn launch_at(bin: &Path, user: Option<&str>, directory: &Path, port: u16) -> Result<Child, Error> {
    let log_path = directory.join("log");
    let log = File::options().create(true).append(true).open(&log_path);
    let log = log.map_err(io_error("cannot create the log"))?;
    let mut process = as_user(user, &bin.join("postgres"))
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-k"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(io_error("cannot start the server"))?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if TcpStream::connect(("127.0.0.1", port)).is_ok()
            && superuser(directory, port, "postgres", "SELECT 1").is_ok()
        {
            return Ok(process);
        }
        let ended = process.try_wait().map_err(io_error("cannot wait for the server"))?.is_some();
        if ended || Instant::now() > deadline {
            let _ = process.kill();
            let _ = process.wait();
            return Err(Error::NotStarted {
                log: fs::read_to_string(&log_path).unwrap_or_default(),
            });
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}
