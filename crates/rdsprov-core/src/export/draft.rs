//! The entries that are nearest to the observed state of a server.

use std::collections::{BTreeMap, BTreeSet};

use super::context::ExportContext;
use super::entry_text;
use super::held::{Held, held_by_role};
use super::keys;
use super::level::{Nearest, nearest};
use super::refine::refine;
use super::scope::ExportFormat;
use super::survey::{Candidates, of_role};
use crate::definitions::{Application, Auth, Defaults, Definitions, Rules, SourceText, Syntax};
use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::name::{ApplicationName, DatabaseName, ExtensionName, RoleName, SchemaName};
use crate::observed::{
    AclItem, Contents, Database, Grantee, Observed, Relations, Role, UNDECODABLE,
};
use crate::predefined_role;
use crate::privilege::{AccessLevel, ObjectKind, Privilege};
use crate::secret_id::TemplateError;
use crate::setting::Parameter;
use crate::valid_until::ValidUntil;

/// The predefined role whose only member is the owner of the current database.
const DATABASE_OWNER: &str = "pg_database_owner";

/// A role or a database that an export does not declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The role or database: `role ada`.
    pub subject: String,
    /// Why it is left out.
    pub reason: String,
}

/// An entry, and why definitions cannot contain it.
#[derive(Debug)]
pub(super) struct DraftEntry {
    pub application: Application,
    /// The errors with which definitions would be rejected; empty for a valid entry.
    pub errors: Vec<Diagnostic>,
}

/// The entries that are nearest to an observed state, without what a plan of them would change.
#[derive(Debug)]
pub struct Draft {
    pub(super) environment: String,
    pub(super) secret_template: String,
    pub(super) defaults: Defaults,
    pub(super) entries: Vec<DraftEntry>,
    pub(super) left_out: Vec<LeftOut>,
    /// Sentences about creators that the user must look at.
    pub(super) doubtful: Vec<String>,
    /// The scope that the text declares; `None` without one, and if `rdsprov.toml` sets it.
    pub(super) scope: Option<String>,
    /// The scopes of the managed roles, if there are several.
    pub(super) several_scopes: Vec<String>,
    desired: Desired,
}

impl Draft {
    /// Finds the entries. The state must be observed for the desired state of
    /// [`survey`](super::survey()).
    ///
    /// # Errors
    /// Returns a [`TemplateError`] if the template for the ids of secrets cannot be used.
    pub fn new(observed: &Observed, context: &ExportContext<'_>) -> Result<Self, TemplateError> {
        let candidates = Candidates::new(observed, context)?;
        let mut drafting =
            Drafting { observed, context, candidates, left_out: Vec::new(), doubtful: Vec::new() };
        let mut applications = drafting.applications();
        keys::assign(&mut applications, observed, context);
        applications.sort_by(|one, other| one.application.cmp(&other.application));
        drafting.roles_without_entry(&applications);
        let Drafting { left_out, doubtful, .. } = drafting;
        let defaults = context.rules.defaults_for(Some(context.environment));
        let (mut valid, mut invalid) = (Vec::new(), Vec::new());
        for application in applications {
            let errors = errors(&application, &defaults, context);
            if errors.is_empty() {
                valid.push(application);
            } else {
                invalid.push(DraftEntry { application, errors });
            }
        }
        let recorded = scopes(&valid, observed, context);
        let rules = context.rules;
        let is_ignored = rules.ignore_keys.iter().any(|ignored| ignored == "scope");
        let scope = match (recorded.as_slice(), &rules.scope) {
            ([Some(scope)], None) if !is_ignored => Some(scope.clone()),
            _ => None,
        };
        let of_definitions = scope.as_deref().or(rules.scope.as_deref());
        refine(&mut valid, observed, context, of_definitions)?;
        let desired = context.desired(&valid, of_definitions)?;
        let several_scopes = match recorded.as_slice() {
            [] | [_] => Vec::new(),
            all => all.iter().map(|one| one.clone().unwrap_or_else(|| "none".to_owned())).collect(),
        };
        let valid = valid.into_iter();
        let valid = valid.map(|application| DraftEntry { application, errors: Vec::new() });
        Ok(Self {
            environment: context.environment.to_owned(),
            secret_template: context.templates.application.clone(),
            defaults,
            entries: valid.chain(invalid).collect(),
            left_out,
            doubtful,
            scope,
            several_scopes,
            desired,
        })
    }

