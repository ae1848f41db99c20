//! The statements as tables: inputs and the SQL text that readers see.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::marker::Marker;
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName};
use crate::observed::{Grantee, OwnedObject};
use crate::plan::MembershipOption;
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::probe::{ExtensionProbe, MembershipRevocation, Probe, RevocationScope};
use crate::secret_id::SecretId;
use crate::setting::Parameter;

/// A name with each character that quotes, of SQL or of `psql`.
const HOSTILE: &str = r#"a"b'c\d; --"#;

fn role(name: &str) -> RoleName {
    RoleName::new_unchecked(name)
}

fn schema(name: &str) -> SchemaName {
    SchemaName::new_unchecked(name)
}

fn database(name: &str) -> DatabaseName {
    DatabaseName::new_unchecked(name)
}

fn to(name: &str) -> Grantee {
    Grantee::Role(role(name))
}

fn secret(name: &str) -> SecretId {
    SecretId(name.to_owned())
}

fn parameter(name: &str) -> Parameter {
    Parameter::new(name).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn owned(kind: &str, identity: &str) -> OwnedObject {
    serde_json::from_value(serde_json::json!({ "kind": kind, "identity": identity })).unwrap()
}

#[track_caller]
fn assert_statements(table: &[(Statement, &str)]) {
    for (statement, expected) in table {
        assert_eq!(statement.redacted(), *expected);
    }
}

fn texts(statements: &[Statement]) -> Vec<String> {
    statements.iter().map(Statement::redacted).collect()
}

fn targets() -> Vec<(GrantTarget, &'static str, &'static str)> {
    let relations = |kind, schema: &str, of: &[&str]| GrantTarget::Relations {
        kind,
        schema: SchemaName::new_unchecked(schema),
        names: names(of),
    };
    vec![
        // The target; the SQL after `SELECT`, `ON` included; the target in words.
        (GrantTarget::Database(database("shop")), r#"ON DATABASE "shop""#, "database shop"),
        (GrantTarget::Schema(schema("public")), r#"ON SCHEMA "public""#, "schema public"),
        (
            relations(ObjectKind::Table, "public", &["orders"]),
            r#"ON TABLE "public"."orders""#,
            "table public.orders",
        ),
        (
            relations(ObjectKind::Sequence, "App", &["a", "B c"]),
            r#"ON SEQUENCE "App"."a", "App"."B c""#,
            r#"sequences a, "B c" of schema "App""#,
        ),
        (
            relations(ObjectKind::Table, "app", &["a", "b", "c", "d"]),
            r#"ON TABLE "app"."a", "app"."b", "app"."c", "app"."d""#,
            "4 tables of schema app",
        ),
        (
            relations(ObjectKind::Table, HOSTILE, &[HOSTILE]),
            r#"ON TABLE "a""b'c\d; --"."a""b'c\d; --""#,
            r#"table "a""b'c\d; --"."a""b'c\d; --""#,
        ),
        (
            GrantTarget::AllRelations { kind: ObjectKind::Sequence, schema: schema("app") },
            r#"ON ALL SEQUENCES IN SCHEMA "app""#,
            "all sequences of schema app",
        ),
        (
            GrantTarget::Columns {
                schema: schema("app"),
                relation: "t".to_owned(),
                names: names(&["id"]),
            },
            r#"("id") ON TABLE "app"."t""#,
            "column id of table app.t",
        ),
        (
            GrantTarget::Columns {
                schema: schema("app"),
                relation: "my table".to_owned(),
                names: names(&["id", "a\"b"]),
            },
            r#"("id", "a""b") ON TABLE "app"."my table""#,
            r#"columns id, "a""b" of table app."my table""#,
        ),
        (
            GrantTarget::Object {
                kind: ObjectKind::Function,
                identity: "app.f(integer)".to_owned().try_into().unwrap(),
            },
            "ON FUNCTION app.f(integer)",
            "function app.f(integer)",
        ),
        (
            GrantTarget::Object {
                kind: ObjectKind::ForeignServer,
                identity: "\"S\"".to_owned().try_into().unwrap(),
            },
            "ON FOREIGN SERVER \"S\"",
            "foreign server \"S\"",
        ),
    ]
}

#[test]
fn grants_and_revocations_name_each_kind_of_target() {
    let select = Privileges::from([Privilege::Select]);
    let (all, option) = (RevokeScope::Privilege, RevokeScope::GrantOption);
    for (target, sql, words) in targets() {
        assert_statements(&[
            (grant(&select, &target, &to("app")), &format!(r#"GRANT SELECT {sql} TO "app""#)),
            (grant(&select, &target, &Grantee::Public), &format!("GRANT SELECT {sql} TO PUBLIC")),
            (
                revoke(all, &select, &target, &to(HOSTILE)),
                &format!(r#"REVOKE SELECT {sql} FROM "a""b'c\d; --""#),
            ),
            (
                revoke_cascade(all, &select, &target, &Grantee::Public),
                &format!("REVOKE SELECT {sql} FROM PUBLIC CASCADE"),
            ),
            (
                revoke(option, &select, &target, &to("app")),
                &format!(r#"REVOKE GRANT OPTION FOR SELECT {sql} FROM "app""#),
            ),
            (
                revoke_cascade(option, &select, &target, &to("app")),
                &format!(r#"REVOKE GRANT OPTION FOR SELECT {sql} FROM "app" CASCADE"#),
            ),
        ]);
        assert_eq!(target.words(), words);
    }
}

#[test]
fn several_privileges_are_listed_in_one_order() {
    let two = Privileges::from([Privilege::Update, Privilege::Select]);
    let columns = GrantTarget::Columns {
        schema: schema("app"),
        relation: "t".to_owned(),
        names: names(&["a", "b"]),
    };
    assert_statements(&[
        (
            grant(&two, &GrantTarget::Schema(schema("app")), &to("app")),
            r#"GRANT SELECT, UPDATE ON SCHEMA "app" TO "app""#,
        ),
        // On columns, each privilege lists them.
        (
            grant(&two, &columns, &to("app")),
            r#"GRANT SELECT ("a", "b"), UPDATE ("a", "b") ON TABLE "app"."t" TO "app""#,
        ),
        (
            revoke_cascade(RevokeScope::GrantOption, &two, &columns, &to("app")),
            r#"REVOKE GRANT OPTION FOR SELECT ("a", "b"), UPDATE ("a", "b") ON TABLE "app"."t" FROM "app" CASCADE"#,
        ),
    ]);
}

#[test]
fn default_privileges_with_and_without_schema() {
    let read = Privileges::from([Privilege::Select]);
    let (owner, app) = (role("o\"wner"), schema("app"));
    let revoke = |scope, schema, kind, grantee: &Grantee| {
        revoke_default(scope, &owner, schema, kind, &read, grantee)
    };
    assert_statements(&[
        (
            grant_default(&owner, &app, ObjectKind::Table, &read, &role("reader")),
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o""wner" IN SCHEMA "app" GRANT SELECT ON TABLES TO "reader""#,
        ),
        (
            grant_default(&owner, &app, ObjectKind::Sequence, &read, &role("reader")),
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o""wner" IN SCHEMA "app" GRANT SELECT ON SEQUENCES TO "reader""#,
        ),
        (
            revoke(RevokeScope::Privilege, Some(&app), ObjectKind::Table, &to("reader")),
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o""wner" IN SCHEMA "app" REVOKE SELECT ON TABLES FROM "reader""#,
        ),
        (
            revoke(RevokeScope::Privilege, None, ObjectKind::Routine, &Grantee::Public),
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o""wner" REVOKE SELECT ON ROUTINES FROM PUBLIC"#,
        ),
        (
            revoke(RevokeScope::GrantOption, None, ObjectKind::Schema, &to("reader")),
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o""wner" REVOKE GRANT OPTION FOR SELECT ON SCHEMAS FROM "reader""#,
        ),
    ]);
}

#[test]
fn roles_and_passwords() {
    let shop = role("shop");
    let attributes = [RoleAttribute::Login, RoleAttribute::ConnectionLimit(5)];
    let id = secret("it's/postgres");
    assert_statements(&[
        (create_role(&shop, None, &attributes), r#"CREATE ROLE "shop" LOGIN CONNECTION LIMIT 5"#),
        (
            create_role(&shop, Some(&id), &attributes),
            r#"CREATE ROLE "shop" LOGIN CONNECTION LIMIT 5 PASSWORD '<password from it''s/postgres>'"#,
        ),
        (
            set_password(&role(HOSTILE), &id),
            r#"ALTER ROLE "a""b'c\d; --" PASSWORD '<password from it''s/postgres>'"#,
        ),
        (clear_password(&shop), r#"ALTER ROLE "shop" PASSWORD NULL"#),
        (alter_role(&shop, &attributes), r#"ALTER ROLE "shop" LOGIN CONNECTION LIMIT 5"#),
        (create_plain_role(&shop), r#"CREATE ROLE "shop""#),
        (drop_role(&shop), r#"DROP ROLE "shop""#),
        (rename_role(&shop, &role("Desk")), r#"ALTER ROLE "shop" RENAME TO "Desk""#),
    ]);
}

#[test]
fn memberships_before_and_from_postgresql_16() {
    let shop = role("sh\"op");
    for (option, major, expected) in [
        (MembershipOption::Set, 14, r#"GRANT "sh""op" TO CURRENT_USER"#),
        (MembershipOption::Inherit, 15, r#"GRANT "sh""op" TO CURRENT_USER"#),
        (
            MembershipOption::Set,
            16,
            r#"GRANT "sh""op" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE"#,
        ),
        (
            MembershipOption::Inherit,
            18,
            r#"GRANT "sh""op" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"#,
        ),
    ] {
        assert_eq!(grant_membership(&shop, option, major), expected, "{option:?} {major}");
    }
    let (group, member, grantor) = (role("rds_iam"), role("shop"), role("admin"));
    let revoked = |grantor: Option<&RoleName>, scope, cascade| {
        revoke_membership(&MembershipRevocation {
            role: group.clone(),
            member: member.clone(),
            grantor: grantor.cloned(),
            scope,
            cascade,
        })
    };
    assert_statements(&[
        (grant_role(&group, &member), r#"GRANT "rds_iam" TO "shop""#),
        (
            grant_administration(&member, &grantor),
            r#"GRANT "shop" TO "admin" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"#,
        ),
        (revoked(None, RevocationScope::Membership, false), r#"REVOKE "rds_iam" FROM "shop""#),
        (
            revoked(Some(&grantor), RevocationScope::Membership, false),
            r#"REVOKE "rds_iam" FROM "shop" GRANTED BY "admin""#,
        ),
        (
            revoked(Some(&grantor), RevocationScope::AdminOption, false),
            r#"REVOKE ADMIN OPTION FOR "rds_iam" FROM "shop" GRANTED BY "admin""#,
        ),
        (
            revoked(Some(&grantor), RevocationScope::AdminOption, true),
            r#"REVOKE ADMIN OPTION FOR "rds_iam" FROM "shop" GRANTED BY "admin" CASCADE"#,
        ),
    ]);
    let [create, membership] = create_temporary_owner(&role("keeper"), 16);
    assert_statements(&[
        (create, r#"CREATE ROLE "keeper""#),
        (membership, r#"GRANT "keeper" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"#),
    ]);
}

#[test]
fn databases_schemas_and_extensions() {
    let (shop, owner) = (database("Shop \"1\""), role("owner"));
    let vector = ExtensionName::new_unchecked("uuid-ossp");
    assert_statements(&[
        (
            create_database(&shop),
            // 1919185776 are the bytes of `rdsp`: the creation is not finished.
            r#"CREATE DATABASE "Shop ""1""" ALLOW_CONNECTIONS false CONNECTION LIMIT 1919185776"#,
        ),
        (close_database(&shop), r#"REVOKE ALL ON DATABASE "Shop ""1""" FROM PUBLIC"#),
        (
            finish_database(&shop),
            r#"ALTER DATABASE "Shop ""1""" ALLOW_CONNECTIONS true CONNECTION LIMIT -1"#,
        ),
        (open_database(&shop), r#"ALTER DATABASE "Shop ""1""" ALLOW_CONNECTIONS true"#),
        (change_owner(&shop, &owner), r#"ALTER DATABASE "Shop ""1""" OWNER TO "owner""#),
        (
            rename_database(&shop, &database("desk")),
            r#"ALTER DATABASE "Shop ""1""" RENAME TO "desk""#,
        ),
        (create_schema(&schema("App")), r#"CREATE SCHEMA "App""#),
        (create_schema_for(&schema("App"), &owner), r#"CREATE SCHEMA "App" AUTHORIZATION "owner""#),
        (change_schema_owner(&schema("App"), &owner), r#"ALTER SCHEMA "App" OWNER TO "owner""#),
        (drop_schema(&schema("App")), r#"DROP SCHEMA "App""#),
        (
            comment_on_public(&schema("public")),
            r#"COMMENT ON SCHEMA "public" IS 'standard public schema'"#,
        ),
        (create_extension(&vector, None), r#"CREATE EXTENSION "uuid-ossp" CASCADE"#),
        (
            create_extension(&vector, Some(&schema("App"))),
            r#"CREATE EXTENSION "uuid-ossp" SCHEMA "App" CASCADE"#,
        ),
    ]);
}

#[test]
fn settings_quote_names_and_values() {
    let (shop, admin) = (database("shop"), role("admin"));
    let set = |name: &str, value: &str| {
        set_parameter(&admin, &shop, &parameter(name), Some(&value.to_owned()))
    };
    assert_statements(&[
        (set("Work_Mem", "4MB"), r#"ALTER ROLE "admin" IN DATABASE "shop" SET "work_mem" = '4MB'"#),
        (
            set("app.tenant", r"it's \"),
            r#"ALTER ROLE "admin" IN DATABASE "shop" SET "app"."tenant" = E'it''s \\'"#,
        ),
        (
            set("search_path", r#""$user", App"#),
            r#"ALTER ROLE "admin" IN DATABASE "shop" SET "search_path" = '$user', 'app'"#,
        ),
        (
            set_parameter(&admin, &shop, &parameter("work_mem"), None),
            r#"ALTER ROLE "admin" IN DATABASE "shop" RESET "work_mem""#,
        ),
    ]);
}

#[test]
fn changes_of_ownership() {
    let (old, new, keeper) = (role("old"), role("new"), role("keeper"));
    let (desk, fast) = (database("desk"), "fast \"1\"");
    let shared = BTreeSet::from([SharedObject::Database(&desk), SharedObject::Tablespace(fast)]);
    // The shared objects are with the temporary owner while REASSIGN OWNED runs.
    assert_eq!(
        texts(&reassign_database_only(&old, reassign_owned(&old, &new), &keeper, &shared)),
        [
            r#"ALTER DATABASE "desk" OWNER TO "keeper""#,
            r#"ALTER TABLESPACE "fast ""1""" OWNER TO "keeper""#,
            r#"REASSIGN OWNED BY "old" TO "new""#,
            r#"ALTER DATABASE "desk" OWNER TO "old""#,
            r#"ALTER TABLESPACE "fast ""1""" OWNER TO "old""#,
        ]
    );
    assert_eq!(
        texts(&reassign_database_only(&old, reassign_owned(&old, &new), &keeper, &BTreeSet::new())),
        [r#"REASSIGN OWNED BY "old" TO "new""#]
    );
    assert_statements(&[
        (
            change_object_owner(&owned("FOREIGN TABLE", "app.\"T\u{202e}\""), &new),
            r#"ALTER FOREIGN TABLE app.U&"T\202E" OWNER TO "new""#,
        ),
        (take_ownership(&owned("VIEW", "app.v")), "ALTER VIEW app.v OWNER TO CURRENT_USER"),
        (
            drop_object(&owned("FUNCTION", "app.\"f\n\"(integer)")),
            r#"DROP FUNCTION IF EXISTS app.U&"f\000A"(integer) CASCADE"#,
        ),
        (remove_marker(MarkedObject::Role(&new), None), r#"COMMENT ON ROLE "new" IS NULL"#),
        (
            remove_marker(
                MarkedObject::Role(&new),
                Some(
                    "ask Ada's team\n[managed by rdsprov: environment=dev application=a build_id=1 name=\"new\"]",
                ),
            ),
            r#"COMMENT ON ROLE "new" IS 'ask Ada''s team'"#,
        ),
    ]);
    let relations = GrantTarget::Relations {
        kind: ObjectKind::Sequence,
        schema: schema("app"),
        names: names(&["a", "b"]),
    };
    assert_eq!(
        texts(&change_owner_of_relations(&relations, &new).unwrap()),
        [r#"ALTER TABLE "app"."a" OWNER TO "new""#, r#"ALTER TABLE "app"."b" OWNER TO "new""#,]
    );
    assert_eq!(change_owner_of_relations(&GrantTarget::Schema(schema("app")), &new), None);
}

#[test]
fn guard_before_reassign_owned_lists_the_shared_objects() {
    let desk = database("desk's");
    let shared = BTreeSet::from([SharedObject::Tablespace("fast"), SharedObject::Database(&desk)]);
    let guard = assert_owns_only(&role("o'ld"), &shared).redacted();
    // The body is a literal, so each quote in the literals in it is doubled once more.
    for part in [
        "DO '",
        "WHERE rolname = ''o''''ld'')",
        "ARRAY[''database desk''''s'', ''tablespace fast'']::text[]",
    ] {
        assert!(guard.contains(part), "{part} is missing: {guard}");
    }
    let none = assert_owns_only(&role("old"), &BTreeSet::new()).redacted();
    assert!(none.contains("IS DISTINCT FROM ARRAY[]::text[]"), "{none}");
}

/// Manual fixes of a superuser that revokes as a grantor which has lost its grant option.
#[test]
fn grant_option_is_restored_as_it_was() {
    let (app, target) = (role("app"), GrantTarget::Schema(schema("s")));
    let privileges = Privileges::from([Privilege::Usage, Privilege::Create]);
    let fix = |usage, create| {
        let held = |privilege| if privilege == Privilege::Usage { usage } else { create };
        let revocation = revoke(RevokeScope::Privilege, &privileges, &target, &to("guest"));
        texts(&with_grant_option(&app, &privileges, held, &target, revocation))
    };
    // What the grantor has before: nothing, the privilege, or the privilege with the option. Then
    // what is granted with the option, and what is revoked afterwards.
    let table: [(_, _, _, &[&str]); 4] = [
        (None, None, "USAGE, CREATE", &["USAGE, CREATE"]),
        (Some(false), Some(false), "USAGE, CREATE", &["GRANT OPTION FOR USAGE, CREATE"]),
        (None, Some(false), "USAGE, CREATE", &["USAGE", "GRANT OPTION FOR CREATE"]),
        (Some(true), None, "CREATE", &["CREATE"]),
    ];
    for (usage, create, granted, revoked) in table {
        let mut expected = vec![
            format!(r#"GRANT {granted} ON SCHEMA "s" TO "app" WITH GRANT OPTION"#),
            r#"SET ROLE "app""#.to_owned(),
            r#"REVOKE USAGE, CREATE ON SCHEMA "s" FROM "guest""#.to_owned(),
            "RESET ROLE".to_owned(),
        ];
        let revoked = revoked.iter().map(|one| format!(r#"REVOKE {one} ON SCHEMA "s" FROM "app""#));
        expected.extend(revoked);
        assert_eq!(fix(usage, create), expected);
    }
}

#[test]
fn schema_usage_is_granted_around_statements() {
    let app = role("app");
    let around = |schemas: &[SchemaName]| {
        texts(&with_schema_usage(&app, schemas, vec![create_schema(&schema("c"))]))
    };
    assert_eq!(
        around(&[schema("a"), schema("b")]),
        [
            r#"GRANT USAGE ON SCHEMA "a" TO "app""#,
            r#"GRANT USAGE ON SCHEMA "b" TO "app""#,
            r#"CREATE SCHEMA "c""#,
            r#"REVOKE USAGE ON SCHEMA "a" FROM "app""#,
            r#"REVOKE USAGE ON SCHEMA "b" FROM "app""#,
        ]
    );
    assert_eq!(around(&[]), [r#"CREATE SCHEMA "c""#]);
}

#[test]
fn probes_are_the_statements_in_question() {
    let (shop, app) = (role("sh\"op"), database("app"));
    let extensions = ["a", "citext"].map(ExtensionName::new_unchecked).to_vec();
    let extensions = ExtensionProbe { database: app.clone(), extensions };
    let revocation = MembershipRevocation {
        role: role("rds_iam"),
        member: shop.clone(),
        grantor: None,
        scope: RevocationScope::AdminOption,
        cascade: false,
    };
    let guard = assert_scripts_meet_no_objects_of_others(&extensions.extensions);
    let in_template = format!(
        r#"SET LOCAL search_path TO information_schema; {}; CREATE EXTENSION IF NOT EXISTS "a" CASCADE; CREATE EXTENSION IF NOT EXISTS "citext" CASCADE"#,
        guard.redacted()
    );
    for (question, expected) in [
        (Probe::GrantRole(shop.clone()), r#"GRANT "sh""op" TO "sh""op""#),
        (
            Probe::RevokeMembership(revocation),
            r#"REVOKE ADMIN OPTION FOR "rds_iam" FROM "rds_iam""#,
        ),
        (
            Probe::SetParameter { parameter: parameter("work_mem"), value: "it's".to_owned() },
            r#"ALTER ROLE CURRENT_USER IN DATABASE "platform" SET "work_mem" = 'it''s'"#,
        ),
        (
            Probe::SetParameter { parameter: parameter("app.tenant"), value: r"it's \".to_owned() },
            r#"ALTER ROLE CURRENT_USER IN DATABASE "platform" SET "app"."tenant" = E'it''s \\'"#,
        ),
        (
            Probe::ResetParameter {
                parameter: parameter("work_mem"),
                role: shop.clone(),
                database: app.clone(),
            },
            r#"ALTER ROLE "sh""op" IN DATABASE "app" RESET "work_mem""#,
        ),
        (Probe::CreateExtensions(extensions), in_template.as_str()),
    ] {
        assert_eq!(probe(&question, &database("platform")), expected);
    }
}

/// The values of the slots of one run.
struct OneRun;

impl Slots for OneRun {
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError> {
        match secret.0.as_str() {
            "known" => Ok("SCRAM-SHA-256$1:salt$a:b".to_owned()),
            _ => Err(SlotError::NoPassword(secret.clone())),
        }
    }

    fn build_id(&self) -> &str {
        "build] 7"
    }

    fn created_oid(&self, _: &DatabaseName) -> Result<u32, SlotError> {
        Ok(16_401)
    }
}

#[test]
fn slots_are_filled_for_readers_scripts_and_servers() {
    let marker = Marker {
        environment: "dev".to_owned(),
        application: "shop".to_owned(),
        name: "it's \"x\"".to_owned(),
        ..Marker::default()
    };
    let (shop, known, new) = (role("shop"), secret("known"), database("new"));
    let marked = |build_id: &str| {
        format!(
            r#"COMMENT ON ROLE "shop" IS E'ask Ada\n[managed by rdsprov: environment=dev application=shop build_id={build_id} name="it''s \\"x\\""]'"#
        )
    };
    let set_marker = set_role_marker(&shop, Some("ask Ada".to_owned()), marker.clone());
    let password = |value: &str| format!(r#"ALTER ROLE "shop" PASSWORD {value}"#);
    let variables = ScriptVariables {
        verifiers: BTreeMap::from([(&known, "verifier_1".to_owned())]),
        oids: BTreeMap::from([(&new, "database_1_oid".to_owned())]),
        ..ScriptVariables::default()
    };
    for (statement, readers, script, server) in [
        (
            drop_role(&shop),
            r#"DROP ROLE "shop""#.to_owned(),
            r#"DROP ROLE "shop""#.to_owned(),
            Ok(r#"DROP ROLE "shop""#.to_owned()),
        ),
        (
            set_password(&shop, &known),
            password("'<password from known>'"),
            password(":'verifier_1'"),
            Ok(password("'SCRAM-SHA-256$1:salt$a:b'")),
        ),
        (
            Statement::created_oid("SET LOCAL x =".to_owned(), &database("new")),
            "SET LOCAL x = '<OID of database new>'".to_owned(),
            "SET LOCAL x = :'database_1_oid'".to_owned(),
            Ok("SET LOCAL x = '16401'".to_owned()),
        ),
        // A build id cannot end the marker or start another key.
        (set_marker, marked("<build_id>"), marked("script"), Ok(marked("build%5D%207"))),
    ] {
        assert_eq!(statement.redacted(), readers);
        assert_eq!(statement.to_psql(&variables), script);
        assert_eq!(statement.executable(&OneRun), server);
        assert_eq!(serde_json::to_value(&statement).unwrap(), readers);
    }
    let unknown = secret("unknown");
    assert_eq!(
        set_password(&shop, &unknown).executable(&OneRun),
        Err(SlotError::NoPassword(unknown))
    );
    let database = set_database_marker(&database("a\"b"), None, marker).redacted();
    assert!(
        database.starts_with(r#"COMMENT ON DATABASE "a""b" IS E'[managed by rdsprov: "#),
        "{database}"
    );
}
