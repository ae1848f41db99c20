//! Observes the server, in stages:
//!
//! 1. the catalogs that all databases share, in one snapshot
//! 2. the contents of each database that the run is about, in one snapshot each
//! 3. in the same snapshot, the names of the relations that the plan will need
//! 4. the blue/green deployment of the server
//! 5. the passwords of the declared roles that exist, by one login each; that of an owner also reads its database (2, 3)
//!
//! The planner says which names it needs, and asks for probes once everything else is observed. All
//! queries are in `queries/*.sql` and run in read-only transactions. Only probes execute other
//! statements, and they are rolled back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::blue_green;
use super::connect::{Endpoint, Session, describe_error};
use super::databases::in_each_as_owner;
use super::earlier_look::EarlierLook;
use super::owner_login::OwnerLogins;
use super::parameter::Parameter;
use super::password_check::{self, FirstLogin, KnownLogins, PasswordChecks};
use super::snapshot::{ObserveError, Snapshot};
use super::wait::catalog_lock;
use crate::audit_table::{AuditTableName, COLUMNS};
use crate::desired::Desired;
use crate::name::{DatabaseName, ExtensionName, LOCK_DATABASE, RoleName, SchemaName, TEMPLATE};
use crate::observed::{
    AuditTable, Contents, Database, Object, Observed, Owned, OwnershipTransfer, StoredSettings,
    UnreadableContents,
};
use crate::plan;
use crate::probe::{Probe, ProbeResult};
use crate::rotation_clone::RotationClone;
use crate::secret_id::SecretId;
use crate::secrets::Secret;
use crate::secrets::validate::clones;

/// It begins with the administrators, which `plan/sql/database.rs` describes.
const CLUSTER: &str = concat!(
    "WITH RECURSIVE administrator AS MATERIALIZED (",
    include_str!("../plan/sql/administrators.sql"),
    "), ",
    include_str!("queries/cluster.sql")
);
const DATABASE: &str = concat!(
    "WITH ",
    include_str!("queries/concerned.sql"),
    ",\n",
    include_str!("queries/relations.sql"),
    include_str!("queries/database.sql")
);
const OTHER_OBJECTS: &str = concat!(
    "WITH ",
    include_str!("queries/concerned.sql"),
    ",\n",
    include_str!("../plan/sql/objects.sql"),
    include_str!("queries/other_objects.sql")
);
const NAMES: &str = concat!(
    "WITH ",
    include_str!("queries/concerned.sql"),
    ",\n",
    include_str!("queries/relations.sql"),
    include_str!("queries/names.sql")
);
const HANDED_OVER_CODE: &str = concat!(
    include_str!("queries/handed_over.sql"),
    include_str!("../plan/sql/code.sql"),
    ",\n",
    include_str!("../plan/sql/objects.sql"),
    include_str!("../plan/sql/planted.sql"),
    include_str!("queries/handed_over_code.sql")
);
const FINGERPRINT: &str = concat!(
    include_str!("queries/handed_over.sql"),
    include_str!("../plan/sql/code.sql"),
    ",\n",
    include_str!("../plan/sql/objects.sql"),
    include_str!("../plan/sql/planted.sql"),
    include_str!("../plan/sql/fingerprint.sql")
);
const OBJECTS_OF_OTHERS: &str = concat!(
    "WITH ",
    include_str!("../plan/sql/objects.sql"),
    include_str!("queries/objects_of_others.sql")
);
const AUDIT_TABLE: &str = concat!(
    "WITH named(schema_name, table_name, columns, owner) AS (VALUES ($1::text, $2::text, $3::text, $4::text)),\n",
    include_str!("../plan/sql/audit_table.sql"),
    include_str!("queries/audit_table.sql")
);
const STORED_SETTINGS: &str = include_str!("queries/stored_settings.sql");
const ROLE_DEPENDENCIES: &str = include_str!("queries/role_dependencies.sql");
const DATABASE_USE: &str = include_str!("queries/database_use.sql");
const PREPARED_TRANSACTIONS: &str = include_str!("queries/prepared_transactions.sql");
const ROLES_WITH_SESSIONS: &str = include_str!("queries/roles_with_sessions.sql");
const OWNERSHIP_TRANSFER: &str = include_str!("queries/ownership_transfer.sql");

