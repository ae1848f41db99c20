//! Parses the JSON text of a secret.
//!
//! An error contains no part of the text. The parsed strings are wiped from memory, whether
//! parsing succeeds or not.

use std::fmt;
use std::net::Ipv6Addr;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::{Password, Secret, SecretError};
use crate::name::MAX_BYTES;
use crate::secret_id::SecretId;
use crate::text::is_hidden;

const KEYS: [&str; 8] =
    ["password", "username", "host", "port", "connect_to", "dbname", "engine", "masterarn"];

/// Returns whether a text can be a host name or an address, so that messages can contain it: not
/// longer than a name in the DNS, and without other characters. A connection URI can contain a password.
pub(super) fn is_host(text: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || ".-_".contains(c);
    let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let (address, zone) = address.split_once('%').unwrap_or((address, ""));
    text.len() <= 253
        && !text.contains(is_hidden)
        && (text.chars().all(is_of_name)
            || address.parse::<Ipv6Addr>().is_ok() && zone.chars().all(is_of_name))
}

/// The value of a known key, without the content of types that no key accepts.
enum Field {
    Null,
    Text(Zeroizing<String>),
    /// `None` stands for a number that is negative or not an integer.
    Number(Option<u64>),
    Other,
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(Field::Number(Some(number)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
        Ok(Field::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Number(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

/// The values of the known keys, and the first known key that occurs twice.
#[derive(Default)]
struct Fields {
    values: [Option<Field>; KEYS.len()],
    duplicate: Option<&'static str>,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<String>()? {
            let Some(at) = KEYS.iter().position(|known| *known == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if fields.values[at].replace(map.next_value()?).is_some() {
                fields.duplicate.get_or_insert(KEYS[at]);
            }
        }
        Ok(fields)
    }
}

impl Secret {
    /// The keys that are read. Others are ignored, whatever their values are.
    pub const KEYS: [&str; 8] = KEYS;

    /// Parses the text of a secret.
    ///
    /// # Errors
    /// Returns an error if the text is not a JSON object with a usable `password`, or if another
    /// known key is invalid. The error contains no part of the text.
    ///
    /// ```
    /// use rdsprov_core::secrets::Secret;
    /// use rdsprov_core::secret_id::SecretId;
    /// let id = SecretId("goldenpath/dev/shop/postgres".to_owned());
    /// let text = r#"{"password": "s3cr3t-enough", "host": "db.example.com:5433"}"#;
    /// let secret = Secret::parse(&id, text).unwrap();
    /// assert_eq!((secret.host.as_deref(), secret.port), (Some("db.example.com"), Some(5433)));
    /// ```
    pub fn parse(id: &SecretId, text: &str) -> Result<Self, SecretError> {
        let id = id.clone();
        // Some Windows editors write a byte order mark.
        let json = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = serde_json::Deserializer::from_str(json);
        let fields = reader
            .deserialize_map(FieldsVisitor)
            .and_then(|fields| reader.end().map(|()| fields))
            .map_err(|error| match error.classify() {
                serde_json::error::Category::Data => SecretError::NotAnObject { id: id.clone() },
                _ => SecretError::NotJson {
                    id: id.clone(),
                    line: error.line(),
                    column: error.column(),
                },
            })?;
        if let Some(key) = fields.duplicate {
            return Err(SecretError::DuplicateKey { id, key });
        }
        let [password, username, host, port, connect_to, dbname, engine, master] = fields.values;
        let wiped_text = |key: &'static str, value: Option<Field>| match value {
            None | Some(Field::Null) => Ok(None),
            Some(Field::Text(text)) => Ok(Some(text)),
            Some(_) => Err(SecretError::WrongType { id: id.clone(), key, wanted: "a string" }),
        };
        let plain_text =
            |key, value| wiped_text(key, value).map(|text| text.map(|text| String::clone(&text)));
        let wrong_port =
            || SecretError::WrongType { id: id.clone(), key: "port", wanted: "a port number" };
        let mut port = match port {
            None | Some(Field::Null) => None,
            Some(Field::Number(number)) => {
                Some(number.and_then(|n| u16::try_from(n).ok()).ok_or_else(wrong_port)?)
            }
            Some(Field::Text(text)) => Some(text.trim().parse().map_err(|_| wrong_port())?),
            Some(_) => return Err(wrong_port()),
        };
        if port == Some(0) {
            return Err(wrong_port());
        }
        let mut host = plain_text("host", host)?;
        if let Some((name, number)) = host.as_deref().and_then(|text| text.split_once(':'))
            && let Ok(number) = number.parse()
        {
            if let Some(port) = port.filter(|port| *port != number) {
                return Err(SecretError::TwoPorts { id, in_host: number, port });
            }
            port = Some(number);
            host = Some(name.to_owned());
        }
        if let Some(engine) = plain_text("engine", engine)?
            && !["postgres", "postgresql", "aurora-postgresql"]
                .contains(&engine.to_ascii_lowercase().as_str())
        {
            return Err(SecretError::WrongEngine { id });
        }
        let wrong_address =
            |_| SecretError::WrongType { id: id.clone(), key: "connect_to", wanted: "an address" };
        let connect_to = plain_text("connect_to", connect_to)?
            .map(|text| text.parse().map_err(wrong_address))
            .transpose()?;
        if host.as_deref().is_some_and(|host| !is_host(host)) {
            return Err(SecretError::WrongType { id, key: "host", wanted: "a host name" });
        }
        let name = |key, value| {
            let text = plain_text(key, value)?;
            match &text {
                Some(name) if name.len() > MAX_BYTES || name.contains(char::is_control) => {
                    let wanted = "a name of at most 63 bytes without control characters";
                    Err(SecretError::WrongType { id: id.clone(), key, wanted })
                }
                _ => Ok(text),
            }
        };
        let username = name("username", username)?;
        let dbname = name("dbname", dbname)?;
        let master_secret = plain_text("masterarn", master)?.filter(|arn| !arn.is_empty());
        let mut password = wiped_text("password", password)?
            .ok_or_else(|| SecretError::NoPassword { id: id.clone() })?;
        let password = Password::new(std::mem::take(&mut *password))
            .map_err(|problem| SecretError::BadPassword { id: id.clone(), problem })?;
        Ok(Self {
            id,
            version: None,
            password,
            username,
            host,
            port,
            connect_to,
            dbname,
            master_secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_contain_no_part_of_the_text() {
        const CANARY: &str = "canary-7f3a91";
        let id = SecretId("a/b".to_owned());
        for text in [
            CANARY.to_owned(),
            format!("\"{CANARY}\""),
            format!("[\"{CANARY}\"]"),
            format!("{{\"password\": \"{CANARY}"),
            format!("{{\"password\": \"{CANARY}\", \"password\": \"{CANARY}\"}}"),
            format!("{{\"password\": [\"{CANARY}\"]}}"),
            format!("{{\"password\": \"{CANARY}\\n\"}}"),
            format!("{{\"password\": \"{CANARY}\\u0000\"}}"),
            format!("{{\"password\": \"x\", \"port\": \"{CANARY}\"}}"),
            format!("{{\"password\": \"x\", \"connect_to\": \"{CANARY} 1\"}}"),
            format!("{{\"password\": \"x\", \"engine\": \"{CANARY}\"}}"),
            format!("{{\"password\": \"x\", \"masterarn\": [\"{CANARY}\"]}}"),
            format!("{{\"password\": \"{CANARY}\", \"port\": 0}}"),
            format!("{{\"password\": \"{CANARY}\", \"port\": 1, \"host\": \"h:2\"}}"),
            format!("{{\"passwort\": \"{CANARY}\"}}"),
            format!("{{\"password\": \"{CANARY}\", \"host\": \"{CANARY} x\"}}"),
            format!("{{\"password\": \"{CANARY}\", \"host\": \"postgres://a:{CANARY}@h:5432/d\"}}"),
            format!("{{\"password\": \"{CANARY}\", \"host\": \"a:{CANARY}@h\"}}"),
            format!("{{\"password\": \"{CANARY}\", \"host\": \"h?password={CANARY}\"}}"),
            format!("{{\"password\": \"{CANARY}\", \"host\": \"{CANARY}\\u202e\"}}"),
            format!("{{\"password\": \"{CANARY}\", \"host\": \"{}\"}}", CANARY.repeat(20)),
            format!("{{\"password\": \"{CANARY}\", \"username\": \"{}\"}}", CANARY.repeat(5)),
            format!("{{\"password\": \"{CANARY}\", \"dbname\": \"{CANARY}\\n\"}}"),
            format!("{{\"password\": \"{CANARY}\"}} x"),
        ] {
            let error = Secret::parse(&id, &text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
        }
        let good = Secret::parse(
            &id,
            &format!(
                "\u{feff}{{\"password\": \"{CANARY}\", \"port\": \"5433\", \"host\": \"h:5433\"}}"
            ),
        );
        let good = good.unwrap();
        assert!(!format!("{good:?}").contains(CANARY));
        assert_eq!((good.host.as_deref(), good.port), (Some("h"), Some(5433)));
    }

    #[test]
    fn placeholders_are_rejected() {
        let id = SecretId("a/b".to_owned());
        for text in [
            "",
            "  ",
            "PLACEHOLDER",
            "PLACEHOLDER_PASSWORD",
            "ChangeMe",
            "CHANGEME ",
            "changeme123",
            "<to be set>",
            "${db_password}",
            "{{password}}",
        ] {
            let error = Secret::parse(&id, &format!("{{\"password\": \"{text}\"}}")).unwrap_err();
            assert!(matches!(error, SecretError::BadPassword { .. }), "{error:?}");
        }
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        for host in [
            "db-1.example.com.",
            "db_1",
            "10.0.0.5",
            "::1",
            "[::1]",
            "fe80::1%eth0",
            "bücher.example",
        ] {
            assert!(is_host(host), "{host}");
        }
        for other in ["a b", "a:b", "u:p@h", "u@h", "h/d", "h?p=q", "::1%a@b", "[::1", "x\u{202e}"]
        {
            assert!(!is_host(other), "{other}");
        }
    }
}