    /// Returns the entries, also those that definitions cannot contain.
    pub fn applications(&self) -> impl Iterator<Item = &Application> {
        self.entries.iter().map(|entry| &entry.application)
    }

    /// Returns the desired state of the entries, with permission to adopt what they name.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        &self.desired
    }
}

/// Returns the scopes of the managed roles of some entries, as only administrators can write them.
fn scopes(
    applications: &[Application],
    observed: &Observed,
    context: &ExportContext<'_>,
) -> Vec<Option<String>> {
    let markers = applications.iter().filter_map(|one| observed.roles.get(&one.username)?.marker());
    let managed = markers.filter(|marker| marker.environment == context.environment);
    managed.map(|marker| marker.scope).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the errors with which the rules of the definitions reject an entry.
fn errors(
    application: &Application,
    defaults: &Defaults,
    context: &ExportContext<'_>,
) -> Vec<Diagnostic> {
    let alone = Application { role_owner: true, ..application.clone() };
    let lines = entry_text::lines(&alone, defaults, ExportFormat::Tfvars);
    let text = entry_text::file(context.environment, None, &[lines], ExportFormat::Tfvars);
    let source = SourceText { path: "export".to_owned(), text, syntax: Syntax::Hcl };
    let rules = Rules { mode: None, ..context.rules.clone() };
    let parsed = Definitions::parse(&[source], &rules);
    parsed.err().map(|errors| errors.diagnostics().collect()).unwrap_or_default()
}

struct Drafting<'a> {
    observed: &'a Observed,
    context: &'a ExportContext<'a>,
    candidates: Candidates,
    left_out: Vec<LeftOut>,
    /// See [`Draft::doubtful`].
    doubtful: Vec<String>,
}