/// Observes the part of the server that the desired state is about. What the run has found in an `earlier` look and not
/// changed is not read again.
///
/// # Errors
/// Returns an [`ObserveError`] if a shared catalog cannot be read. If a database cannot be read, its
/// `unreachable` or `too_large`, or `template_unreadable`, contains the reason instead.
pub async fn observe(
    admin: &Endpoint,
    admin_session: &Session,
    desired: &Desired,
    secrets: &BTreeMap<SecretId, Secret>,
    checks: &PasswordChecks,
    earlier: Option<&EarlierLook>,
) -> Result<Observed, ObserveError> {
    let clones = clones(desired, secrets);
    let of_clones: Vec<&str> = clones.values().map(|clone| clone.name.as_str()).collect();
    let mut observed = observe_shared(
        admin_session,
        desired,
        &declared_extensions(desired),
        &predefined_roles(desired),
        &of_clones,
    )
    .await?;
    observed.clones = clones;
    let desired = &*plan::with_orphans(desired, &observed);
    observe_drops(admin_session, desired, &mut observed).await?;
    if desired.ends_sessions {
        observed.roles_with_sessions = roles_with_sessions(admin_session, desired).await?;
    }
    audit_table_of_server(admin, admin_session, desired, &mut observed).await?;
    // The queries return the privileges of these roles.
    let earlier = earlier.filter(|look| {
        let roles = |observed: &Observed| relevant_roles(desired, observed);
        look.observed().administrators == observed.administrators
            && roles(look.observed()) == roles(&observed)
    });
    let first =
        observe_databases(admin, admin_session, desired, &mut observed, secrets, checks, earlier)
            .await;
    blue_green::observe(admin, admin_session, &mut observed).await?;
    let known = KnownLogins { first, earlier };
    let checked = password_check::check_passwords(
        admin,
        admin_session,
        desired,
        &observed,
        secrets,
        checks,
        &known,
    );
    observed.password_checks = checked.await?;
    Ok(observed)
}

/// Observes what prevents that databases and retired roles are dropped, if the run drops them.
async fn observe_drops(
    admin_session: &Session,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), ObserveError> {
    if !desired.drops_roles && desired.drops_databases.is_none() {
        return Ok(());
    }
    let snapshot = Snapshot::open(admin_session, "the server").await?;
    if desired.drops_roles {
        let retired = desired.selected_roles().filter(|(_, role)| role.is_retired());
        let names =
            retired.flat_map(|(name, _)| [Some(name.clone()), RotationClone::name_for(name)]);
        let names: Vec<RoleName> = names.flatten().collect();
        let names: Vec<&str> = names.iter().map(RoleName::as_str).collect();
        observed.dependencies = snapshot.query(ROLE_DEPENDENCIES, &[&names]).await?;
    }
    if desired.drops_databases.is_some() {
        let names: Vec<&str> = desired.databases.keys().map(DatabaseName::as_str).collect();
        observed.database_use = snapshot.query(DATABASE_USE, &[&names]).await?;
    }
    observed.prepared_transactions = snapshot.query(PREPARED_TRANSACTIONS, &[]).await?;
    snapshot.close().await
}

/// Returns the retired roles, and the roles with the names of their clones, that have sessions.
async fn roles_with_sessions(
    admin_session: &Session,
    desired: &Desired,
) -> Result<BTreeSet<RoleName>, ObserveError> {
    let retired = desired.selected_roles().filter(|(_, role)| role.is_retired());
    let names = retired.flat_map(|(name, _)| [Some(name.clone()), RotationClone::name_for(name)]);
    let names: Vec<RoleName> = names.flatten().collect();
    let names: Vec<&str> = names.iter().map(RoleName::as_str).collect();
    let snapshot = Snapshot::open(admin_session, "the server").await?;
    let found = snapshot.query(ROLES_WITH_SESSIONS, &[&names]).await?;
    snapshot.close().await?;
    Ok(found)
}

