//! Asks the server whether it belongs to a blue/green deployment.
//!
//! Aurora has a function in `pg_catalog`, RDS one in the extension `rds_tools` of the database
//! `postgres`. Only some of their columns are documented: each row is read as JSON.

use serde::Deserialize;

use super::connect::{Endpoint, Session};
use super::snapshot::{ObserveError, Snapshot};
use crate::blue_green::DeploymentNode;
use crate::name::{DatabaseName, LOCK_DATABASE};
use crate::observed::Observed;

const FUNCTIONS: &str = include_str!("queries/blue_green_functions.sql");

const AURORA: &str = "pg_catalog.get_blue_green_fast_switchover_metadata";
const RDS: &str = "rds_tools.show_topology";

/// The functions that the administrator can call in one database.
#[derive(Deserialize)]
struct Functions {
    aurora: bool,
    rds: bool,
    offers_rds_tools: bool,
}

/// Returns the nodes of the deployment; empty if the server reports none, or does not answer this
/// question. The server then warns of changes that it does not replicate.
pub(crate) async fn nodes(
    admin: &Endpoint,
    admin_session: &Session,
    observed: &Observed,
) -> Result<Vec<DeploymentNode>, ObserveError> {
    let functions = functions(admin_session).await?;
    if functions.aurora {
        return Ok(topology(admin_session, AURORA).await);
    }
    if observed.admin_database.as_str() == LOCK_DATABASE {
        return Ok(if functions.rds { topology(admin_session, RDS).await } else { Vec::new() });
    }
    if !functions.offers_rds_tools {
        return Ok(Vec::new());
    }
    // A run that changes something needs this database, too, and reports why it cannot connect.
    let database = DatabaseName::new_unchecked(LOCK_DATABASE);
    let Ok(session) = admin.connect(&database).await else { return Ok(Vec::new()) };
    match self::functions(&session).await {
        Ok(Functions { rds: true, .. }) => Ok(topology(&session, RDS).await),
        _ => Ok(Vec::new()),
    }
}

async fn functions(session: &Session) -> Result<Functions, ObserveError> {
    let snapshot = Snapshot::open(session, "the blue/green deployment").await?;
    let functions = snapshot.query(FUNCTIONS, &[]).await?;
    snapshot.close().await?;
    Ok(functions)
}

/// Calls a function, and returns the rows that have a role and a status. A function that fails shows
/// nothing.
async fn topology(session: &Session, function: &str) -> Vec<DeploymentNode> {
    let query = format!(
        "SELECT coalesce(json_agg(json_build_object('role', left(n.role, 100), 'status', left(n.status, 100))
           ORDER BY n.role COLLATE \"C\", n.status COLLATE \"C\"), '[]')::text
         FROM (SELECT to_jsonb(t) ->> 'role' AS role, to_jsonb(t) ->> 'status' AS status
           FROM {function}('rdsprov') t) n
         WHERE n.role IS NOT NULL AND n.status IS NOT NULL"
    );
    let Ok(snapshot) = Snapshot::open(session, "the blue/green deployment").await else {
        return Vec::new();
    };
    let nodes = snapshot.query(&query, &[]).await;
    // After a failed query, the transaction must end, too.
    let _ = snapshot.close().await;
    nodes.unwrap_or_default()
}
