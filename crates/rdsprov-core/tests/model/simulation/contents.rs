//! The observed contents of one database: `database.sql` and `ownership_transfer.sql`.

use std::collections::{BTreeMap, BTreeSet};

use rdsprov_core::desired::Desired;
use rdsprov_core::name::{DatabaseName, ExtensionName, RoleName, SchemaName};
use rdsprov_core::object_identity::ObjectIdentity;
use rdsprov_core::observed::{
    Columns, Contents, DefaultPrivileges, Grantee, Observed, Obstacle, Owned, OwnedObject,
    OwnershipTransfer, Relations, Schema, Untransferable,
};
use rdsprov_core::plan::required_relation_names;
use rdsprov_core::privilege::{ObjectKind, Privilege, Privileges};

use super::acl::{Acl, Item, PUBLIC, bits};
use super::catalog::{BOOTSTRAP, Kind, Object, Oid, default_acl};
use super::grant::{quoted, unquoted};
use super::observe::{role_name, schema_name};
use super::{Failure, Outcome, Session};

/// The roles of an observation, as OIDs.
struct Observer<'a> {
    session: &'a Session<'a>,
    concerned: BTreeSet<Oid>,
    administrators: BTreeSet<Oid>,
    objects: &'a [Object],
    owner: Oid,
    large_object_owners: BTreeSet<Oid>,
}

impl Session<'_> {
    /// Returns the contents of the database, with the names of the relations that a plan needs.
    pub(super) fn contents(
        &self,
        desired: &Desired,
        observed: &Observed,
        name: &DatabaseName,
        concerned: &BTreeSet<RoleName>,
    ) -> Outcome<Contents> {
        let declared = desired.databases.get(name);
        let oid = |role: &RoleName| self.catalog().find_role(role.as_str());
        let mut large_object_owners = BTreeSet::from([self.user, self.database_owner()]);
        if let Some(declared) = declared {
            large_object_owners.extend(declared.owner.iter().filter_map(oid));
            large_object_owners.extend(declared.creators.iter().filter_map(oid));
        }
        let observer = Observer {
            session: self,
            concerned: concerned.iter().filter_map(oid).collect(),
            administrators: self.administrators().into_iter().collect(),
            objects: self.objects()?,
            owner: self.database_owner(),
            large_object_owners,
        };
        let mut contents = observer.contents(declared.and_then(|one| one.owner.as_ref()))?;
        if let Some(declared) = declared
            && let Some(new_owner) = &declared.owner
        {
            let owner = self.catalog().role_name(observer.owner);
            let administrator = &observed.administrator.name;
            if owner != new_owner.as_str() {
                let one_by_one = owner == administrator.as_str();
                contents.ownership_transfer =
                    observer.transfer(observer.owner, new_owner, one_by_one, None)?;
            }
            let is_creator = declared.creators.contains(administrator);
            let owns_objects = contents.owned.iter().any(|owned| owned.role == *administrator);
            if owner != administrator.as_str() && !is_creator && owns_objects {
                let schemas: BTreeSet<&str> = declared
                    .owner_schemas()
                    .into_iter()
                    .flatten()
                    .map(SchemaName::as_str)
                    .collect();
                contents.objects_of_administrator =
                    observer.transfer(self.user, new_owner, true, Some(&schemas))?;
            }
        }
        let needed = required_relation_names(desired, observed, name, &contents);
        let groups = contents.schemas.values_mut().flat_map(|one| &mut one.relations);
        for group in groups.filter(|group| !needed.contains(&group.number)) {
            group.names.clear();
        }
        Ok(contents)
    }
}