fn declared_extensions(desired: &Desired) -> Vec<&str> {
    let entries = desired.databases.values().flat_map(|database| database.access.values());
    let extensions = entries.flat_map(|entry| &entry.extensions);
    let names: BTreeSet<&str> = extensions.map(ExtensionName::as_str).collect();
    names.into_iter().collect()
}

/// Returns the predefined roles of which declared roles are members.
fn predefined_roles(desired: &Desired) -> Vec<&str> {
    let roles = desired.roles.values().flat_map(|role| &role.memberships);
    let names: BTreeSet<&str> = roles.map(RoleName::as_str).collect();
    names.into_iter().collect()
}

/// Observes the catalogs that all databases share. What is not declared is observed in part. Of the roles whose
/// names begin with `pg_`, only those in `predefined_roles` are observed, and those that were made members of
/// other roles.
pub(crate) async fn observe_shared(
    admin_session: &Session,
    desired: &Desired,
    extensions: &[&str],
    predefined_roles: &[&str],
    clones: &[&str],
) -> Result<Observed, ObserveError> {
    let declared = desired.roles.keys().map(RoleName::as_str);
    let roles: Vec<&str> = declared.chain(clones.iter().copied()).collect();
    let databases: Vec<&str> = desired.databases.keys().map(DatabaseName::as_str).collect();
    let observed = async {
        let snapshot = Snapshot::open(admin_session, "the server").await?;
        let parameters: [&dyn Parameter; 4] = [&extensions, &predefined_roles, &roles, &databases];
        let observed = snapshot.query(CLUSTER, &parameters).await?;
        snapshot.close().await?;
        Ok(observed)
    };
    let mut observed = observed.await;
    if let Err(ObserveError::Locked { wait, .. }) = &mut observed {
        admin_session.roll_back().await;
        *wait = catalog_lock(admin_session, None).await;
    }
    observed
}

/// Observes the audit table of the database in which roles and databases are changed, if the run writes audit
/// rows.
pub(crate) async fn audit_table_of_server(
    admin: &Endpoint,
    admin_session: &Session,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), ObserveError> {
    if desired.audit_table.is_none() {
        return Ok(());
    }
    let database = DatabaseName::new_unchecked(LOCK_DATABASE);
    let own = match observed.admin_database == database {
        true => None,
        false => Some(admin.connect(&database).await?),
    };
    let session = own.as_ref().unwrap_or(admin_session);
    let snapshot = Snapshot::open(session, format!("database {database}")).await?;
    let table = audit_table(&snapshot, desired, observed).await?;
    snapshot.close().await?;
    observed.audit_tables.extend(table.map(|table| (database, table)));
    if let Some(own) = own {
        own.end().await;
    }
    Ok(())
}

/// Observes the audit table of the database of a snapshot, if the run writes audit rows. The query is sent
/// together with others.
async fn audit_table(
    snapshot: &Snapshot<'_>,
    desired: &Desired,
    observed: &Observed,
) -> Result<Option<AuditTable>, ObserveError> {
    let administrator = &observed.administrator.name;
    match &desired.audit_table {
        Some(table) => observe_audit_table(snapshot, table, administrator).await.map(Some),
        None => Ok(None),
    }
}

/// Observes an audit table in the database of a snapshot. It belongs to the administrator.
pub(crate) async fn observe_audit_table(
    snapshot: &Snapshot<'_>,
    table: &AuditTableName,
    administrator: &RoleName,
) -> Result<AuditTable, ObserveError> {
    let (schema, name) = (table.schema().as_str(), table.table().as_str());
    let columns = plan::expected_columns();
    let parameters: [&dyn Parameter; 4] =
        [&schema, &name, &columns.as_str(), &administrator.as_str()];
    snapshot.query(AUDIT_TABLE, &parameters).await
}

/// Returns the settings of roles in all databases, and of databases for all roles.
pub(crate) async fn stored_settings(
    session: &Session,
    roles: &[&str],
    databases: &[&str],
) -> Result<Vec<StoredSettings>, ObserveError> {
    let snapshot = Snapshot::open(session, "the server").await?;
    let stored = snapshot.query(STORED_SETTINGS, &[&roles, &databases]).await?;
    snapshot.close().await?;
    Ok(stored)
}

