//! The events that the function accepts. Each unknown or repeated key is an error.

use std::fmt::{self, Display};
use std::str::FromStr;

use rdsprov_core::audit_table::AuditTableName;
use rdsprov_core::config::{
    ConnectTimeout, ConnectTo, LockTimeout, MaxConnections, StatementTimeout, TlsMode,
    VerifyPasswords,
};
use rdsprov_core::definitions::{Mode as DefinitionsMode, Syntax};
use rdsprov_core::fleet::OF_AN_INSTANCE;
use rdsprov_core::hint::Opt;
use rdsprov_core::operations::RotationStep;
use rdsprov_core::plan::Hazard;
use rdsprov_core::secret_id::Stage;
use rdsprov_core::secrets::{ObjectPrefix, ObjectUri};
use rdsprov_core::text::without_middle;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::wording::key;

/// An event, or the reason why it is invalid.
///
/// Reading an event does not fail, so that the function reports an invalid one as any other error.
#[derive(Debug)]
pub struct Event(pub(crate) Result<Request, String>);

impl Event {
    /// Returns whether the event is valid.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.is_ok()
    }
}

/// What an event requests.
#[derive(Debug)]
pub enum Request {
    /// An operation of the command.
    Provision(Box<ProvisionEvent>),
    /// A step of a rotation.
    Rotation(RotationEvent),
}

/// The event with which Secrets Manager requests one step of a rotation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are those of Secrets Manager")]
pub struct RotationEvent {
    pub step: RotationStep,
    pub secret_id: String,
    pub client_request_token: String,
}

/// An operation of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Makes a plan.
    Plan,
    /// Applies the definitions.
    Apply,
    /// Compares the server with the definitions.
    Check,
    /// Reports the privileges of roles.
    Access,
}

/// How the result contains a plan or an access report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As a JSON object.
    #[default]
    Json,
    /// As text for people.
    Text,
    /// As Markdown.
    Markdown,
    /// Not at all: only its digest and its counts.
    None,
}

/// How the function reports an operation that has failed or was refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// As a function error.
    #[default]
    Raise,
    /// As a result, whose `exit_code` the caller checks.
    Return,
}

/// How the administrator authenticates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say what each is")]
pub enum AdminAuth {
    #[default]
    Password,
    Iam,
}

/// The definitions or the fleet file of an event.
#[derive(Debug, Clone)]
pub enum FileSource {
    /// An object of S3.
    Object(ObjectUri),
    /// A file in the package of the function.
    File(String),
    /// The content itself, as JSON.
    Inline(Map<String, Value>),
    /// The text of a file.
    Text {
        /// The text.
        text: String,
        /// Its syntax.
        syntax: Syntax,
    },
}

/// The event of an operation of the command. The keys mean what the options of the command mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "`docs/guides/lambda.md` describes the keys")]
pub struct ProvisionEvent {
    pub mode: Mode,
    pub definitions: Option<FileSource>,
    pub fleet: Option<FileSource>,
    pub instance: Option<String>,
    #[serde(default, deserialize_with = "parsed_option")]
    pub definitions_mode: Option<DefinitionsMode>,
    pub environment: Option<String>,
    #[serde(default)]
    pub adopt: Vec<String>,
    pub adopt_from: Option<String>,
    #[serde(default)]
    pub only: Vec<String>,
    #[serde(default)]
    pub additive: bool,
    pub approval: Option<String>,
    #[serde(default, deserialize_with = "parsed_list")]
    pub allow: Vec<Hazard>,
    pub build_id: Option<String>,
    pub run_id: Option<String>,
    pub actor: Option<String>,
    pub approver: Option<String>,
    pub request_id: Option<String>,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub keep_going: bool,
    #[serde(default, deserialize_with = "parsed_option")]
    pub lock_timeout: Option<LockTimeout>,
    pub database: Option<String>,
    pub role: Option<String>,
    pub admin_secret: Option<String>,
    #[serde(default)]
    pub admin_auth: AdminAuth,
    pub admin_user: Option<String>,
    #[serde(default, deserialize_with = "stage")]
    pub secret_stage: Option<Stage>,
    pub region: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub dbname: Option<String>,
    #[serde(default, deserialize_with = "parsed_option")]
    pub connect_to: Option<ConnectTo>,
    #[serde(default, deserialize_with = "parsed_option")]
    pub connect_timeout: Option<ConnectTimeout>,
    #[serde(default, deserialize_with = "parsed_option")]
    pub statement_timeout: Option<StatementTimeout>,
    pub max_connections: Option<MaxConnections>,
    pub tls: Option<TlsMode>,
    pub verify_passwords: Option<VerifyPasswords>,
    #[serde(default)]
    pub format: Format,
    #[serde(default, deserialize_with = "parsed_option")]
    pub records: Option<ObjectPrefix>,
    pub audit_table: Option<AuditTableName>,
    #[serde(default)]
    pub on_error: OnError,
    /// The seconds before the deadline of the invocation at which the run is stopped.
    #[serde(default = "default_reserve")]
    pub reserve_seconds: u32,
}

