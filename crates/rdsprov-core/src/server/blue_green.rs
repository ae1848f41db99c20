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

/// Observes the nodes of the deployment. If the server has a function for them and does not answer, the
/// reason is observed; it then still warns of changes that it does not replicate.
pub(crate) async fn observe(
    admin: &Endpoint,
    admin_session: &Session,
    observed: &mut Observed,
) -> Result<(), ObserveError> {
    match nodes(admin, admin_session, &observed.admin_database).await? {
        Ok(nodes) => observed.blue_green = nodes,
        Err(reason) => observed.blue_green_unknown = Some(reason),
    }
    Ok(())
}

/// Asks for the nodes of the deployment in a session with a database: none if the server reports none. The
/// inner error is the reason why a function for them does not answer.
pub(crate) async fn nodes(
    endpoint: &Endpoint,
    session: &Session,
    database: &DatabaseName,
) -> Result<Result<Vec<DeploymentNode>, String>, ObserveError> {
    let functions = functions(session).await?;
    Ok(if functions.aurora {
        topology(session, AURORA).await
    } else if database.as_str() == LOCK_DATABASE {
        if functions.rds { topology(session, RDS).await } else { Ok(Vec::new()) }
    } else if functions.offers_rds_tools {
        topology_in_lock_database(endpoint).await
    } else {
        Ok(Vec::new())
    })
}

/// Asks in the database that contains the extension, if there is one.
async fn topology_in_lock_database(endpoint: &Endpoint) -> Result<Vec<DeploymentNode>, String> {
    let database = DatabaseName::new_unchecked(LOCK_DATABASE);
    let session = endpoint.connect(&database).await.map_err(|error| error.to_string())?;
    let functions = functions(&session).await.map_err(|error| error.to_string())?;
    if functions.rds { topology(&session, RDS).await } else { Ok(Vec::new()) }
}

async fn functions(session: &Session) -> Result<Functions, ObserveError> {
    let snapshot = Snapshot::open(session, "the blue/green deployment").await?;
    let functions = snapshot.query(FUNCTIONS, &[]).await?;
    snapshot.close().await?;
    Ok(functions)
}

/// Calls a function, and returns the rows that have a role and a status.
async fn topology(session: &Session, function: &str) -> Result<Vec<DeploymentNode>, String> {
    let query = format!(
        "SELECT coalesce(json_agg(json_build_object('role', left(n.role, 100), 'status', left(n.status, 100))
           ORDER BY n.role COLLATE \"C\", n.status COLLATE \"C\"), '[]')::text
         FROM (SELECT to_jsonb(t) ->> 'role' AS role, to_jsonb(t) ->> 'status' AS status
           FROM {function}('rdsprov') t) n
         WHERE n.role IS NOT NULL AND n.status IS NOT NULL"
    );
    let failed = |error: ObserveError| format!("function {function}: {}", error.reason());
    let snapshot = Snapshot::open(session, "the blue/green deployment").await.map_err(failed)?;
    let nodes = snapshot.query(&query, &[]).await;
    // After a failed query, the transaction must end, too.
    let _ = snapshot.close().await;
    nodes.map_err(failed)
}