/// Observes the contents of the databases that the run is about, several at the same time. Returns what the
/// logins of their owners have shown.
async fn observe_databases(
    admin: &Endpoint,
    admin_session: &Session,
    desired: &Desired,
    observed: &mut Observed,
    secrets: &BTreeMap<SecretId, Secret>,
    checks: &PasswordChecks,
    earlier: Option<&EarlierLook>,
) -> BTreeMap<RoleName, FirstLogin> {
    let mut databases = relevant_databases(desired, observed);
    let mut known = BTreeMap::new();
    if let Some(earlier) = earlier {
        databases.retain(|name| match earlier.contents(desired, observed, name) {
            Some(contents) => known.insert(name.clone(), contents).is_some(),
            None => true,
        });
    }
    let roles = relevant_roles(desired, observed);
    let roles: Vec<&str> = roles.iter().map(RoleName::as_str).collect();
    let shared = &*observed;
    let audit_tables = Mutex::new(BTreeMap::new());
    let read = async |session: &Session, name: &DatabaseName| {
        let (contents, table) = read_contents(session, desired, shared, &roles, name).await?;
        let mut tables = audit_tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.extend(table.map(|table| (name.clone(), table)));
        Ok(contents)
    };
    // A delegation has no declared databases, and needs the managed ones.
    let is_needed = |name: &DatabaseName| {
        desired.delegate().is_some()
            || name.as_str() == TEMPLATE
            || desired.databases.contains_key(name)
    };
    let logins = OwnerLogins::new(admin, admin_session, desired, shared, secrets, checks);
    let as_owner = async |name: &DatabaseName| logins.log_in(name).await;
    let read = in_each_as_owner(admin, admin_session, databases, is_needed, as_owner, read).await;
    let logins = logins.into_results();
    let audit_tables = audit_tables.into_inner().unwrap_or_else(PoisonError::into_inner);
    observed.audit_tables.extend(audit_tables);
    for (name, (contents, table)) in known {
        observed.audit_tables.extend(table.map(|table| (name.clone(), table.clone())));
        if let Some(database) = observed.databases.get_mut(&name) {
            database.contents = Some(contents.clone());
        }
    }
    for (name, contents) in read {
        match (contents, observed.databases.get_mut(&name)) {
            (Ok(contents), Some(database)) => database.contents = Some(contents),
            (Ok(contents), None) => observed.template = Some(contents),
            // A database that cannot be read does not prevent the observation of the others,
            // whatever the reason is: its owner decides what it contains.
            (Err(ObserveError::TooLarge { excess, .. }), Some(database)) => {
                database.too_large = Some(excess);
            }
            (Err(error), Some(database)) => database.unreachable = Some(error.reason()),
            (Err(ObserveError::Connect(_)), None) => {}
            // Each role that can connect to the template decides what it contains.
            (Err(ObserveError::TooLarge { excess, .. }), None) => {
                observed.template_unreadable = Some(UnreadableContents::TooLarge(excess));
            }
            (Err(error), None) => {
                observed.template_unreadable = Some(UnreadableContents::Failed(error.reason()));
            }
        }
    }
    logins
}

/// Returns the declared and the managed databases that can be read, and the template if one of the
/// declared databases will be a copy of it. The owner of a database cannot have it read by a marker
/// of its own. A restricted plan concerns no other databases than those
/// of the selected applications.
fn relevant_databases(desired: &Desired, observed: &Observed) -> Vec<DatabaseName> {
    let is_complete = |name: &DatabaseName| {
        let seen = observed.databases.get(name);
        seen.is_some_and(|seen| !seen.is_unfinished(&observed.administrator.name))
    };
    let recorded = plan::Recorded::new(desired, observed);
    let is_managed = |name: &DatabaseName, seen: &Database| {
        plan::has_believed_marker(desired, observed, &recorded, name, seen)
    };
    let databases = observed.databases.iter().filter(|(name, seen)| {
        let is_relevant =
            desired.selects_database(name) || desired.only.is_empty() && is_managed(name, seen);
        is_relevant && seen.connectable
    });
    let copies_template = desired.delegate().is_some()
        || desired.selected_databases().any(|(name, _)| !is_complete(name));
    let template = copies_template.then(|| DatabaseName::new_unchecked(TEMPLATE));
    databases.map(|(name, _)| name.clone()).chain(template).collect()
}