impl Observer<'_> {
    fn role(&self, oid: Oid) -> RoleName {
        role_name(self.session.catalog().role_name(oid))
    }

    fn acl(&self, acl: &Acl) -> rdsprov_core::observed::Acl {
        self.session.observed_acl(acl)
    }

    fn contents(&self, new_owner: Option<&RoleName>) -> Outcome<Contents> {
        let database = self.session.catalog().database(&self.session.database)?;
        let mut default_privileges: Vec<DefaultPrivileges> = Vec::new();
        for (key, acl) in &database.default_privileges {
            default_privileges.push(DefaultPrivileges {
                role: self.role(key.creator),
                schema: key.schema.as_deref().map(schema_name),
                kind: match key.kind {
                    'r' => ObjectKind::Table,
                    'S' => ObjectKind::Sequence,
                    'f' => ObjectKind::Routine,
                    'T' => ObjectKind::Type,
                    'n' => ObjectKind::Schema,
                    _ => ObjectKind::LargeObject,
                },
                acl: self.acl(acl),
            });
        }
        let extensions = || self.objects.iter().filter(|one| one.kind == Kind::Extension);
        let extension = |one: &Object| ExtensionName::new_unchecked(one.name.as_str());
        let owned = self.owned();
        Ok(Contents {
            schemas: self.schemas(),
            objects: self.listed_objects()?,
            default_privileges,
            extensions: extensions().map(|one| (extension(one), self.role(one.owner))).collect(),
            extension_schemas: extensions()
                .filter_map(|one| Some((extension(one), schema_name(one.schema.as_deref()?))))
                .filter(|(_, schema)| !schema.as_str().starts_with("pg_"))
                .collect(),
            large_object_owners: owned
                .iter()
                .filter(|one| one.kind == Kind::LargeObject)
                .map(|one| self.role(one.owner))
                .collect(),
            owners_only_superusers_replace: self.owners_only_superusers_replace(new_owner),
            owned: self.examples(&owned),
            undeclared_grantees: self.undeclared_grantees(),
            undeclared_routine_owners: self.undeclared_routine_owners(),
            ..Contents::default()
        })
    }

    fn is_of_extension(&self, object: &Object) -> bool {
        self.administrators.contains(&object.owner) && Session::is_extension_object(object)
    }

    fn schemas(&self) -> BTreeMap<SchemaName, Schema> {
        let mut schemas = BTreeMap::new();
        for object in self.objects.iter().filter(|object| object.kind == Kind::Schema) {
            let acl = object.effective_acl(self.session.catalog().major);
            let schema = Schema {
                owner: self.role(object.owner),
                acl: self.acl(&acl),
                of_extension: false,
                extension: None,
                relations: Vec::new(),
                columns: self.columns(&object.name),
            };
            schemas.insert(schema_name(&object.name), schema);
        }
        let mut groups: BTreeMap<(&str, &str, RoleName, bool, Acl), Vec<&Object>> = BTreeMap::new();
        for object in self.objects {
            let (Kind::Relation(kind), Some(schema)) = (object.kind, &object.schema) else {
                continue;
            };
            let kind = if kind == 'S' { "sequence" } else { "table" };
            let acl = object.effective_acl(self.session.catalog().major);
            let granted_on = |item: &&Item| {
                item.grantor != object.owner && self.concerned.contains(&item.grantor)
            };
            let granted_on: BTreeSet<Oid> =
                acl.iter().filter(granted_on).map(|item| item.grantee).collect();
            let is_shown = |item: &&Item| {
                item.grantee == PUBLIC
                    || item.grantee == object.owner
                    || self.concerned.contains(&item.grantee)
                    || granted_on.contains(&item.grantee)
            };
            let acl: Acl = acl.iter().filter(is_shown).copied().collect();
            let key =
                (schema.as_str(), kind, self.role(object.owner), self.is_of_extension(object), acl);
            groups.entry(key).or_default().push(object);
        }
        for (number, ((schema, kind, owner, of_extension, acl), objects)) in (1..).zip(groups) {
            let mut names: Vec<String> = objects.iter().map(|one| one.name.clone()).collect();
            names.sort();
            let group = Relations {
                number,
                owner,
                kind: if kind == "table" { ObjectKind::Table } else { ObjectKind::Sequence },
                acl: self.acl(&acl),
                of_extension,
                initial_privileges_of_public: BTreeSet::new(),
                count: objects.len() as u64,
                names,
            };
            if let Some(found) = schemas.get_mut(&schema_name(schema)) {
                found.relations.push(group);
            }
        }
        schemas
    }

    fn columns(&self, schema: &str) -> Vec<Columns> {
        let mut all = Vec::new();
        let mut relations: Vec<&Object> = self
            .objects
            .iter()
            .filter(|one| matches!(one.kind, Kind::Relation(_)) && one.is_in(schema))
            .collect();
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        for relation in relations {
            let mut groups: BTreeMap<&Acl, Vec<String>> = BTreeMap::new();
            for (name, acl) in &relation.columns {
                let concerns = |item: &Item| {
                    item.grantee == PUBLIC
                        || self.concerned.contains(&item.grantee)
                        || self.concerned.contains(&item.grantor)
                };
                if acl.iter().any(concerns) {
                    groups.entry(acl).or_default().push(name.clone());
                }
            }
            all.extend(groups.into_iter().map(|(acl, names)| Columns {
                relation: relation.name.clone(),
                owner: self.role(relation.owner),
                of_extension: self.is_of_extension(relation),
                initial_privileges_of_public: BTreeSet::new(),
                names,
                acl: self.acl(acl),
                options_on_relation: self.options_on_relation(relation, acl),
            }));
        }
        all
    }

    /// The grant options on a relation of the roles that have granted privileges on its columns.
    fn options_on_relation(
        &self,
        relation: &Object,
        columns: &Acl,
    ) -> BTreeMap<RoleName, Privileges> {
        let grantors: BTreeSet<Oid> = columns
            .iter()
            .map(|item| item.grantor)
            .filter(|grantor| *grantor != relation.owner)
            .collect();
        let of_columns =
            [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::References];
        let mut options: BTreeMap<RoleName, Privileges> = BTreeMap::new();
        let acl = relation.effective_acl(self.session.catalog().major);
        let held = acl.iter().filter(|item| grantors.contains(&item.grantee));
        for item in self.acl(&held.copied().collect()) {
            if let Grantee::Role(role) = item.grantee
                && item.grantable
                && of_columns.contains(&item.privilege)
            {
                options.entry(role).or_default().insert(item.privilege);
            }
        }
        options
    }

    /// The objects that are no relations, with ACLs that concern the observed roles.
    fn listed_objects(&self) -> Outcome<Vec<rdsprov_core::observed::Object>> {
        let mut all = Vec::new();
        for object in self.objects {
            let kind = match object.kind {
                Kind::Routine('p') => ObjectKind::Procedure,
                Kind::Routine(_) => ObjectKind::Function,
                Kind::Type(_) => ObjectKind::Type,
                Kind::Language => ObjectKind::Language,
                Kind::LargeObject => ObjectKind::LargeObject,
                Kind::ForeignServer => ObjectKind::ForeignServer,
                Kind::Wrapper => ObjectKind::ForeignDataWrapper,
                _ => continue,
            };
            let Some(acl) = &object.acl else { continue };
            if kind == ObjectKind::LargeObject && !self.large_object_owners.contains(&object.owner)
            {
                continue;
            }
            let is_closed = matches!(
                kind,
                ObjectKind::LargeObject
                    | ObjectKind::ForeignServer
                    | ObjectKind::ForeignDataWrapper
            );
            let of_administrator = self.administrators.contains(&object.owner);
            let is_predefined = |role: Oid| {
                let name = self.session.catalog().role_name(role);
                name.starts_with("pg_") || name.starts_with("rds_")
            };
            let concerns = |item: &Item| {
                item.grantee == PUBLIC && is_closed
                    || item.grantee != object.owner
                        && (self.concerned.contains(&item.grantee)
                            && !(is_predefined(item.grantee) && of_administrator)
                            || item.grantor != object.owner
                                && self.concerned.contains(&item.grantor))
            };
            let is_withheld = matches!(kind, ObjectKind::Function | ObjectKind::Procedure)
                && object.extension.is_some()
                && !acl.iter().any(|item| item.grantee == PUBLIC);
            if !acl.iter().any(concerns) && !is_withheld {
                continue;
            }
            let mut schemas: BTreeSet<SchemaName> =
                object.schema.iter().map(|schema| schema_name(schema)).collect();
            for (_, argument) in &object.arguments {
                schemas.insert(schema_name(&schema_of_type(argument)));
            }
            all.push(rdsprov_core::observed::Object {
                kind,
                identity: identity(grant_identity(object))?,
                schemas,
                owner: self.role(object.owner),
                of_extension: self.is_of_extension(object),
                extension: object.extension.as_deref().map(ExtensionName::new_unchecked),
                acl: self.acl(acl),
            });
        }
        Ok(all)
    }

    /// The objects of the observed roles and the administrator, unless they own the database.
    fn owned(&self) -> Vec<&Object> {
        let counts = |object: &&Object| {
            let of_administrator = object.owner == self.session.user
                && !matches!(object.kind, Kind::Extension | Kind::Schema)
                && object.extension.is_none();
            object.owner != self.owner
                && !is_multirange(object)
                && !self.is_pinned(object.owner)
                && (self.concerned.contains(&object.owner) || of_administrator)
        };
        self.objects.iter().filter(counts).collect()
    }

    /// The catalog of shared dependencies does not contain the roles of the system.
    fn is_pinned(&self, role: Oid) -> bool {
        role == BOOTSTRAP || self.session.catalog().role_name(role).starts_with("pg_")
    }

    fn examples(&self, owned: &[&Object]) -> Vec<Owned> {
        let mut by_owner: BTreeMap<RoleName, Vec<&Object>> = BTreeMap::new();
        for object in owned.iter().filter(|one| one.kind != Kind::LargeObject) {
            by_owner.entry(self.role(object.owner)).or_default().push(object);
        }
        let examples = by_owner.into_iter().filter_map(|(role, objects)| {
            let first = objects.iter().min_by_key(|one| (class_oid(one.kind), one.oid))?;
            Some(Owned {
                role,
                count: objects.len() as u64,
                kind: kind_words(first.kind).to_owned(),
                identity: object_identity(first),
            })
        });
        examples.collect()
    }

    /// Returns the roles whose objects the administrator cannot transfer.
    fn owners_only_superusers_replace(&self, declared: Option<&RoleName>) -> BTreeSet<RoleName> {
        let session = self.session;
        let catalog = session.catalog();
        let declared_oid = declared.and_then(|name| catalog.find_role(name.as_str()));
        let creates_in_database =
            |role: Oid| session.model.has_database_privilege(role, &session.database, "CREATE");
        let own_create = |object: &Object, role: Oid| {
            let acl = object.effective_acl(catalog.major);
            acl.iter().any(|item| item.grantee == role && item.rights & bits(&["CREATE"]) != 0)
        };
        let needs_superuser = |object: &Object, new_owner: Oid, of_database: bool| {
            let one_by_one = object.owner == session.user;
            match (&object.schema, object.kind) {
                (_, Kind::Wrapper) => !one_by_one,
                (_, Kind::ForeignServer) => {
                    let wrapper = self.objects.iter().find(|one| Some(one.oid) == object.part_of);
                    !wrapper.is_some_and(|one| session.has_privilege(new_owner, one, "USAGE"))
                }
                (_, Kind::Publication) => {
                    let acl = catalog.databases.get(&session.database).map(|one| {
                        let built_in = || default_acl('d', one.owner, catalog.major);
                        one.acl.clone().unwrap_or_else(built_in)
                    });
                    let own = acl.iter().flatten().any(|item| {
                        item.grantee == object.owner && item.rights & bits(&["CREATE"]) != 0
                    });
                    !(creates_in_database(new_owner) || of_database && own)
                }
                (_, Kind::Schema) => {
                    ![session.user, object.owner, new_owner].into_iter().any(creates_in_database)
                }
                (None, _) | (_, Kind::Extension) => false,
                (_, Kind::Relation(_) | Kind::Type(_)) if !one_by_one => false,
                (Some(name), _) => {
                    let schema = self
                        .objects
                        .iter()
                        .find(|one| one.kind == Kind::Schema && one.name == *name);
                    let group = catalog.find_role("pg_database_owner").unwrap_or_default();
                    !schema.is_some_and(|schema| {
                        session.has_privilege(new_owner, schema, "CREATE")
                            || schema.owner == object.owner && own_create(schema, object.owner)
                            || of_database && own_create(schema, group)
                    })
                }
            }
        };
        let replaced = self.objects.iter().filter(|object| {
            let of_database = object.owner == self.owner;
            let one_by_one = object.owner == session.user;
            let new_owner = match (of_database, declared) {
                (false, _) => declared_oid.unwrap_or(self.owner),
                (true, None) => session.user,
                // What a role has that does not exist yet.
                (true, Some(_)) => declared_oid.unwrap_or(PUBLIC),
            };
            let is_transferred = of_database && declared.is_some()
                || one_by_one
                || self.concerned.contains(&object.owner)
                || !of_database && !self.administrators.contains(&object.owner);
            is_transferred
                && new_owner != object.owner
                && !self.is_pinned(object.owner)
                && !is_multirange(object)
                && !(one_by_one && object.extension.is_some())
                && needs_superuser(object, new_owner, of_database)
        });
        replaced.map(|one| self.role(one.owner)).collect()
    }

    fn undeclared_grantees(
        &self,
    ) -> BTreeMap<RoleName, BTreeMap<SchemaName, BTreeSet<ObjectKind>>> {
        let mut all: BTreeMap<RoleName, BTreeMap<SchemaName, BTreeSet<ObjectKind>>> =
            BTreeMap::new();
        for object in self.objects {
            let (Kind::Relation(kind), Some(schema)) = (object.kind, &object.schema) else {
                continue;
            };
            let kind = if kind == 'S' { ObjectKind::Sequence } else { ObjectKind::Table };
            let columns = object.columns.iter().flat_map(|(_, acl)| acl);
            for item in object.acl.iter().flatten().chain(columns) {
                for role in [item.grantee, item.grantor] {
                    let counts = role != PUBLIC
                        && role != object.owner
                        && !self.concerned.contains(&role)
                        && !self.administrators.contains(&role);
                    if counts {
                        let schemas = all.entry(self.role(role)).or_default();
                        schemas.entry(schema_name(schema)).or_default().insert(kind);
                    }
                }
            }
        }
        all
    }

    fn undeclared_routine_owners(&self) -> BTreeMap<RoleName, BTreeSet<SchemaName>> {
        let mut all: BTreeMap<RoleName, BTreeSet<SchemaName>> = BTreeMap::new();
        for object in self.objects {
            let (Kind::Routine(_), Some(schema)) = (object.kind, &object.schema) else { continue };
            let counts = object.owner != self.owner
                && !self.is_pinned(object.owner)
                && !self.concerned.contains(&object.owner)
                && !self.administrators.contains(&object.owner);
            if counts && !schema.starts_with("pg_") && schema != "information_schema" {
                all.entry(self.role(object.owner)).or_default().insert(schema_name(schema));
            }
        }
        all
    }

    /// `ownership_transfer.sql`, without code.
    fn transfer(
        &self,
        from: Oid,
        to: &RoleName,
        one_by_one: bool,
        schemas: Option<&BTreeSet<&str>>,
    ) -> Outcome<OwnershipTransfer> {
        let mut transfer = OwnershipTransfer::default();
        if self.is_pinned(from) {
            return Ok(transfer);
        }
        let new_owner = self.session.catalog().find_role(to.as_str());
        let has = |object: &Object, privilege: &str| match new_owner {
            Some(role) => self.session.has_privilege(role, object, privilege),
            // PUBLIC.
            None => self.session.has_privilege(PUBLIC, object, privilege),
        };
        let is_moved = |object: &&Object| {
            object.owner == from
                && object.kind != Kind::Extension
                && !is_multirange(object)
                && schemas.is_none_or(|all| {
                    object.schema.as_deref().is_some_and(|schema| all.contains(schema))
                })
                && !(object.kind == Kind::Relation('S') && object.part_of.is_some())
                && !(one_by_one && object.extension.is_some())
        };
        let mut moved: Vec<&Object> = self.objects.iter().filter(is_moved).collect();
        moved.sort_by_key(|one| {
            let words = kind_words(one.kind);
            (words != "schema", words, transfer_identity(one))
        });
        for object in moved {
            let named = owned_object(object)?;
            let mut obstacles = Vec::new();
            if object.kind == Kind::ForeignServer {
                let wrapper = self.objects.iter().find(|one| Some(one.oid) == object.part_of);
                if !wrapper.is_some_and(|wrapper| has(wrapper, "USAGE")) {
                    obstacles.push(Obstacle::Wrapper);
                }
            }
            let is_checked =
                one_by_one || !matches!(object.kind, Kind::Relation(_) | Kind::Type(_));
            if let Some(name) = object.schema.as_ref().filter(|_| is_checked) {
                let schema =
                    self.objects.iter().find(|one| one.kind == Kind::Schema && one.name == *name);
                let may = schema.is_some_and(|schema| {
                    let acl = schema.effective_acl(self.session.catalog().major);
                    let creates = acl.iter().filter(|one| one.rights & bits(&["CREATE"]) != 0);
                    let mut grantees = creates.map(|one| one.grantee);
                    has(schema, "CREATE")
                        || grantees.any(|one| {
                            one == from && schema.owner == from
                                || one != PUBLIC && self.role(one).as_str() == "pg_database_owner"
                        })
                });
                if !may {
                    obstacles.push(Obstacle::Schema(schema_name(name)));
                }
            }
            if object.kind == Kind::Wrapper && !one_by_one {
                obstacles.push(Obstacle::Superuser);
            }
            for obstacle in obstacles {
                let object = named.clone();
                transfer.untransferable.push(Untransferable { object, obstacle });
            }
            if one_by_one && object.kind != Kind::Wrapper {
                transfer.administrator_objects.push(named);
            }
        }
        transfer.untransferable.sort_by(|a, b| {
            let key = |one: &Untransferable| {
                (one.object.kind.keywords(), one.object.identity.as_str().to_owned())
            };
            key(a).cmp(&key(b))
        });
        Ok(transfer)
    }
}

