//! Runs moto's server on loopback, which implements the API of AWS Secrets Manager.

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
use crate::{Error, cache, io_error, scrub_environment};

/// The lock file of moto and its dependencies.
const PACKAGES: &str = include_str!("../../../locks/python/moto.txt");
const REGION: &str = "eu-west-2";

/// A running Secrets Manager. Dropping it stops the process.
pub struct SecretsManager {
    process: Child,
    port: u16,
    runtime: Runtime,
    client: Client,
}

/// The Python program that starts moto's server.
const SERVER: &str = include_str!("moto.py");

/// Returns the Python interpreter of the virtual environment that contains moto.
fn find() -> Result<PathBuf, Error> {
    let (cache, _lock) = cache()?;
    let home = cache.join("moto");
    install_python_packages("python3", &home, PACKAGES)?;
    Ok(home.join("bin/python"))
}

impl SecretsManager {
    /// Starts a Secrets Manager without secrets.
    ///
    /// # Errors
    /// Fails if moto cannot be installed or does not start.
    pub fn start() -> Result<Self, Error> {
        let program = find()?;
        let free = TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let port = free.local_addr().map_err(io_error("cannot find a free port"))?.port();
        drop(free);
        let mut process = scrub_environment(&mut Command::new("setpriv"))
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(["-c", SERVER])
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_error("cannot start moto_server"))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended =
                process.try_wait().map_err(io_error("cannot wait for moto_server"))?.is_some();
            if ended || Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                return Err(Error::NotStarted {
                    log: "moto_server does not accept connections".to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(io_error("cannot start a runtime"))?;
        // The server is on loopback, so that proxies in the caller's environment must not be used.
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

    /// Returns the environment variables that direct a program to this Secrets Manager.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&format!("http://127.0.0.1:{}", self.port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Creates a secret, or adds a version to it that becomes `AWSCURRENT`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put(&self, id: &str, text: &str) -> Result<(), Error> {
        let created = self.client.create_secret().name(id).secret_string(text);
        if self.runtime.block_on(created.send()).is_ok() {
            return Ok(());
        }
        let version = self.client.put_secret_value().secret_id(id).secret_string(text);
        self.runtime.block_on(version.send()).map(drop).map_err(service_error)
    }

    /// Adds a version with the stage `AWSPENDING`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put_pending(&self, id: &str, text: &str) -> Result<(), Error> {
        let version = self.client.put_secret_value().secret_id(id).secret_string(text);
        let pending = version.version_stages("AWSPENDING");
        self.runtime.block_on(pending.send()).map(drop).map_err(service_error)
    }

    /// Creates a secret without a value.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put_without_value(&self, id: &str) -> Result<(), Error> {
        let created = self.client.create_secret().name(id);
        self.runtime.block_on(created.send()).map(drop).map_err(service_error)
    }

    /// Returns the id of the version that has the stage `AWSCURRENT`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn version(&self, id: &str) -> Result<String, Error> {
        let value = self.client.get_secret_value().secret_id(id);
        let value = self.runtime.block_on(value.send()).map_err(service_error)?;
        Ok(value.version_id().unwrap_or_default().to_owned())
    }

    /// Returns the text of the version that has the stage `AWSCURRENT`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn get(&self, id: &str) -> Result<String, Error> {
        let value = self.client.get_secret_value().secret_id(id);
        let value = self.runtime.block_on(value.send()).map_err(service_error)?;
        Ok(value.secret_string().unwrap_or_default().to_owned())
    }

    /// Returns the id and text of the version that has `stage`, or `None` if no version has it.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn at_stage(&self, id: &str, stage: &str) -> Result<Option<(String, String)>, Error> {
        let described = self.client.describe_secret().secret_id(id);
        let described = self.runtime.block_on(described.send()).map_err(service_error)?;
        let stages = described.version_ids_to_stages().into_iter().flatten();
        let mut with_stage = stages.filter(|(_, stages)| stages.iter().any(|one| one == stage));
        let Some((version, _)) = with_stage.next() else { return Ok(None) };
        let value = self.client.get_secret_value().secret_id(id).version_id(version);
        let value = self.runtime.block_on(value.send()).map_err(service_error)?;
        Ok(Some((version.clone(), value.secret_string().unwrap_or_default().to_owned())))
    }

    /// Creates a secret with a binary value.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put_binary(&self, id: &str, bytes: &[u8]) -> Result<(), Error> {
        let created = self.client.create_secret().name(id).secret_binary(Blob::new(bytes));
        self.runtime.block_on(created.send()).map(drop).map_err(service_error)
    }

    /// Schedules the deletion of a secret.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        let deleted = self.client.delete_secret().secret_id(id);
        self.runtime.block_on(deleted.send()).map(drop).map_err(service_error)
    }
}

/// Returns the environment variables that direct a program to `endpoint` instead of AWS.
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

fn service_error(error: impl std::error::Error) -> Error {
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
