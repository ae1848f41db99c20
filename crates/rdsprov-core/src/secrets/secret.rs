//! The content of a secret.

use super::password::Password;
use crate::config::ConnectTo;
use crate::secret_id::SecretId;

/// The content of a secret, as far as rdsprov uses it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Secret {
    /// The id with which the secret was fetched.
    pub id: SecretId,
    /// The version id, if the source has versions.
    pub version: Option<String>,
    /// The value of `password`, the only required key.
    pub password: Password,
    /// The name of the role that has the password.
    pub username: Option<String>,
    /// The host of the server, without a port.
    pub host: Option<String>,
    /// The port of the server, from `port` or from `host`.
    pub port: Option<u16>,
    /// The address to which connections go instead of the host.
    pub connect_to: Option<ConnectTo>,
    /// The name of the database to connect to.
    pub dbname: Option<String>,
    /// The value of `masterarn`: the secret with which Secrets Manager rotates this one by alternating
    /// between two roles. `None` for any other rotation.
    pub master_secret: Option<String>,
}
