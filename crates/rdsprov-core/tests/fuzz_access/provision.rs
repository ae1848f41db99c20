//! Opens the product for the definitions of a case, with their secrets in files.

use std::path::Path;

use rdsprov_core::config::{Passwords, TlsSettings};
use rdsprov_core::definitions::Definitions;
use rdsprov_core::desired::Desired;
use rdsprov_core::operations::{AdminCredentials, ConnectionOverrides, Provisioner};
use rdsprov_core::secret_id::{SecretId, Templates};
use rdsprov_core::secrets::SecretSource;
use rdsprov_core::server::Tls;
use rdsprov_testkit::Server;

use crate::declared::Declared;

/// Returns the password in the secret of a role.
pub fn password(role: &str) -> String {
    format!("of {role}")
}

/// Connects to a server as its administrator.
pub async fn open(
    server: &Server,
    definitions: &Definitions,
    secrets: &Path,
    may_change_owners: bool,
) -> Result<Provisioner, String> {
    let desired = Desired::new(definitions, "dev", &Templates::default(), None);
    let mut desired = desired.map_err(|error| error.to_string())?;
    desired.may_change_owners = may_change_owners;
    let tls = Tls::new(&TlsSettings::trusting(server.ca_file()));
    let source = SecretSource::Files(secrets.to_owned());
    Provisioner::open(
        desired,
        &source,
        AdminCredentials::Secret(SecretId("admin".to_owned())),
        ConnectionOverrides::default(),
        tls.map_err(|error| error.to_string())?,
        &Passwords::default(),
    )
    .await
    .map_err(|error| error.to_string())
}

/// Writes the secret of the administrator, and that of each application.
pub fn write_secrets(
    declared: &Declared,
    secrets: &Path,
    administrator: &str,
) -> std::io::Result<()> {
    std::fs::write(secrets.join("admin.json"), administrator)?;
    for app in &declared.applications {
        let folder = secrets.join("goldenpath/dev").join(&app.key);
        std::fs::create_dir_all(&folder)?;
        let secret = serde_json::json!({"password": password(&app.user)}).to_string();
        std::fs::write(folder.join("postgres.json"), &secret)?;
        if app.secret {
            let path = secrets.join(format!("{}.json", app.own_secret()));
            std::fs::create_dir_all(secrets.join("teams"))?;
            std::fs::write(path, secret)?;
        }
    }
    Ok(())
}