/// Returns the declared roles with their clones and the orphans, whose privileges are queried. A role that
/// another role than an administrator can have marked is not one of them: it is reported as undeclared.
fn relevant_roles(desired: &Desired, observed: &Observed) -> BTreeSet<RoleName> {
    let clones = observed.clones.values().map(|clone| &clone.name);
    let managed = observed.roles.iter().filter(|(_, seen)| desired.manages(seen.marker().as_ref()));
    // A role has the privileges that its database's owner grants to such a group.
    let groups = plan::predefined_groups(desired, observed);
    let names = managed.map(|(name, _)| name).chain(desired.roles.keys()).chain(clones);
    names.chain(groups).cloned().collect()
}

/// What most databases do not contain.
#[derive(Default, Deserialize)]
struct OtherObjects {
    objects: Vec<Object>,
    owned: Vec<Owned>,
    large_object_owners: BTreeSet<RoleName>,
    owners_only_superusers_replace: BTreeSet<RoleName>,
    undeclared_routine_owners: BTreeMap<RoleName, BTreeSet<SchemaName>>,
}

impl OtherObjects {
    fn add_to(self, contents: &mut Contents) {
        contents.objects = self.objects;
        contents.owned = self.owned;
        contents.large_object_owners = self.large_object_owners;
        contents.owners_only_superusers_replace = self.owners_only_superusers_replace;
        contents.undeclared_routine_owners = self.undeclared_routine_owners;
    }
}

