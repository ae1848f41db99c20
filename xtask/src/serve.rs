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
    respond(&json!({
        "host": server.host(),
        "port": server.port(),
        "ca_file": server.ca_file(),
        "admin_secret": server.admin_secret(),
        "environment": environment,
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let request: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        respond(&match answer(&server, manager.as_ref(), &request) {
            Ok(text) => json!({"ok": text}),
            Err(error) => json!({"error": error}),
        })?;
    }
    Ok(())
}

fn answer(
    server: &Server,
    manager: Option<&SecretsManager>,
    request: &Value,
) -> Result<String, String> {
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let describe = |error: rdsprov_testkit::Error| error.to_string();
    match text("command") {
        "sql" => server.superuser(text("database"), text("sql")).map_err(describe),
        "sql_as" => server
            .sql_as(text("role"), text("password"), text("database"), text("sql"))
            .map_err(describe),
        "script" => server.script_as_superuser(text("sql")).map_err(describe),
        "log" => Ok(server.log()),
        "put" => {
            let manager =
                manager.ok_or("the Secrets Manager is not running; start it with --secrets")?;
            manager.put(text("id"), text("secret")).map(|()| String::new()).map_err(describe)
        }
        other => Err(format!("unknown request {other:?}")),
    }
}

fn respond(value: &Value) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
