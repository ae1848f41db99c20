//! Who can do what: one query of what all databases share, and one of each managed database.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

use super::connect::Target;
use super::observe::{CONNECTIONS, ObserveError, Snapshot, shared};
use super::run::{Administration, RunError};
use crate::desired::Desired;
use crate::holdings::{Held, Holdings};
use crate::name::{DatabaseName, RoleName};

const HOLDINGS: &str = include_str!("queries/holdings.sql");

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// This database; all that are managed, where none is named.
    pub database: Option<DatabaseName>,
    /// This role; all that hold something, where none is named.
    pub role: Option<RoleName>,
}

impl Administration {
    /// Who can do what in the managed databases. Nothing is written, and no lock is taken.
    ///
    /// # Errors
    /// Where the server cannot be looked at. A single database that is out of reach is told of in the answer.
    pub async fn holdings(&self, desired: &Desired, asked: &Asked) -> Result<Holdings, RunError> {
        let observed = shared(&self.home, &[]).await?;
        let databases = Holdings::databases_of(desired, &observed)
            .into_iter()
            .filter(|name| asked.database.as_ref().is_none_or(|one| one == name));
        let looked: Vec<(DatabaseName, Result<Held, ObserveError>)> = stream::iter(databases)
            .map(async |name| {
                let held = inside(&self.admin, &name, asked.role.as_ref()).await;
                (name, held)
            })
            .buffered(CONNECTIONS)
            .collect()
            .await;
        let mut held = BTreeMap::new();
        for (name, one) in looked {
            let one = match one {
                Ok(one) => Ok(one),
                Err(ObserveError::Connect(error)) => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            held.insert(name, one);
        }
        Ok(Holdings::new(desired, &observed, self.server(), held))
    }
}

async fn inside(
    admin: &Target,
    name: &DatabaseName,
    role: Option<&RoleName>,
) -> Result<Held, ObserveError> {
    let session = admin.connect(name).await?;
    let snapshot = Snapshot::open(&session, format!("database {name}")).await?;
    let held = snapshot.ask(HOLDINGS, &[&role.map(RoleName::as_str)]).await?;
    snapshot.close().await?;
    Ok(held)
}