/// A transaction that is being committed can take 15 seconds more, and the records are written then.
fn default_reserve() -> u32 {
    20
}

impl ProvisionEvent {
    /// Checks that keys are given to the modes that use them only.
    fn check(&self) -> Result<(), String> {
        let is_given = |mode: Mode, keys: [(&'static str, bool); 2]| {
            let given = keys.into_iter().find(|(_, is_given)| *is_given);
            given.filter(|_| self.mode != mode)
        };
        let of_access = [("database", self.database.is_some()), ("role", self.role.is_some())];
        if let Some((key, _)) = is_given(Mode::Access, of_access) {
            return Err(format!("`{key}` requires the mode `access`"));
        }
        let of_apply = [("records", self.records.is_some()), ("dry_run", self.dry_run)];
        if let Some((key, _)) = is_given(Mode::Apply, of_apply) {
            return Err(format!("`{key}` requires the mode `apply`"));
        }
        if self.additive && !matches!(self.mode, Mode::Plan | Mode::Apply) {
            return Err("`additive` requires the mode `plan` or `apply`".to_owned());
        }
        match (&self.fleet, &self.instance) {
            (Some(FileSource::Text { syntax: Syntax::Hcl, .. }), _) => {
                Err("the syntaxes of `fleet` are json and toml".to_owned())
            }
            (Some(_), None) => {
                Err("`fleet` requires `instance`, the name of one of them".to_owned())
            }
            (None, Some(_)) => Err("`instance` requires `fleet`".to_owned()),
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A deeply nested event is an invalid one, and no error of the runtime.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let request = match serde_json::from_str(text.get()) {
            Ok(Unique { repeated: Some(key), .. }) => {
                Err(format!("the key `{key}` is given twice"))
            }
            Ok(Unique { value, repeated: None }) => Request::from_value(value),
            Err(error) => Err(error.to_string()),
        };
        Ok(Self(request.map_err(without_middle)))
    }
}

impl Request {
    /// Reads an event. One of Secrets Manager has the key `Step`.
    fn from_value(value: Value) -> Result<Self, String> {
        fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
            serde_json::from_value(value).map_err(|error| error.to_string())
        }
        if value.get("Step").is_some() {
            return read(value).map(Self::Rotation);
        }
        let given: Vec<Opt> = OF_AN_INSTANCE
            .into_iter()
            .map(|(option, _)| option)
            .filter(|option| value.get(key(*option)).is_some_and(|value| !value.is_null()))
            .collect();
        let event: ProvisionEvent = read(value)?;
        event.check()?;
        if event.fleet.is_some() {
            check_fleet(&given)?;
        }
        Ok(Self::Provision(Box::new(event)))
    }
}

/// Checks that no option is given that concerns one instance: the fleet file decides about it.
fn check_fleet(given: &[Opt]) -> Result<(), String> {
    match OF_AN_INSTANCE.into_iter().find(|(option, _)| given.contains(option)) {
        None => Ok(()),
        Some((option, place)) => {
            let place = place.map_or_else(
                || "invoke the function without `fleet`".to_owned(),
                |place| {
                    format!("write `{place}` in the instance or in `defaults` of the fleet file")
                },
            );
            Err(format!("`{}` cannot be used with `fleet`: {place}", key(option)))
        }
    }
}

impl<'de> Deserialize<'de> for FileSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text {
            text: String,
            #[serde(deserialize_with = "parsed")]
            syntax: Syntax,
        }
        match Value::deserialize(deserializer)? {
            Value::String(uri) if uri.starts_with("s3:") => {
                uri.parse().map(Self::Object).map_err(D::Error::custom)
            }
            Value::String(path) => Ok(Self::File(path)),
            Value::Object(map) if map.contains_key("text") => {
                let Text { text, syntax } =
                    serde_json::from_value(Value::Object(map)).map_err(D::Error::custom)?;
                Ok(Self::Text { text, syntax })
            }
            Value::Object(map) => Ok(Self::Inline(map)),
            _ => Err(D::Error::custom(
                "`definitions` and `fleet` are an object, `s3://BUCKET/KEY`, or the path of a packaged \
                 file",
            )),
        }
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn parsed_option<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

fn stage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Stage>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let wrong = |()| D::Error::custom("the stages are AWSCURRENT and AWSPENDING");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

fn parsed_list<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(deserializer)?;
    texts.into_iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

/// A JSON value, with a key that one of its objects contains twice.
struct Unique {
    value: Value,
    repeated: Option<String>,
}

impl From<Value> for Unique {
    fn from(value: Value) -> Self {
        Self { value, repeated: None }
    }
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut object = Map::new();
        let mut repeated = None;
        while let Some(key) = map.next_key::<String>()? {
            let Unique { value, repeated: inner } = map.next_value()?;
            repeated = repeated.or(inner);
            if object.insert(key.clone(), value).is_some() {
                repeated = repeated.or(Some(key));
            }
        }
        Ok(Unique { value: Value::Object(object), repeated })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        let mut list = Vec::new();
        let mut repeated = None;
        while let Some(Unique { value, repeated: inner }) = seq.next_element()? {
            repeated = repeated.or(inner);
            list.push(value);
        }
        Ok(Unique { value: Value::Array(list), repeated })
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Value::Null.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Value::from(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Value::from(value).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Value::from(value).into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, String> {
        serde_json::from_str::<Event>(text).unwrap().0
    }

    #[test]
    fn invalid_events_are_errors_with_a_reason() {
        for (text, reason) in [
            ("{}", "missing field `mode`"),
            ("[]", "invalid"),
            (r#"{"mode": "drop"}"#, "unknown variant `drop`"),
            (r#"{"mode": "plan", "enviroment": "dev"}"#, "unknown field `enviroment`"),
            (r#"{"mode": "plan", "port": 1, "port": 2}"#, "`port` is given twice"),
            (r#"{"mode": "plan", "definitions": {"a": [{"b": 1, "b": 2}]}}"#, "`b` is given twice"),
            (r#"{"mode": "plan", "definitions": 1}"#, "`s3://BUCKET/KEY`"),
            (r#"{"mode": "plan", "definitions": "s3://x"}"#, "`s3://BUCKET/KEY`"),
            (r#"{"mode": "plan", "definitions": {"text": ""}}"#, "missing field `syntax`"),
            (r#"{"mode": "plan", "allow": ["all"]}"#, "unknown hazard"),
            (r#"{"mode": "plan", "role": "a"}"#, "`role` requires the mode `access`"),
            (r#"{"mode": "check", "records": "s3://abc/a"}"#, "requires the mode `apply`"),
            (r#"{"mode": "check", "additive": true}"#, "`additive` requires the mode `plan`"),
            (r#"{"mode": "apply", "records": "s3://abc/../a"}"#, "`s3://BUCKET/PREFIX`"),
            (r#"{"mode": "plan", "fleet": {}}"#, "`fleet` requires `instance`"),
            (r#"{"mode": "plan", "instance": "a"}"#, "`instance` requires `fleet`"),
            (
                r#"{"mode": "plan", "fleet": {"text": "", "syntax": "hcl"}, "instance": "a"}"#,
                "the syntaxes of `fleet` are json and toml",
            ),
            (
                r#"{"mode": "plan", "fleet": {}, "instance": "a", "host": "h"}"#,
                "`host` cannot be used with `fleet`: write `host` in the instance or in `defaults`",
            ),
            (
                r#"{"mode": "plan", "fleet": {}, "instance": "a", "environment": "dev"}"#,
                "`environment` cannot be used with `fleet`: write `environment`",
            ),
            (
                r#"{"mode": "plan", "fleet": {}, "instance": "a", "adopt": []}"#,
                "`adopt` cannot be used with `fleet`: invoke the function without `fleet`",
            ),
            (r#"{"Step": "dropSecret", "SecretId": "a", "ClientRequestToken": "b"}"#, "dropSecret"),
            (r#"{"Step": "setSecret", "SecretId": "a"}"#, "missing field `ClientRequestToken`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn kinds_of_events() {
        let text = r#"{"mode": "apply", "definitions": {"text": "", "syntax": "hcl"}, "port": 5432,
            "allow": ["changes_owner"], "lock_timeout": "1m", "tls": "require"}"#;
        let Request::Provision(event) = read(text).unwrap() else { panic!("not {text}") };
        assert!(matches!(event.definitions, Some(FileSource::Text { .. })));
        assert_eq!((event.port, event.allow), (Some(5432), vec![Hazard::ChangesOwner]));
        // A key without a value is not given, such as one that Step Functions passes on.
        let text = r#"{"mode": "plan", "fleet": "fleet.toml", "instance": "a", "host": null,
            "allow": ["adopts"], "tls": "require"}"#;
        assert!(read(text).is_ok());
        // Secrets Manager can add keys.
        let text = r#"{"Step": "setSecret", "SecretId": "a", "ClientRequestToken": "b", "New": 1}"#;
        assert!(matches!(read(text).unwrap(), Request::Rotation(_)));
    }
}
