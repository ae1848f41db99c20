//! One server that runs many cases, and its bootstrap superuser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use rdsprov_core::name::quote;
use rdsprov_testkit::Server;
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

use crate::initial_state::{SUPERUSER, Scope};
use crate::snapshot::{Cluster, Contents, Snapshot};

const CLUSTER: &str = include_str!("queries/cluster.sql");
const CONTENTS: &str = include_str!("queries/contents.sql");

/// An error of the test itself, not of the product.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    #[error("{}", message(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("unexpected query result: {0}")]
    Shape(#[from] serde_json::Error),
    #[error(transparent)]
    Kit(#[from] rdsprov_testkit::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub type Result<T> = std::result::Result<T, HarnessError>;

fn message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(message) => format!("{} ({})", message.message(), message.code().code()),
        None => error.to_string(),
    }
}

/// Runs a query that returns one JSON text.
pub async fn ask<T: DeserializeOwned>(
    client: &Client,
    query: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<T> {
    let row = client.query_one(query, parameters).await?;
    Ok(serde_json::from_str(row.try_get(0)?)?)
}

/// A server on which cases run one after the other.
pub struct Host {
    pub server: Server,
    /// The connection to database `postgres`.
    postgres: Client,
    /// The open connections to databases of the current case.
    inside: Mutex<BTreeMap<String, Arc<Client>>>,
    /// The contents of a new database.
    pub pristine: Contents,
    roles: BTreeSet<String>,
    databases: BTreeSet<String>,
}

impl Host {
    pub async fn start(major: u32) -> Result<Self> {
        let server = Server::start(major)?;
        let postgres = connect(&server, "postgres").await?;
        // Background writers are off, so that only the product writes. The log would grow with each
        // case.
        for setting in ["autovacuum = off", "log_statement = 'none'", "log_min_messages = 'fatal'"]
        {
            postgres.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await?;
        }
        postgres.batch_execute("SELECT pg_reload_conf()").await?;
        let pristine = contents(&connect(&server, "platform").await?).await?;
        let cluster: Cluster = ask(&postgres, CLUSTER, &[]).await?;
        let roles = cluster.roles.into_keys().collect();
        let databases = cluster.databases.into_keys().collect();
        Ok(Self { server, postgres, inside: Mutex::default(), pristine, roles, databases })
    }

    /// Connects to a database. The connection is kept until the case ends.
    pub async fn connect(&self, database: &str) -> Result<Arc<Client>> {
        let kept = self.inside.lock().unwrap().get(database).cloned();
        if let Some(client) = kept.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let client = Arc::new(connect(&self.server, database).await?);
        self.inside.lock().unwrap().insert(database.to_owned(), client.clone());
        Ok(client)
    }

    /// Takes a snapshot of the whole server.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let cluster: Cluster = ask(&self.postgres, CLUSTER, &[]).await?;
        let mut inside = BTreeMap::new();
        for (name, database) in &cluster.databases {
            if database.allows_connections && !self.databases.contains(name) {
                inside.insert(name.clone(), contents(&*self.connect(name).await?).await?);
            }
        }
        Ok(Snapshot { cluster, contents: inside })
    }

    /// Returns the current WAL insert position.
    pub async fn wal_position(&self) -> Result<String> {
        let query = "SELECT pg_current_wal_insert_lsn()::text";
        Ok(self.postgres.query_one(query, &[]).await?.try_get(0)?)
    }

    /// Waits until the sessions of a killed run have ended.
    pub async fn wait_for_sessions(&self) -> Result<()> {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rdsprov'";
        for _ in 0..500 {
            let count: i64 = self.postgres.query_one(query, &[]).await?.try_get(0)?;
            if count == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Executes statements as a user would by hand. Returns the server's error if one fails.
    pub async fn by_hand(
        &self,
        scope: &Scope,
        statements: &[String],
    ) -> Result<std::result::Result<(), String>> {
        self.by_hand_as(None, scope, statements).await
    }

    /// Executes statements as a role would by hand, or as the bootstrap superuser.
    pub async fn by_hand_as(
        &self,
        role: Option<&str>,
        scope: &Scope,
        statements: &[String],
    ) -> Result<std::result::Result<(), String>> {
        let own;
        let client = match scope {
            Scope::Cluster => &self.postgres,
            Scope::Database(name) => {
                own = match self.connect(name).await {
                    Ok(client) => client,
                    Err(HarnessError::Server(error)) => return Ok(Err(message(&error))),
                    Err(error) => return Err(error),
                };
                &*own
            }
        };
        if let Some(role) = role {
            client.batch_execute(&format!("SET SESSION AUTHORIZATION {}", quote(role))).await?;
        }
        let mut result = Ok(());
        for statement in statements {
            if let Err(error) = client.batch_execute(statement).await {
                client.batch_execute("ROLLBACK; RESET ROLE").await?;
                result = Err(format!("{statement}: {}", message(&error)));
                break;
            }
        }
        client.batch_execute("RESET SESSION AUTHORIZATION").await?;
        Ok(result)
    }

    /// Drops everything that a case left behind.
    pub async fn clean(&self) -> Result<()> {
        self.inside.lock().unwrap().clear();
        let cluster: Cluster = ask(&self.postgres, CLUSTER, &[]).await?;
        for database in cluster.databases.keys().filter(|name| !self.databases.contains(*name)) {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", quote(database));
            self.postgres.batch_execute(&drop).await?;
        }
        let roles: Vec<String> = cluster
            .roles
            .keys()
            .filter(|name| !self.roles.contains(*name))
            .map(|name| quote(name))
            .collect();
        if !roles.is_empty() {
            let roles = roles.join(", ");
            self.postgres.batch_execute(&format!("DROP OWNED BY {roles} CASCADE")).await?;
            self.postgres.batch_execute(&format!("DROP ROLE {roles}")).await?;
        }
        Ok(())
    }

    /// Returns whether a role can log in to a database with its password.
    pub fn logs_in(&self, role: &str, password: &str, database: &str) -> bool {
        self.server.sql_as(role, password, database, "SELECT 1").is_ok()
    }
}

async fn connect(server: &Server, database: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::Config::new()
        .host_path(server.socket_directory())
        .port(server.port())
        .user(SUPERUSER)
        .dbname(database)
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn contents(client: &Client) -> Result<Contents> {
    let row = client.query_one(CONTENTS, &[]).await?;
    Ok(Contents::read(row.try_get(0)?)?)
}