/// The catalog of shared dependencies contains the range of a multirange only.
fn is_multirange(object: &Object) -> bool {
    object.kind == Kind::Type('m')
}

fn identity(text: String) -> Outcome<ObjectIdentity> {
    ObjectIdentity::try_from(text).map_err(|error| Failure::unknown(error.to_string()))
}

fn owned_object(object: &Object) -> Outcome<OwnedObject> {
    let value = serde_json::json!({
        "kind": kind_words(object.kind).to_uppercase().replace('-', " "),
        "identity": transfer_identity(object),
    });
    serde_json::from_value(value).map_err(|error| Failure::unknown(error.to_string()))
}

/// `getObjectTypeDescription`.
fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Schema => "schema",
        Kind::Relation('S') => "sequence",
        Kind::Relation('v') => "view",
        Kind::Relation('m') => "materialized view",
        Kind::Relation('f') => "foreign table",
        Kind::Relation(_) => "table",
        Kind::Routine('p') => "procedure",
        Kind::Routine('a') => "aggregate",
        Kind::Routine(_) => "function",
        Kind::Type(_) => "type",
        Kind::Language => "language",
        Kind::LargeObject => "large object",
        Kind::ForeignServer => "server",
        Kind::Wrapper => "foreign-data wrapper",
        Kind::Extension => "extension",
        Kind::TextSearchConfiguration => "text search configuration",
        Kind::Publication => "publication",
    }
}