/// Reads the contents of the database of a session, in one snapshot.
///
/// The names of relations are queried only if a statement of the plan needs them, because a
/// database can contain very many.
async fn read_contents(
    session: &Session,
    desired: &Desired,
    observed: &Observed,
    roles: &[&str],
    name: &DatabaseName,
) -> Result<(Contents, Option<AuditTable>), ObserveError> {
    let snapshot = Snapshot::open(session, format!("database {name}")).await?;
    let administrators = observed.administrators.as_slice();
    let large_object_owners = large_object_owners(desired, observed, name);
    let is_template = name.as_str() == TEMPLATE;
    let audit_table = async {
        if is_template { Ok(None) } else { audit_table(&snapshot, desired, observed).await }
    };
    let declared = desired.databases.get(name);
    let new_owner = declared.and_then(|database| database.owner.as_ref());
    let (size, audit_table) =
        tokio::join!(snapshot.check_size(&large_object_owners, new_owner), audit_table);
    // The owner may have given the name to another database since the others were observed.
    let size = size?;
    let oid = observed.databases.get(name).and_then(|seen| seen.oid);
    if oid.is_some_and(|oid| oid != size.database) {
        return Err(ObserveError::Query {
            place: format!("database {name}"),
            reason: "it was replaced by another database in the meantime".to_owned(),
        });
    }
    let audit_table = audit_table?;
    let audit_columns = COLUMNS.map(|(name, _)| name).to_vec();
    let parameters: [&dyn Parameter; 3] = [&roles, &administrators, &audit_columns];
    let contents = snapshot.query::<Contents>(DATABASE, &parameters);
    let of_objects: [&dyn Parameter; 5] = [
        &roles,
        &administrators,
        &large_object_owners,
        &new_owner.map(RoleName::as_str),
        &observed.oid_of(&observed.administrator.name),
    ];
    let others = async {
        match size.has_other_objects {
            true => snapshot.query(OTHER_OBJECTS, &of_objects).await,
            false => Ok(OtherObjects::default()),
        }
    };
    // Both are sent at once.
    let (contents, others) = tokio::join!(contents, others);
    let mut contents = contents?;
    others?.add_to(&mut contents);
    let groups = plan::predefined_groups(desired, observed);
    let groups: Option<Vec<&str>> =
        (!is_template).then(|| groups.into_iter().map(|group| group.as_str()).collect());
    if groups.as_ref().is_none_or(|groups| !groups.is_empty()) {
        contents.objects_of_others =
            snapshot.query(OBJECTS_OF_OTHERS, &[&groups, &administrators]).await?;
    }
    let owner = observed.databases.get(name).map(|seen| &seen.owner);
    if let (Some(owner), Some(new_owner)) = (owner, new_owner) {
        let administrator = &observed.administrator.name;
        let covered = declared.into_iter().flat_map(|database| database.covered_schemas());
        let covered = covered.map(SchemaName::as_str).collect();
        let named = desired.audit_table.as_ref().map(AuditTableName::schema);
        let found = contents.audit_schemas.clone();
        let audit_schemas = found.iter().chain(named).map(SchemaName::as_str).collect();
        let transfer = |from, one_by_one, schemas| Transfer {
            from,
            to: new_owner,
            one_by_one,
            schemas,
            audit_schemas: &audit_schemas,
            covered: &covered,
            insiders: declared.map(|one| one.insiders(owner, administrator)).unwrap_or_default(),
        };
        if owner != new_owner {
            let transfer = transfer(owner, owner == administrator, None);
            contents.ownership_transfer = transfer.observe(&snapshot).await?;
        }
        let schemas = declared.and_then(|database| database.owner_schemas());
        let schemas = schemas.into_iter().flatten().filter(|_| desired.may_change_owners);
        for (name, seen) in schemas.filter_map(|name| contents.schemas.get_key_value(name)) {
            if ![owner, new_owner].contains(&&seen.owner)
                && seen.owner.as_str() != plan::DATABASE_OWNER
            {
                let transfer = transfer(&seen.owner, false, Some(vec![name.as_str()]));
                let observed = transfer.observe_code(&snapshot).await?;
                contents.transferred_schemas.insert(name.clone(), observed);
            }
        }
        let is_creator = declared.is_some_and(|one| one.creators.contains(administrator));
        let owns_objects = contents.owned.iter().any(|owned| owned.role == *administrator);
        if owner != administrator && !is_creator && owns_objects {
            let schemas = declared.and_then(|database| database.owner_schemas());
            let schemas = schemas.into_iter().flatten().map(SchemaName::as_str).collect();
            let transfer = transfer(administrator, true, Some(schemas));
            contents.objects_of_administrator = transfer.observe(&snapshot).await?;
        }
    }
    // Last, because what the plan transfers to another owner decides about the names that it needs.
    let needed = plan::required_relation_names(desired, observed, name, &contents);
    if !needed.is_empty() {
        let numbers: Vec<i64> = needed.into_iter().collect();
        let mut names: BTreeMap<i64, Vec<String>> =
            snapshot.query(NAMES, &[&roles, &administrators, &numbers]).await?;
        for group in contents.schemas.values_mut().flat_map(|schema| &mut schema.relations) {
            group.names = names.remove(&group.number).unwrap_or_default();
        }
    }
    // The end of the session ends its snapshot, too, but a pooler keeps the session.
    if session.is_pooled {
        snapshot.close().await?;
    }
    Ok((contents, audit_table))
}

/// Returns the OIDs of the roles whose large objects count in a database: its owners, its creators and their
/// clones, and the administrator. Any other role that can connect could stop the plan with its own.
fn large_object_owners(desired: &Desired, observed: &Observed, name: &DatabaseName) -> Vec<u32> {
    let administrator = &observed.administrator.name;
    let owner = observed.databases.get(name).map_or(administrator, |seen| &seen.owner);
    let declared = desired.databases.get(name);
    let owners = match declared {
        Some(declared) => declared.insiders(owner, administrator),
        None => BTreeSet::from([owner, administrator]),
    };
    let clones = owners.iter().filter_map(|owner| observed.clones.get(*owner));
    let owners = clones.map(|clone| &clone.name).chain(owners.iter().copied());
    owners.filter_map(|owner| observed.oid_of(owner)).collect()
}

