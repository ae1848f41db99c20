//! Finds the last complete `apply` of the definitions of an environment and a scope on each server in a ledger.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::Deserialize;

use super::ledger::for_each_line;
use crate::desired::LastApplied;

/// The keys of the record of a complete `apply`.
#[derive(Deserialize)]
struct Applied {
    environment: String,
    #[serde(default)]
    scope: Option<String>,
    server: Option<String>,
    #[serde(default)]
    system_identifier: Option<String>,
    build_id: String,
    timestamp_utc: String,
    applied: BTreeMap<String, String>,
}

/// Returns the runs that were the last complete `apply` of definitions for an environment and a scope on a
/// server, the newest first. Definitions are the same ones if they have an application in common. Lines that are
/// not such a record are left out.
///
/// # Errors
/// Returns an error if the ledger cannot be read.
pub(crate) fn last_applied(
    ledger: impl BufRead,
    environment: &str,
    scope: Option<&str>,
) -> io::Result<Vec<LastApplied>> {
    let mut found: Vec<LastApplied> = Vec::new();
    for_each_line(ledger, |_, line| {
        let Ok(one) = serde_json::from_slice::<Applied>(line) else { return };
        if one.environment != environment || one.scope.as_deref() != scope {
            return;
        }
        let date = one.timestamp_utc.get(..10).unwrap_or_default().to_owned();
        // Other definitions can be applied to the same server, and have other applications. What the same
        // ones do not contain any more is new if it comes back.
        found.retain(|older| {
            (&older.server, &older.system_identifier) != (&one.server, &one.system_identifier)
                || older.definitions.keys().all(|name| !one.applied.contains_key(name))
        });
        let Applied { server, system_identifier, build_id, applied, .. } = one;
        // The last one first: a server can have had several names.
        let last = LastApplied { server, system_identifier, build_id, date, definitions: applied };
        found.insert(0, last);
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_record_of_each_server_and_application_counts() {
        let line = |environment: &str, server: &str, build: &str, applied: &str| {
            format!(
                r#"{{"environment":"{environment}","server":"{server}","build_id":"{build}","timestamp_utc":"2026-11-20T10:00:00Z"{applied}}}"#
            )
        };
        let applied = r#","applied":{"shop":"sha256:1"}"#;
        let ledger = [
            line("dev", "a:1", "1", applied),
            line("prod", "a:1", "2", applied),
            line("dev", "b:1", "3", applied),
            line("dev", "a:1", "4", applied),
            // Other definitions of the environment, for the same server.
            line("dev", "a:1", "6", r#","scope":"billing","applied":{"billing":"sha256:2"}"#),
            // Other definitions without a scope.
            line("dev", "a:1", "7", r#","applied":{"hr":"sha256:3","old":"sha256:5"}"#),
            line("dev", "a:1", "8", r#","applied":{"hr":"sha256:4"}"#),
            // A run that was refused.
            line("dev", "a:1", "5", ""),
            "no JSON".to_owned(),
        ];
        let found = last_applied(ledger.join("\n").as_bytes(), "dev", None).unwrap();
        let builds = |found: &[LastApplied]| {
            found.iter().map(|one| one.build_id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(builds(&found), ["8", "4", "3"]);
        assert_eq!(found[0].date, "2026-11-20");
        assert_eq!(found[0].definitions["hr"], "sha256:4");
        assert!(found.iter().all(|one| !one.definitions.contains_key("old")), "{found:?}");
        assert_eq!(found[1].definitions["shop"], "sha256:1");
        let found = last_applied(ledger.join("\n").as_bytes(), "dev", Some("billing")).unwrap();
        assert_eq!(builds(&found), ["6"]);
    }
}
