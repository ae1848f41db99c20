//! Runs moto's server on loopback, which implements the API of AWS Secrets Manager.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use ureq::Agent;

use crate::packages::install_python_packages;
use crate::{Error, cache, io_error, scrub_environment};

/// The lock file of moto and its dependencies.
const PACKAGES: &str = include_str!("../../../locks/python/moto.txt");
pub(crate) const REGION: &str = "eu-west-2";

/// A running Secrets Manager. Dropping it stops the process.
pub struct SecretsManager {
    process: Child,
    port: u16,
    agent: Agent,
}

/// The Python program that starts moto's server.
const SERVER: &str = include_str!("moto.py");

/// Returns the signature of a request to a service. moto reads the region and the service from it, and
/// does not verify it.
pub(crate) fn signature(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}

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
        // The server is on loopback, so that proxies in the caller's environment must not be used.
        let direct = Agent::config_builder().proxy(None).http_status_as_error(false).build();
        Ok(Self { process, port, agent: direct.into() })
    }

    /// Calls an operation of the API of Secrets Manager, and returns the response.
    fn call(&self, operation: &str, request: &Value) -> Result<Value, Error> {
        let failed =
            |output| Error::Program { program: format!("moto_server {operation}"), output };
        let mut response = self
            .agent
            .post(format!("http://127.0.0.1:{}/", self.port))
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("X-Amz-Target", format!("secretsmanager.{operation}"))
            .header("Authorization", signature("secretsmanager"))
            .send(request.to_string())
            .map_err(|error| failed(error.to_string()))?;
        let body = response.body_mut().read_to_string();
        let body = body.map_err(|error| failed(error.to_string()))?;
        if !response.status().is_success() {
            return Err(failed(body));
        }
        serde_json::from_str(&body).map_err(|error| failed(format!("{error}: {body}")))
    }

    fn value(&self, request: &Value) -> Result<(String, String), Error> {
        let response = self.call("GetSecretValue", request)?;
        let text = |key: &str| response[key].as_str().unwrap_or_default().to_owned();
        Ok((text("VersionId"), text("SecretString")))
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
        if self.call("CreateSecret", &json!({"Name": id, "SecretString": text})).is_ok() {
            return Ok(());
        }
        self.call("PutSecretValue", &json!({"SecretId": id, "SecretString": text})).map(drop)
    }

    /// Returns the response of `DescribeSecret`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn describe(&self, id: &str) -> Result<Value, Error> {
        self.call("DescribeSecret", &json!({"SecretId": id}))
    }

    /// Adds a version with the stage `AWSPENDING`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put_pending(&self, id: &str, text: &str) -> Result<(), Error> {
        let version =
            json!({"SecretId": id, "SecretString": text, "VersionStages": ["AWSPENDING"]});
        self.call("PutSecretValue", &version).map(drop)
    }

    /// Enables automatic rotation, and starts one: adds an empty version with the stage `AWSPENDING`.
    /// No function is invoked.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn start_rotation(&self, id: &str, version: &str) -> Result<(), Error> {
        let request = json!({"SecretId": id, "ClientRequestToken": version});
        self.call("RotateSecret", &request).map(drop)
    }

    /// Creates a secret without a value.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put_without_value(&self, id: &str) -> Result<(), Error> {
        self.call("CreateSecret", &json!({"Name": id})).map(drop)
    }

    /// Returns the id of the version that has the stage `AWSCURRENT`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn version(&self, id: &str) -> Result<String, Error> {
        self.value(&json!({"SecretId": id})).map(|(version, _)| version)
    }

    /// Returns the text of the version that has the stage `AWSCURRENT`.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn get(&self, id: &str) -> Result<String, Error> {
        self.value(&json!({"SecretId": id})).map(|(_, text)| text)
    }

    /// Returns the id and text of the version that has `stage`, or `None` if no version has it.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn at_stage(&self, id: &str, stage: &str) -> Result<Option<(String, String)>, Error> {
        let described = self.describe(id)?;
        let mut versions = described["VersionIdsToStages"].as_object().into_iter().flatten();
        let has_stage = |stages: &Value| {
            stages.as_array().is_some_and(|stages| stages.iter().any(|one| one == stage))
        };
        let Some((version, _)) = versions.find(|(_, stages)| has_stage(stages)) else {
            return Ok(None);
        };
        self.value(&json!({"SecretId": id, "VersionId": version})).map(Some)
    }

    /// Creates a secret with a binary value.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put_binary(&self, id: &str, bytes: &[u8]) -> Result<(), Error> {
        let binary = BASE64_STANDARD.encode(bytes);
        self.call("CreateSecret", &json!({"Name": id, "SecretBinary": binary})).map(drop)
    }

    /// Schedules the deletion of a secret.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.call("DeleteSecret", &json!({"SecretId": id})).map(drop)
    }
}

/// The access key id in [`environment`], which no output may contain.
pub const ACCESS_KEY_ID: &str = "AKIARDSPROVCANARYKEY";

/// Returns the environment variables that direct a program to `endpoint` instead of AWS.
#[must_use]
pub fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