/// The objects of a role in one database that get another owner.
struct Transfer<'a> {
    from: &'a RoleName,
    to: &'a RoleName,
    /// Whether the objects are transferred one by one, and not with `REASSIGN OWNED`.
    one_by_one: bool,
    /// The only schemas whose objects are transferred one by one, or which are transferred without their objects;
    /// `None` means all objects.
    schemas: Option<Vec<&'a str>>,
    /// The schemas of audit tables, which stay with the administrator.
    audit_schemas: &'a Vec<&'a str>,
    /// The schemas that an application covers.
    covered: &'a Vec<&'a str>,
    /// The roles whose objects and schemas do not count.
    insiders: BTreeSet<&'a RoleName>,
}

impl Transfer<'_> {
    async fn observe(&self, snapshot: &Snapshot<'_>) -> Result<OwnershipTransfer, ObserveError> {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        let parameters: [&dyn Parameter; 5] =
            [&from, &to, &self.one_by_one, &self.schemas, self.audit_schemas];
        let transfer: OwnershipTransfer = snapshot.query(OWNERSHIP_TRANSFER, &parameters).await?;
        // A part of the objects that is empty is not transferred.
        if self.schemas.is_some() && transfer.administrator_objects.is_empty() {
            return Ok(transfer);
        }
        let OwnershipTransfer { code, fingerprint, .. } = self.observe_code(snapshot).await?;
        Ok(OwnershipTransfer { code, fingerprint, ..transfer })
    }

    async fn observe_code(
        &self,
        snapshot: &Snapshot<'_>,
    ) -> Result<OwnershipTransfer, ObserveError> {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        let insiders: Vec<&str> = self.insiders.iter().map(|role| role.as_str()).collect();
        let parameters: [&dyn Parameter; 6] =
            [&from, &self.one_by_one, &self.schemas, &to, &insiders, &self.covered];
        let (code, fingerprint) = tokio::join!(
            snapshot.query(HANDED_OVER_CODE, &parameters),
            snapshot.query_text(FINGERPRINT, &parameters)
        );
        let fingerprint = Some(fingerprint?);
        Ok(OwnershipTransfer { code: code?, fingerprint, ..OwnershipTransfer::default() })
    }
}

/// Executes the statement of a probe and rolls it back, to learn whether the administrator has the
/// permission that the probe asks for.
pub(crate) async fn probe(
    session: &Session,
    probe: &Probe,
    statement: &str,
) -> Result<ProbeResult, ObserveError> {
    let failed = |error: tokio_postgres::Error| ObserveError::Query {
        place: "the permissions of the administrator".to_owned(),
        reason: session.describe(&error),
    };
    let client = &session.client;
    // `CREATE DATABASE` cannot be executed in a transaction.
    let in_transaction = *probe != Probe::CreateDatabase;
    if in_transaction {
        let begin = "BEGIN READ WRITE; SET LOCAL lock_timeout = '3s'";
        client.batch_execute(begin).await.map_err(failed)?;
    }
    let result = client.batch_execute(statement).await;
    if in_transaction {
        // A `GRANT` without an effect is not a failure of the next transaction.
        let _ = session.take_notices();
        client.batch_execute("ROLLBACK").await.map_err(failed)?;
    } else if result.is_ok() {
        // A template of this name exists after all.
        client.batch_execute("DROP DATABASE rdsprov_probe").await.map_err(failed)?;
    }
    match result {
        Ok(()) => Ok(ProbeResult::Allowed),
        Err(error) => match error.code() {
            Some(code) if Some(code.code()) == probe.expected_error() => Ok(ProbeResult::Allowed),
            Some(_) => Ok(ProbeResult::Denied(describe_error(&error))),
            None => Err(failed(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_states::{desired, marker, observed_with};

    /// What a role has that is not concerned is reported as undeclared.
    #[test]
    fn roles_that_others_have_marked_are_not_concerned() {
        let comment = marker("old", "old_role", "");
        let mut observed = observed_with(&[("old_role", &comment)], &[]);
        let role = RoleName::new_unchecked("old_role");
        assert!(relevant_roles(&desired(), &observed).contains(&role));
        let seen = observed.roles.get_mut(&role).unwrap();
        seen.controllers = vec![RoleName::new_unchecked("mallory")];
        assert!(!relevant_roles(&desired(), &observed).contains(&role));
    }
}