/// The OID of the system catalog.
fn class_oid(kind: Kind) -> Oid {
    match kind {
        Kind::Type(_) => 1247,
        Kind::Routine(_) => 1255,
        Kind::Relation(_) => 1259,
        Kind::ForeignServer => 1417,
        Kind::Wrapper => 2328,
        Kind::Language => 2612,
        Kind::LargeObject => 2613,
        Kind::Schema => 2615,
        Kind::Extension => 3079,
        Kind::TextSearchConfiguration => 3602,
        Kind::Publication => 6104,
    }
}

/// `getObjectIdentity`.
fn object_identity(object: &Object) -> String {
    let name = match object.kind {
        Kind::LargeObject => object.name.clone(),
        _ => quoted(&object.name),
    };
    let name = match (&object.schema, object.kind) {
        (_, Kind::Extension) | (None, _) => name,
        (Some(schema), _) => format!("{}.{name}", quoted(schema)),
    };
    if !matches!(object.kind, Kind::Routine(_)) {
        return name;
    }
    let inputs = object.arguments.iter().filter(|(is_out, _)| !is_out);
    let types = inputs.map(|(_, kind)| match kind.trim_start_matches("VARIADIC ") {
        // `format_type` qualifies the types that SQL has no words for.
        name @ ("text" | "regclass") => format!("pg_catalog.{name}"),
        name => name.to_owned(),
    });
    let types: Vec<String> = types.collect();
    format!("{name}({})", types.join(","))
}