impl Drafting<'_> {
    fn leave_out(&mut self, subject: String, reason: impl Into<String>) {
        self.left_out.push(LeftOut { subject, reason: reason.into() });
    }

    fn applications(&mut self) -> Vec<Application> {
        let mut applications = Vec::new();
        for name in self.candidates.databases.clone() {
            let Some(database) = self.observed.databases.get(&name) else { continue };
            let subject = format!("database {name}");
            let Some(contents) = &database.contents else {
                self.leave_out(subject, unreadable(database));
                continue;
            };
            let entries = self.of_database(&name, database, contents);
            if entries.is_empty() {
                let owner = &database.owner;
                let reason = format!(
                    "its owner is {owner}, and no role that an application can use has privileges \
                     of its own in it"
                );
                self.leave_out(subject, reason);
            }
            applications.extend(entries);
        }
        let declared: BTreeSet<RoleName> =
            applications.iter().map(|one| one.username.clone()).collect();
        for of_database in applications.chunk_by_mut(|a, b| a.database_name == b.database_name) {
            let creators = self.creators(of_database, &declared);
            if let Some(first) = of_database.first_mut() {
                first.creators = creators;
            }
        }
        applications
    }

    /// Returns the entries of one database, the owner entry first. They have no keys yet.
    fn of_database(
        &self,
        name: &DatabaseName,
        database: &Database,
        contents: &Contents,
    ) -> Vec<Application> {
        let mut entries = Vec::new();
        let roles = &self.candidates.roles;
        if roles.contains(&database.owner) {
            let schemas = owner_schemas(database, contents);
            let extensions = contents.extensions.keys().filter(|one| is_usual(one)).cloned();
            let extensions = extensions.collect();
            let level = AccessLevel::Owner;
            entries.extend(self.entry(name, database, &database.owner, level, schemas, extensions));
        }
        for (role, Held { schemas, extensions }) in held_by_role(database, contents) {
            if role == database.owner || !roles.contains(&role) {
                continue;
            }
            let Some(Nearest { level, schemas, .. }) = nearest(&role, &schemas, database, contents)
            else {
                continue;
            };
            let extensions = extensions.into_iter().filter(is_usual).collect();
            entries.extend(self.entry(name, database, &role, level, schemas, extensions));
        }
        entries
    }

    fn entry(
        &self,
        name: &DatabaseName,
        database: &Database,
        role: &RoleName,
        level: AccessLevel,
        schemas: Vec<SchemaName>,
        extensions: Vec<ExtensionName>,
    ) -> Option<Application> {
        let seen = self.observed.roles.get(role)?;
        // Replaced when all entries are known.
        let key = ApplicationName::new("application").ok()?;
        let settings = database.settings.get(role).into_iter().flatten();
        let settings = settings.filter(|(parameter, value)| {
            Parameter::new(&parameter.to_string()).is_ok() && !value.contains(UNDECODABLE)
        });
        let until = seen.valid_until.as_deref().and_then(|time| ValidUntil::new(time).ok());
        Some(Application {
            schemas,
            extensions,
            auth: if seen.uses_iam_auth() { Auth::Iam } else { Auth::Password },
            createdb: seen.create_database,
            memberships: self.memberships(seen),
            connection_limit: seen.connection_limit,
            valid_until: until,
            settings: settings.map(|(one, value)| (one.clone(), value.clone())).collect(),
            ..of_role(key, name, role, level)
        })
    }

    /// Returns the memberships that definitions can declare. A plan revokes the others.
    fn memberships(&self, seen: &Role) -> Vec<RoleName> {
        let groups = seen.memberships.iter().filter(|one| !one.is_admin_only());
        let groups = groups.filter_map(|one| {
            predefined_role::check(one.role.as_str(), &self.context.rules.memberships).ok()
        });
        let groups: BTreeSet<RoleName> =
            groups.filter(|group| !self.candidates.roles.contains(group)).collect();
        groups.into_iter().collect()
    }

    /// Returns the roles beside the owner for whose future objects declared roles have privileges, if they
    /// own objects or can create some, and those of `declared` that own objects: a plan refuses these
    /// otherwise.
    ///
    /// Each role that can connect can write default privileges for itself. One that can create nothing must
    /// not become a creator because of them unnoticed: a comment lists it. It stays one if it is managed,
    /// because a plan can have written them.
    fn creators(
        &mut self,
        entries: &[Application],
        declared: &BTreeSet<RoleName>,
    ) -> Vec<RoleName> {
        let name = entries.first().map(|one| &one.database_name);
        let database = name.and_then(|name| self.observed.databases.get(name));
        let Some((database, contents)) =
            database.and_then(|database| Some((database, database.contents.as_ref()?)))
        else {
            return Vec::new();
        };
        let uses = |role: &RoleName, schema: &SchemaName| {
            entries.iter().any(|one| one.username == *role && one.schemas.contains(schema))
        };
        let granting = contents.default_privileges.iter().filter(|row| {
            let grantees = row.acl.iter().filter_map(|item| item.grantee.role());
            ObjectKind::RELATIONS.contains(&row.kind)
                && row.schema.as_ref().is_some_and(|schema| {
                    let mut others = grantees.filter(|role| **role != row.role);
                    others.any(|role| *role != database.owner && uses(role, schema))
                })
        });
        let covered: BTreeSet<&SchemaName> = entries.iter().flat_map(|one| &one.schemas).collect();
        let (granting, unable): (BTreeSet<&RoleName>, BTreeSet<&RoleName>) = granting
            .map(|row| &row.role)
            .partition(|role| self.creates(role, database, contents, &covered));
        let relations = contents.schemas.iter().filter(|(name, _)| covered.contains(name));
        let relations = relations.flat_map(|(_, schema)| &schema.relations);
        let owners = relations.filter(|group| !group.of_extension).map(|group| &group.owner);
        let owners = owners.filter(|owner| **owner == self.observed.administrator.name);
        let others = contents.owned.iter().map(|owned| &owned.role);
        let others = others.filter(|role| declared.contains(*role));
        let all = granting.into_iter().chain(owners).chain(others);
        let can_be_named = |role: &&RoleName| {
            let seen = self.observed.roles.get(*role);
            **role != database.owner
                && RoleName::new(role.as_str()).is_ok()
                && seen.is_some_and(|seen| !seen.superuser)
        };
        let mut creators: BTreeSet<&RoleName> = all.filter(can_be_named).collect();
        let unable =
            unable.into_iter().filter(|role| !creators.contains(role)).filter(can_be_named);
        let is_managed = |role: &&RoleName| {
            let marker = self.observed.roles.get(*role).and_then(Role::marker);
            marker.is_some_and(|marker| marker.environment == self.context.environment)
        };
        let (managed, others): (Vec<&RoleName>, Vec<&RoleName>) = unable.partition(is_managed);
        let name = entries.first().map(|one| one.database_name.to_string()).unwrap_or_default();
        const UNABLE: &str = "owns no objects there, and cannot create any in a covered schema";
        let doubtful = managed.iter().map(|role| {
            format!("`creators` of database {name} names {role}, which {UNABLE}: remove it, if it creates none.")
        });
        let doubtful: Vec<String> = doubtful.collect();
        let left_out = others.iter().map(|role| LeftOut {
            subject: format!("creator {role} of database {name}"),
            reason: format!("it has default privileges for declared roles, but {UNABLE}"),
        });
        let left_out: Vec<LeftOut> = left_out.collect();
        creators.extend(managed);
        let creators = creators.into_iter().cloned().collect();
        self.doubtful.extend(doubtful);
        self.left_out.extend(left_out);
        creators
    }

    /// Returns whether a role owns objects in a database, or can create relations in a covered schema.
    /// `CREATE` of PUBLIC does not count: a plan revokes it.
    fn creates(
        &self,
        role: &RoleName,
        database: &Database,
        contents: &Contents,
        covered: &BTreeSet<&SchemaName>,
    ) -> bool {
        if contents.owned.iter().any(|owned| owned.role == *role) {
            return true;
        }
        let mut roles = BTreeSet::from([role]);
        let mut next = vec![role];
        while let Some(seen) = next.pop().and_then(|role| self.observed.roles.get(role)) {
            for one in seen.memberships.iter().filter(|one| !one.is_admin_only()) {
                if roles.insert(&one.role) {
                    next.push(&one.role);
                }
            }
        }
        let has = |owner: &RoleName| {
            roles.contains(owner)
                || owner.as_str() == DATABASE_OWNER && roles.contains(&database.owner)
        };
        let schemas = contents.schemas.iter().filter(|(name, _)| covered.contains(name));
        schemas.into_iter().any(|(_, schema)| {
            let creates = |item: &AclItem| {
                item.privilege == Privilege::Create && item.grantee.role().is_some_and(has)
            };
            let owns = |group: &Relations| group.owner == *role;
            has(&schema.owner)
                || schema.acl.iter().any(creates)
                || schema.relations.iter().any(owns)
        })
    }

    /// Returns the roles with privileges in the databases of the export, and their direct and indirect members.
    fn with_access(&self) -> BTreeSet<&RoleName> {
        let names = self.candidates.databases.iter();
        let databases = names.filter_map(|name| self.observed.databases.get(name));
        let mut reaching: BTreeSet<&RoleName> = BTreeSet::new();
        for database in databases {
            reaching.insert(&database.owner);
            reaching.extend(database.acl.iter().filter_map(|item| item.grantee.role()));
            let Some(contents) = &database.contents else { continue };
            reaching.extend(contents.undeclared_grantees.keys());
            let held = held_by_role(database, contents);
            let held = held.keys().filter_map(|role| self.observed.roles.get_key_value(role));
            reaching.extend(held.map(|(name, _)| name));
        }
        let members = members(self.observed);
        let mut next: Vec<&RoleName> = reaching.iter().copied().collect();
        while let Some(role) = next.pop() {
            for member in members.get(role).into_iter().flatten() {
                if reaching.insert(member) {
                    next.push(member);
                }
            }
        }
        reaching
    }

    /// Returns why a role that definitions could declare has no entry: ownership of objects in the database of another
    /// role is not an access level.
    fn reason_without_entry(&self, role: &RoleName) -> String {
        let names = self.candidates.databases.iter();
        let databases = names.filter(|name| {
            let seen = self.observed.databases.get(*name);
            let contents = seen.and_then(|seen| seen.contents.as_ref());
            contents.is_some_and(|all| {
                all.owned.iter().any(|one| one.role == *role)
                    || all.large_object_owners.contains(role)
            })
        });
        let databases: Vec<&str> = databases.map(DatabaseName::as_str).collect();
        if databases.is_empty() {
            return "it has no privileges of its own".to_owned();
        }
        format!(
            "it owns objects in {}, and has no other privileges of its own",
            databases.join(", ")
        )
    }

    /// Lists the roles without an entry; if the export covers some databases only, those with access to one of
    /// them.
    fn roles_without_entry(&mut self, applications: &[Application]) {
        let declared: BTreeSet<&RoleName> = applications.iter().map(|one| &one.username).collect();
        let members = members(self.observed);
        let others = self.candidates.other_roles.iter().map(|(role, why)| (role, why.clone()));
        let unused = self.candidates.roles.iter().filter(|role| !declared.contains(role));
        let unused: Vec<_> = unused.map(|role| (role, self.reason_without_entry(role))).collect();
        let reaching = self.with_access();
        let mut reasons = Vec::new();
        for (role, mut reason) in others.chain(unused) {
            let owned: Vec<&str> = self
                .candidates
                .databases
                .iter()
                .filter(|name| {
                    self.observed.databases.get(*name).is_some_and(|one| one.owner == *role)
                })
                .map(DatabaseName::as_str)
                .collect();
            let is_concerned = !owned.is_empty() || reaching.contains(role);
            if self.context.scope.is_restricted() && !is_concerned {
                continue;
            }
            if !owned.is_empty() {
                reason += &format!("; it owns {}", owned.join(", "));
            }
            let seen = self.observed.roles.get(role);
            let groups = seen.into_iter().flat_map(|seen| &seen.memberships);
            let groups: Vec<&str> = groups.map(|one| one.role.as_str()).collect();
            if !groups.is_empty() {
                let membership = format!("it is a member of {}", groups.join(", "));
                if !reason.ends_with(&membership) {
                    reason += &format!("; {membership}");
                }
            }
            if let Some(members) = members.get(role) {
                let members: Vec<&str> = members.iter().map(|one| one.as_str()).collect();
                reason += &format!("; its members are {}", members.join(", "));
            }
            reasons.push((format!("role {role}"), reason));
        }
        for (subject, reason) in reasons {
            self.leave_out(subject, reason);
        }
    }
}

