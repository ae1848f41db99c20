//! Secrets that are not there yet: made with a new password, and kept where the others are.

use zeroize::Zeroizing;

use super::{Secret, SecretError, SecretId, SecretSource, files};

impl Secret {
    /// As RDS writes its own: what it takes to log in, and the password.
    pub(crate) fn to_json(&self) -> Zeroizing<String> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = Zeroizing::new(String::from(r#"{"engine":"postgres""#));
        for (key, value) in
            [("host", &self.host), ("username", &self.username), ("dbname", &self.dbname)]
        {
            if let Some(value) = value {
                text.push_str(&format!(r#","{key}":{}"#, quoted(value)));
            }
        }
        if let Some(port) = self.port {
            text.push_str(&format!(r#","port":{port}"#));
        }
        text.push_str(r#","password":"#);
        text.push_str(&Zeroizing::new(quoted(self.password.expose())));
        text.push('}');
        text
    }
}

impl SecretSource {
    /// Makes a secret that is not there.
    ///
    /// # Errors
    /// Where it cannot be made, or somebody else has made it meanwhile.
    pub async fn create(&self, secret: &Secret) -> Result<(), SecretError> {
        match self {
            Self::Files(directory) => files::create(directory, &secret.id, &secret.to_json()),
            #[cfg(feature = "aws")]
            Self::Aws(manager) => manager.create(&secret.id, &secret.to_json()).await,
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
        let read = Secret::parse(&id, &secret.to_json()).unwrap();
        assert!(read.password.is_same(&secret.password));
        assert_eq!(
            (read.username, read.host, read.port, read.dbname),
            (secret.username, secret.host, secret.port, secret.dbname)
        );
    }
}
