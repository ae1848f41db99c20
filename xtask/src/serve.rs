//! Serves a PostgreSQL server and a Secrets Manager to programs in other languages. Writes their
//! addresses to stdout, then answers one JSON request per line of stdin. Ends with stdin.

use std::io::{BufRead as _, Write as _};

use rdsprov_testkit::{SecretsManager, Server};
use serde_json::{Value, json};

pub fn serve(version: u32, with_secrets_manager: bool) -> Result<(), String> {
    let server = Server::start(version).map_err(|error| error.to_string())?;
    let manager = with_secrets_manager.then(SecretsManager::start).transpose();
    let manager = manager.map_err(|error| error.to_string())?;
    let environment: serde_json::Map<String, Value> = manager
        .iter()
        .flat_map(SecretsManager::environment)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    say(&json!({
        "host": server.host(),
        "port": server.port(),
        "ca_file": server.ca_file(),
        "admin_secret": server.admin_secret(),
        "environment": environment,
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let asked: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        say(&match answer(&server, manager.as_ref(), &asked) {
            Ok(text) => json!({"ok": text}),
            Err(error) => json!({"error": error}),
        })?;
    }
    Ok(())
}

fn answer(
    server: &Server,
    manager: Option<&SecretsManager>,
    asked: &Value,
) -> Result<String, String> {
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let said = |error: rdsprov_testkit::Error| error.to_string();
    match text("do") {
        "sql" => server.superuser(text("database"), text("sql")).map_err(said),
        "sql_as" => server
            .sql_as(text("role"), text("password"), text("database"), text("sql"))
            .map_err(said),
        "script" => server.script_as_superuser(text("sql")).map_err(said),
        "log" => Ok(server.log()),
        "put" => {
            let manager =
                manager.ok_or("the Secrets Manager is not running; start it with --secrets")?;
            manager.put(text("id"), text("secret")).map(|()| String::new()).map_err(said)
        }
        other => Err(format!("unknown request {other:?}")),
    }
}

fn say(value: &Value) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
