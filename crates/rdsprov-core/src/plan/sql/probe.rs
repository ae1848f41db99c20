//! The statements of probes. The caller executes them in a transaction that it rolls back.

use super::{
    IfExists, assert_scripts_meet_no_objects_of_others, extension_creation, membership_revocation,
    parameter_change,
};
use crate::extension_reach;
use crate::name::{DatabaseName, literal};
use crate::probe::{ExtensionProbe, MembershipRevocation, Probe};

/// Returns the statements of a probe.
#[must_use]
pub fn probe(probe: &Probe, admin_database: &DatabaseName) -> String {
    match probe {
        Probe::CreateRole => "CREATE ROLE rdsprov_probe".to_owned(),
        Probe::CreateDatabase => {
            "CREATE DATABASE rdsprov_probe TEMPLATE \"rdsprov: no template\"".to_owned()
        }
        Probe::GrantRole(role) => format!("GRANT {0} TO {0}", role.quoted()),
        Probe::RevokeMembership(revocation) => {
            // No role is a member of itself.
            let member = revocation.role.clone();
            membership_revocation(&MembershipRevocation { member, ..revocation.clone() })
        }
        Probe::SetParameter { parameter, value } => {
            parameter_change("CURRENT_USER", admin_database, parameter, Some(value))
        }
        Probe::ResetParameter { parameter, role, database } => {
            parameter_change(&role.quoted(), database, parameter, None)
        }
        Probe::CreateExtensions(probe) => create_extensions(probe),
        Probe::GrantOnExtensions(probe) => grant_on_extensions(probe),
        Probe::ExecuteAsPublic(probe) => execute_as_public(probe),
    }
}

/// Creates extensions one after the other, unless they exist. Only superusers have objects in
/// `information_schema`.
fn create_extensions(probe: &ExtensionProbe) -> String {
    let mut statements = vec!["SET LOCAL search_path TO information_schema".to_owned()];
    statements.push(assert_scripts_meet_no_objects_of_others(&probe.extensions).redacted());
    statements
        .extend(probe.extensions.iter().map(|one| extension_creation(one, None, IfExists::Skip)));
    statements.join("; ")
}

/// Grants PUBLIC what it lacks on extensions. Fails (42501) at the first privilege that the current role
/// may not grant, which PostgreSQL reports with a warning if the role has the privilege itself.
///
/// Routines come first: `USAGE` on their schema would help to name them.
fn grant_on_extensions(probe: &ExtensionProbe) -> String {
    let names: Vec<String> = probe.extensions.iter().map(|one| literal(one.as_str())).collect();
    let body = format!(
        "DECLARE names text[] := ARRAY[{names}]; one record; \
         BEGIN IF NOT names <@ ARRAY(SELECT extname::text FROM pg_catalog.pg_extension) THEN BEGIN EXECUTE {create}; EXCEPTION WHEN OTHERS THEN RETURN; END; END IF; \
         FOR one IN WITH member AS (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e' AND e.extname = ANY (names) \
         UNION SELECT 'pg_catalog.pg_namespace'::regclass, e.extnamespace FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion WHERE e.extname = ANY (names) AND v.schema = e.extnamespace::regnamespace::text) \
         SELECT p.oid, 'EXECUTE ON ROUTINE ' || p.oid::regprocedure AS privilege, true AS is_routine FROM member m JOIN pg_catalog.pg_proc p ON p.oid = m.objid WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) x WHERE x.grantee = 0) \
         UNION ALL SELECT n.oid, 'USAGE ON SCHEMA ' || n.oid::regnamespace, false FROM member m JOIN pg_catalog.pg_namespace n ON n.oid = m.objid WHERE m.classid = 'pg_catalog.pg_namespace'::regclass AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) x WHERE x.grantee = 0 AND x.privilege_type = 'USAGE') ORDER BY is_routine DESC, privilege \
         LOOP EXECUTE 'GRANT ' || one.privilege || ' TO PUBLIC'; \
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) x WHERE one.is_routine AND p.oid = one.oid AND x.grantee = 0 UNION ALL SELECT FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x WHERE NOT one.is_routine AND n.oid = one.oid AND x.grantee = 0 AND x.privilege_type = 'USAGE') THEN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('%s may not grant %s', current_user, one.privilege); END IF; \
         END LOOP; END",
        names = names.join(", "),
        create = literal(&create_extensions(probe)),
    );
    format!("DO {}", literal(&body))
}

/// Creates extensions, and fails at the first routine of the last one that PUBLIC may not execute. Routines
/// that no declared role may execute do not count.
fn execute_as_public(probe: &ExtensionProbe) -> String {
    let Some(last) = probe.extensions.last() else { return String::new() };
    let withheld: Vec<String> = extension_reach::withheld(last).map(literal).collect();
    let body = format!(
        "DECLARE routine text; \
         BEGIN BEGIN EXECUTE {create}; EXCEPTION WHEN OTHERS THEN RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'its routines are not known: ' || SQLERRM; END; \
         SELECT p.oid::regprocedure INTO routine FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid JOIN pg_catalog.pg_proc p ON p.oid = d.objid \
         WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e' AND e.extname = {name} \
         AND p.proname <> ALL (ARRAY[{withheld}]::name[]) AND p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) x WHERE x.grantee = 0) \
         ORDER BY 1 LIMIT 1; \
         IF FOUND THEN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'PUBLIC may not execute ' || routine; END IF; END",
        create = literal(&create_extensions(probe)),
        name = literal(last.as_str()),
        withheld = withheld.join(", "),
    );
    format!("DO {}", literal(&body))
}
