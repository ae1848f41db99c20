//! The state of the server, as facts about each role and database.

use std::collections::{BTreeMap, BTreeSet};

use crate::fixture::Fixture;

/// The facts about each object, such as `role shop_owner` or `database shop`. The facts about a database
/// contain those about the objects in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(pub BTreeMap<String, BTreeSet<String>>);

const SHARED: &str = r"
    WITH acl(object, fact) AS (
      SELECT 'database ' || datname, 'acl ' || a.grantee::regrole || ' ' || a.privilege_type
        || ' by ' || a.grantor::regrole
      FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a)
    SELECT * FROM acl UNION ALL
    SELECT 'role ' || rolname, format('login %s createdb %s createrole %s inherit %s limit %s has password %s comment %s',
      rolcanlogin, rolcreatedb, rolcreaterole, rolinherit, rolconnlimit, rolpassword IS NOT NULL,
      shobj_description(oid, 'pg_authid')) FROM pg_authid WHERE rolname !~ '^(pg_|rds)' OR rolname = 'rdsprov_admin' UNION ALL
    SELECT 'role ' || rolname, 'verifier ' || md5(rolpassword) FROM pg_authid WHERE rolpassword IS NOT NULL UNION ALL
    SELECT 'role ' || member::regrole, 'member of ' || m.roleid::regrole || (to_jsonb(m) - '{oid,member,roleid,grantor}'::text[])::text || ' by ' || m.grantor::regrole
      FROM pg_auth_members m WHERE m.roleid::regrole::text !~ '^(pg_|rds_)' OR m.member::regrole::text !~ '^(pg_|rds_)' UNION ALL
    SELECT 'role ' || setrole::regrole, 'setting ' || coalesce(datname, '') || ' ' || setting
      FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) setting UNION ALL
    SELECT 'database ' || datname, format('owner %s open %s limit %s comment %s', datdba::regrole, datallowconn, datconnlimit,
      shobj_description(oid, 'pg_database')) FROM pg_database;
";

const INSIDE: &str = r"
    SELECT 'database ' || current_database(), format('schema %s of %s: %s', nspname, nspowner::regrole,
      (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(nspacl) a))
      FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' UNION ALL
    SELECT 'database ' || current_database(), format('relation %s of %s: %s', oid::regclass, relowner::regrole,
      (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(relacl) a))
      FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)' UNION ALL
    SELECT 'database ' || current_database(), format('defaults of %s in %s for %s: %s', defaclrole::regrole,
      defaclnamespace::regnamespace, defaclobjtype, (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(defaclacl) a))
      FROM pg_default_acl;
";

impl State {
    pub fn read(fixture: &Fixture) -> Self {
        let mut script = format!(
            "\\pset format unaligned\n\\pset tuples_only on\n\\pset fieldsep '\\t'\n\\pset recordsep '\\x01'\n{SHARED}"
        );
        let open =
            "SELECT datname FROM pg_database WHERE datallowconn AND datname IN ('shop', 'wiki')";
        for database in fixture.query(open).lines() {
            script += &format!("\\connect {database}\n{INSIDE}");
        }
        let text = fixture.server.script_as_superuser(&script).unwrap();
        let mut facts = BTreeMap::<_, BTreeSet<_>>::new();
        for row in text.split(['\u{1}', '\n']) {
            if let Some((object, fact)) = row.split_once('\t') {
                facts.entry(object.to_owned()).or_default().insert(fact.to_owned());
            }
        }
        assert!(facts.contains_key("role platform_admin"), "{text}");
        Self(facts)
    }

    /// Returns the objects about which the facts differ.
    pub fn changed_since(&self, before: &Self) -> BTreeSet<String> {
        let all = self.0.keys().chain(before.0.keys());
        all.filter(|object| self.0.get(*object) != before.0.get(*object)).cloned().collect()
    }

    /// Returns the state without verifiers, which contain random numbers.
    pub fn without_verifiers(&self) -> Self {
        let mut facts = self.0.clone();
        for facts in facts.values_mut() {
            facts.retain(|fact| !fact.starts_with("verifier "));
        }
        Self(facts)
    }

    fn all(&self) -> BTreeSet<(&str, &str)> {
        let all = self.0.iter();
        all.flat_map(|(object, facts)| facts.iter().map(|fact| (object.as_str(), fact.as_str())))
            .collect()
    }

    /// Returns what must never exist after a run that was interrupted, unless it existed before it or
    /// does after a complete run.
    pub fn dangers(&self, before: &Self, complete: &Self) -> Vec<String> {
        let known: BTreeSet<_> = before.all().into_iter().chain(complete.all()).collect();
        let closed = |object: &str| {
            self.0[object].iter().any(|fact| fact.starts_with("owner ") && fact.contains("open f"))
        };
        let is_danger = |object: &str, fact: &str| {
            let enters = fact.starts_with("acl - CONNECT") && !closed(object);
            let is_member = fact.starts_with("member of ");
            let no_password = fact.contains("login t ") && fact.contains("has password f");
            enters || is_member || no_password
        };
        self.all()
            .into_iter()
            .filter(|(object, fact)| !known.contains(&(object, fact)) && is_danger(object, fact))
            .map(|(object, fact)| format!("{object}: {fact}"))
            .collect()
    }
}
