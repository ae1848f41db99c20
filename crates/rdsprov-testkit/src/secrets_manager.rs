//! A Secrets Manager on loopback: moto's, which speaks the API of AWS.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_secretsmanager::primitives::Blob;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use tokio::runtime::{Builder, Runtime};

use crate::packages::install_python_packages;
use crate::{Error, cache, io_error, without_the_callers};

/// The locked packages of moto and what it depends on.
const PACKAGES: &str = include_str!("../../../locks/python/moto.txt");
const REGION: &str = "eu-west-2";

/// A running Secrets Manager; dropping it stops it.
pub struct SecretsManager {
    process: Child,
    port: u16,
    runtime: Runtime,
    client: Client,
}

/// The server, as a program of Python.
const SERVER: &str = include_str!("moto.py");

/// Returns the Python of the virtual environment that has moto.
fn find() -> Result<PathBuf, Error> {
    let (cache, _lock) = cache()?;
    let home = cache.join("moto");
    install_python_packages("python3", &home, PACKAGES)?;
    Ok(home.join("bin/python"))
}

impl SecretsManager {
    /// Starts one, empty.
    ///
    /// # Errors
    /// Where moto is not to be had, or does not come up.
    pub fn start() -> Result<Self, Error> {
        let program = find()?;
        let free = TcpListener::bind("127.0.0.1:0").map_err(io_error("a free port"))?;
        let port = free.local_addr().map_err(io_error("a free port"))?.port();
        drop(free);
        let mut process = without_the_callers(&mut Command::new("setpriv"))
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(["-c", SERVER])
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_error("moto_server cannot be started"))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = process.try_wait().map_err(io_error("moto_server"))?.is_some();
            if ended || Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                return Err(Error::NotUp { log: "moto_server does not answer".to_owned() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(io_error("a runtime"))?;
        // It is on loopback, whatever proxies the caller's environment names.
        let direct = aws_smithy_http_client::Builder::new().build_with_connector_fn(|_, _| {
            Connector::builder().proxy_config(ProxyConfig::disabled()).build_http()
        });
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(direct)
            .region(Region::new(REGION))
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test kit"))
            .build();
        Ok(Self { process, port, runtime, client: Client::from_conf(config) })
    }

    /// What a program needs in its environment to be sent here.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&format!("http://127.0.0.1:{}", self.port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Stores a secret, or a new version of it.
    ///
    /// # Errors
    /// What the service says.
    pub fn put(&self, id: &str, text: &str) -> Result<(), Error> {
        let created = self.client.create_secret().name(id).secret_string(text);
        if self.runtime.block_on(created.send()).is_ok() {
            return Ok(());
        }
        let version = self.client.put_secret_value().secret_id(id).secret_string(text);
        self.runtime.block_on(version.send()).map(drop).map_err(said)
    }

    /// Stores a version that waits to become the current one.
    ///
    /// # Errors
    /// What the service says.
    pub fn put_pending(&self, id: &str, text: &str) -> Result<(), Error> {
        let version = self.client.put_secret_value().secret_id(id).secret_string(text);
        let pending = version.version_stages("AWSPENDING");
        self.runtime.block_on(pending.send()).map(drop).map_err(said)
    }

    /// Makes a secret that has no value yet.
    ///
    /// # Errors
    /// What the service says.
    pub fn put_nothing(&self, id: &str) -> Result<(), Error> {
        let created = self.client.create_secret().name(id);
        self.runtime.block_on(created.send()).map(drop).map_err(said)
    }

    /// The id of a secret's current version.
    ///
    /// # Errors
    /// What the service says.
    pub fn version(&self, id: &str) -> Result<String, Error> {
        let value = self.client.get_secret_value().secret_id(id);
        let value = self.runtime.block_on(value.send()).map_err(said)?;
        Ok(value.version_id().unwrap_or_default().to_owned())
    }

    /// The current text of a secret.
    ///
    /// # Errors
    /// What the service says.
    pub fn get(&self, id: &str) -> Result<String, Error> {
        let value = self.client.get_secret_value().secret_id(id);
        let value = self.runtime.block_on(value.send()).map_err(said)?;
        Ok(value.secret_string().unwrap_or_default().to_owned())
    }

    /// The id and the text of the version of a secret that has a stage; none where none has.
    ///
    /// # Errors
    /// What the service says.
    pub fn at_stage(&self, id: &str, stage: &str) -> Result<Option<(String, String)>, Error> {
        let described = self.client.describe_secret().secret_id(id);
        let described = self.runtime.block_on(described.send()).map_err(said)?;
        let stages = described.version_ids_to_stages().into_iter().flatten();
        let mut with_stage = stages.filter(|(_, stages)| stages.iter().any(|one| one == stage));
        let Some((version, _)) = with_stage.next() else { return Ok(None) };
        let value = self.client.get_secret_value().secret_id(id).version_id(version);
        let value = self.runtime.block_on(value.send()).map_err(said)?;
        Ok(Some((version.clone(), value.secret_string().unwrap_or_default().to_owned())))
    }

    /// Stores a secret that is binary.
    ///
    /// # Errors
    /// What the service says.
    pub fn put_binary(&self, id: &str, bytes: &[u8]) -> Result<(), Error> {
        let created = self.client.create_secret().name(id).secret_binary(Blob::new(bytes));
        self.runtime.block_on(created.send()).map(drop).map_err(said)
    }

    /// Schedules a secret for deletion.
    ///
    /// # Errors
    /// What the service says.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        let deleted = self.client.delete_secret().secret_id(id);
        self.runtime.block_on(deleted.send()).map(drop).map_err(said)
    }
}

/// What a program needs in its environment to be sent to an endpoint instead of to AWS.
#[must_use]
pub fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

fn said(error: impl std::error::Error) -> Error {
    let mut output = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        output = format!("{output}: {cause}");
        source = cause.source();
    }
    Error::Program { program: "moto_server".to_owned(), output }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