/// The name in `GRANT`: for a procedure with the modes of its arguments.
fn grant_identity(object: &Object) -> String {
    match (object.kind, &object.schema) {
        (Kind::Routine('p'), Some(schema)) => {
            let arguments = identity_arguments(object);
            format!("{}.{}({arguments})", quoted(schema), quoted(&object.name))
        }
        _ => object_identity(object),
    }
}

/// The name in `ALTER … OWNER TO`: an aggregate without arguments has `*`.
fn transfer_identity(object: &Object) -> String {
    match (object.kind, &object.schema) {
        (Kind::Routine('a'), Some(schema)) => {
            format!("{}.{}(*)", quoted(schema), quoted(&object.name))
        }
        _ => grant_identity(object),
    }
}

/// `pg_get_function_identity_arguments`.
pub(super) fn identity_arguments(object: &Object) -> String {
    let mode = |is_out: bool| match (is_out, object.kind) {
        (true, _) => "OUT ",
        (false, Kind::Routine('p')) => "IN ",
        _ => "",
    };
    let arguments = object.arguments.iter().map(|(is_out, one)| format!("{}{one}", mode(*is_out)));
    arguments.collect::<Vec<_>>().join(", ")
}

/// Returns the schema of a type as `format_type` returns it.
fn schema_of_type(argument: &str) -> String {
    match argument.trim_start_matches("VARIADIC ").rsplit_once('.') {
        Some((schema, _)) => unquoted(schema),
        None => "pg_catalog".to_owned(),
    }
}
