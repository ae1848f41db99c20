//! Creates secrets that do not exist yet, in the source of the other secrets.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Secret, SecretError, SecretSource, files};

/// The JSON text of a new secret, with the keys that Amazon RDS uses in its own secrets.
#[derive(Serialize)]
struct SecretDocument<'a> {
    engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dbname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    password: &'a str,
}

impl Secret {
    /// Returns the JSON text of the secret.
    ///
    /// The buffer has its full capacity from the start: a buffer that grows leaves unwiped copies
    /// of the password in memory.
    fn to_json(&self) -> Result<Zeroizing<String>, SecretError> {
        let document = SecretDocument {
            engine: "postgres",
            host: self.host.as_deref(),
            username: self.username.as_deref(),
            dbname: self.dbname.as_deref(),
            port: self.port,
            password: self.password.expose(),
        };
        let texts = [document.host, document.username, document.dbname, Some(document.password)];
        // JSON escapes a byte with six characters at most (`\u001f`).
        let capacity = 200 + 6 * texts.into_iter().flatten().map(str::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(capacity);
        let ended = serde_json::to_writer(&mut bytes, &document);
        let text = String::from_utf8(bytes).map(Zeroizing::new);
        match (ended, text) {
            (Ok(()), Ok(text)) => Ok(text),
            (Err(error), _) => Err(SecretError::not_created(&self.id, &error.to_string())),
            (_, Err(error)) => {
                Err(SecretError::not_created(&self.id, &error.utf8_error().to_string()))
            }
        }
    }
}

impl SecretSource {
    /// Creates a secret that does not exist yet.
    ///
    /// # Errors
    /// Returns an error if the source cannot create it, or already contains it.
    pub async fn create(&self, secret: &Secret) -> Result<(), SecretError> {
        match self {
            Self::Files(directory) => files::create(directory, &secret.id, &secret.to_json()?),
            Self::Aws(manager) => manager.create(&secret.id, &secret.to_json()?).await,
            Self::Own(_) => Err(SecretError::not_created(
                &secret.id,
                "the secret provider of the embedding program cannot create secrets",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_id::SecretId;
    use crate::secrets::Password;

    #[test]
    fn created_secrets_can_be_parsed() {
        let id = SecretId("rds/admin".to_owned());
        let secret = Secret {
            id: id.clone(),
            version: None,
            password: Password::new("q\"uoted \\ and ü".to_owned()).unwrap(),
            username: Some("a \"b\"".to_owned()),
            host: Some("db.example".to_owned()),
            port: Some(5433),
            connect_to: None,
            dbname: Some("postgres".to_owned()),
            master_secret: None,
        };
        let read = Secret::parse(&id, &secret.to_json().unwrap()).unwrap();
        assert!(read.password.is_same(&secret.password));
        assert_eq!(
            (read.username, read.host, read.port, read.dbname),
            (secret.username, secret.host, secret.port, secret.dbname)
        );
    }
}