/// Returns the members of each role, except the administrator.
fn members(observed: &Observed) -> BTreeMap<&RoleName, BTreeSet<&RoleName>> {
    let mut members: BTreeMap<&RoleName, BTreeSet<&RoleName>> = BTreeMap::new();
    for (name, seen) in &observed.roles {
        for membership in &seen.memberships {
            if *name != observed.administrator.name {
                members.entry(&membership.role).or_default().insert(name);
            }
        }
    }
    members
}

/// Returns `public` and the schemas of the owner of the database, without those of extensions.
fn owner_schemas(database: &Database, contents: &Contents) -> Vec<SchemaName> {
    let is_own = |owner: &RoleName| *owner == database.owner || owner.as_str() == DATABASE_OWNER;
    let schemas = contents.schemas.iter().filter(|(name, schema)| {
        let is_public = name.as_str() == "public";
        is_public || is_own(&schema.owner) && !schema.of_extension && schema.extension.is_none()
    });
    schemas.map(|(name, _)| name.clone()).collect()
}

/// Returns whether an entry says that it uses an extension. Each database has `plpgsql`.
fn is_usual(extension: &ExtensionName) -> bool {
    extension.as_str() != "plpgsql" && crate::extension_reach::check(extension).is_ok()
}

/// Returns why the contents of a database are not known.
fn unreadable(database: &Database) -> String {
    if !database.allow_connections {
        return "it does not allow connections".to_owned();
    }
    if !database.connectable {
        let reason = "the administrator has no CONNECT on it";
        let is_open = database.acl.iter().any(|item| item.grantee == Grantee::Public);
        return if is_open { reason.to_owned() } else { format!("{reason}, and PUBLIC neither") };
    }
    let too_large = || database.too_large.as_ref().map(|excess| format!("it {excess}"));
    let reason = database.unreachable.clone().or_else(too_large);
    reason.unwrap_or_else(|| "it was not read".to_owned())
}
