//! Secrets that are not there yet: made with a new password, and kept where the others are.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Secret, SecretError, SecretId, SecretSource, files};

/// What it takes to log in, as RDS writes its own secrets.
#[derive(Serialize)]
struct Written<'a> {
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
    /// Its text, and room enough for it from the start: what grows leaves a copy behind.
    fn to_json(&self) -> Result<Zeroizing<String>, SecretError> {
        let written = Written {
            engine: "postgres",
            host: self.host.as_deref(),
            username: self.username.as_deref(),
            dbname: self.dbname.as_deref(),
            port: self.port,
            password: self.password.expose(),
        };
        let texts = [written.host, written.username, written.dbname, Some(written.password)];
        // A character becomes six at most.
        let room = 200 + 6 * texts.into_iter().flatten().map(str::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(room);
        let ended = serde_json::to_writer(&mut bytes, &written);
        let text = String::from_utf8(bytes).map(Zeroizing::new);
        match (ended, text) {
            (Ok(()), Ok(text)) => Ok(text),
            (Err(error), _) => Err(cannot(&self.id, &error.to_string())),
            (_, Err(error)) => Err(cannot(&self.id, &error.utf8_error().to_string())),
        }
    }
}

impl SecretSource {
    /// Makes a secret that is not there.
    ///
    /// # Errors
    /// Where it cannot be made, or somebody else has made it meanwhile.
    pub async fn create(&self, secret: &Secret) -> Result<(), SecretError> {
        match self {
            Self::Files(directory) => files::create(directory, &secret.id, &secret.to_json()?),
            #[cfg(feature = "aws")]
            Self::Aws(manager) => manager.create(&secret.id, &secret.to_json()?).await,
            Self::Own(_) => Err(cannot(&secret.id, "the program that gives secrets takes none")),
        }
    }
}

pub(super) fn cannot(id: &SecretId, reason: &str) -> SecretError {
    SecretError::NotMade { id: id.clone(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Password;

    #[test]
    fn what_is_written_is_what_is_read() {
        let id = SecretId("rds/admin".to_owned());
        let secret = Secret {
            id: id.clone(),
            version: None,
            password: Password::new("q\"uoted \\ and ü".to_owned()).unwrap(),
            username: Some("a \"b\"".to_owned()),
            host: Some("db.example".to_owned()),
            port: Some(5433),
            dbname: Some("postgres".to_owned()),
        };
        let read = Secret::parse(&id, &secret.to_json().unwrap()).unwrap();
        assert!(read.password.is_same(&secret.password));
        assert_eq!(
            (read.username, read.host, read.port, read.dbname),
            (secret.username, secret.host, secret.port, secret.dbname)
        );
    }
}
