//! The recordings `observed*.json` in the scenarios: what the planner compares with the
//! definitions. With them, the test `planner` of the core plans each scenario without a server.
//!
//! A recording does not contain the port of a server, its system identifier, its minor version or
//! times. OIDs and fingerprints are replaced by numbers.

use std::collections::BTreeMap;
use std::path::Path;

use rdsprov_core::config::{CaFile, Passwords, TlsSettings};
use rdsprov_core::desired::{Adoption, Credential, Desired};
use rdsprov_core::name::RoleName;
use rdsprov_core::observed::{Connection, Observed};
use rdsprov_core::operations::{AdminCredentials, ConnectionOverrides, Provisioner};
use rdsprov_core::plan::{Hazard, Plan, SecretFindings};
use rdsprov_core::secret_id::SecretId;
use rdsprov_core::secrets::SecretSource;
use rdsprov_core::server::Tls;
use rdsprov_core::session::{self, Secrets, ServerOptions, Setup};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fixture::{DELEGATE, DELEGATE_SECRET, Fixture};

/// The longest line of a recording that contains more than one value.
const WIDTH: usize = 140;

/// The inputs of the planner other than the desired state.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    observed: Observed,
    #[serde(default)]
    findings: SecretFindings,
}

impl Recording {
    /// Observes the server of a fixture as `rdsprov plan` does, for the environment `dev` and the
    /// definitions in a scenario. The administrator is the master user.
    pub fn observe(fixture: &Fixture, major: u32, scenario: &Path, allow: Vec<Hazard>) -> Self {
        let config = scenario.join("rdsprov.toml");
        let config = session::config(config.exists().then_some(config.as_path())).unwrap();
        let definitions = [scenario.join("definitions.tfvars")];
        let setup = Setup::builder().config(config).environment("dev").files(definitions);
        let setup = setup.build().unwrap();
        let mut options = ServerOptions::default();
        options.secrets = Secrets::Files(fixture.path().to_owned());
        options.tls.ca_file = Some(CaFile::Path(fixture.server.ca_file().to_owned()));
        options.allow = allow;
        block_on(async { Self::of(setup.open(&options).await.unwrap(), major).await.0 })
    }

    /// Observes the server of a fixture as [`Fixture::delegate`] does. Also returns the plan.
    pub fn observe_delegation(fixture: &Fixture, major: u32) -> (Self, Plan) {
        let desired = Desired::delegation(
            "dev",
            RoleName::new(DELEGATE).unwrap(),
            Credential::Password(SecretId(DELEGATE_SECRET.to_owned())),
            Adoption::Refused,
        );
        let tls = Tls::new(&TlsSettings::trusting(fixture.server.ca_file().to_owned())).unwrap();
        let source = SecretSource::Files(fixture.path().to_owned());
        let login = AdminCredentials::Secret(SecretId("goldenpath/dev/rds/master".to_owned()));
        let (overrides, passwords) = (ConnectionOverrides::default(), Passwords::default());
        block_on(async {
            let run = Provisioner::open(desired, &source, login, overrides, tls, &passwords).await;
            Self::of(run.unwrap(), major).await
        })
    }

    /// Returns what a run observes, and its plan.
    async fn of(mut run: Provisioner, major: u32) -> (Self, Plan) {
        let (mut observed, findings, plan) = run.plan().await.unwrap().into_parts();
        observed.server_version = major * 10_000;
        observed.connection = Connection::default();
        number_oids(&mut observed);
        // Reads it once from JSON: values that JSON leaves out must not make a difference.
        let json = serde_json::to_value(Self { observed, findings }).unwrap();
        (serde_json::from_value(json).unwrap(), plan)
    }

    /// Compares the recording with a file. With `INSTA_UPDATE=always`, writes the file instead, as
    /// insta does with snapshots.
    #[track_caller]
    pub fn assert_matches(&self, file: &Path) {
        let text = self.to_text();
        if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always" || mode == "force") {
            std::fs::write(file, text).unwrap();
            return;
        }
        let recorded = std::fs::read_to_string(file).unwrap_or_default();
        let lines_only_in = |one: &str, other: &str, sign: &str| -> String {
            let other: Vec<&str> = other.lines().collect();
            let lines = one.lines().filter(|line| !other.contains(line));
            lines.map(|line| format!("{sign} {line}\n")).collect()
        };
        assert!(
            recorded == text,
            "the server differs from {}; to record it again, set INSTA_UPDATE=always\n{}{}",
            file.display(),
            lines_only_in(&recorded, &text, "-"),
            lines_only_in(&text, &recorded, "+"),
        );
    }

    /// Returns the recording as JSON without default values.
    fn to_text(&self) -> String {
        let mut json = serde_json::to_value(self).unwrap();
        // An empty object can become removable when its last key is removed.
        while self.remove_defaults(&mut json) {}
        let mut text = String::new();
        write(&mut text, &json, 0);
        text + "\n"
    }

    /// Removes the keys without which the JSON has the same meaning. Returns
    /// whether it removed any.
    fn remove_defaults(&self, json: &mut Value) -> bool {
        let mut candidates = BTreeMap::new();
        collect_candidates(json, &mut candidates);
        let mut removed = false;
        for (key, value) in candidates.into_values() {
            let mut smaller = json.clone();
            remove(&mut smaller, &key, &value);
            if Self::deserialize(&smaller).is_ok_and(|same| same == *self) {
                *json = smaller;
                removed = true;
            }
        }
        removed
    }
}

/// Replaces each OID by a number in the order of the names, and each fingerprint, which covers OIDs.
fn number_oids(observed: &mut Observed) {
    // No plan depends on them.
    observed.administrators.clear();
    for (number, role) in (1..).zip(observed.roles.values_mut()) {
        role.oid = role.oid.map(|_| number);
    }
    for (number, database) in (1..).zip(observed.databases.values_mut()) {
        database.oid = database.oid.map(|_| number);
    }
    let contents = observed.databases.values_mut().filter_map(|one| one.contents.as_mut());
    let transfers = contents.flat_map(|one| {
        let whole = [&mut one.ownership_transfer, &mut one.objects_of_administrator];
        one.transferred_schemas.values_mut().chain(whole)
    });
    for transfer in transfers {
        transfer.fingerprint = transfer.fingerprint.take().map(|_| "sha256:1".to_owned());
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Collects each key with a value that can be a default, by their text.
fn collect_candidates(json: &Value, candidates: &mut BTreeMap<String, (String, Value)>) {
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                let can_be_default = match value {
                    Value::Object(object) => object.is_empty(),
                    Value::Array(array) => array.is_empty(),
                    // The grantee `null` is PUBLIC.
                    Value::Null => key != "grantee",
                    Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
                };
                if can_be_default {
                    candidates.insert(format!("{key}: {value}"), (key.clone(), value.clone()));
                }
                collect_candidates(value, candidates);
            }
        }
        Value::Array(array) => {
            array.iter().for_each(|value| collect_candidates(value, candidates));
        }
        _ => {}
    }
}

/// Removes a key everywhere where it has this value.
fn remove(json: &mut Value, key: &str, value: &Value) {
    match json {
        Value::Object(object) => {
            if object.get(key) == Some(value) {
                object.remove(key);
            }
            object.values_mut().for_each(|inner| remove(inner, key, value));
        }
        Value::Array(array) => array.iter_mut().for_each(|inner| remove(inner, key, value)),
        _ => {}
    }
}

/// Writes JSON with one line for each object and array that fits into it and contains no other
/// object, such as an item of an ACL.
fn write(text: &mut String, json: &Value, indent: usize) {
    let line = one_line(json);
    if indent + line.len() <= WIDTH && line.matches('{').count() <= 1 {
        *text += &line;
        return;
    }
    let (inner, end) = (" ".repeat(indent + 2), " ".repeat(indent));
    let mut separator = "";
    match json {
        Value::Object(object) => {
            text.push('{');
            for (key, value) in object {
                *text += &format!("{separator}\n{inner}{}: ", Value::from(key.as_str()));
                write(text, value, indent + 2);
                separator = ",";
            }
            *text += &format!("\n{end}}}");
        }
        Value::Array(array) => {
            text.push('[');
            for value in array {
                *text += &format!("{separator}\n{inner}");
                write(text, value, indent + 2);
                separator = ",";
            }
            *text += &format!("\n{end}]");
        }
        _ => *text += &line,
    }
}

/// Returns JSON in one line with spaces between its parts.
fn one_line(json: &Value) -> String {
    match json {
        Value::Object(object) => {
            let entries: Vec<String> = object
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), one_line(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(array) => {
            format!("[{}]", array.iter().map(one_line).collect::<Vec<_>>().join(", "))
        }
        _ => json.to_string(),
    }
}
