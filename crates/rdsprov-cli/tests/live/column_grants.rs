//! Privileges on columns that other roles than the owner have granted, with an option on the columns or on the
//! relation. PostgreSQL keeps them when the option on the relation is revoked.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop    = { database_name = "shop", username = "shop_owner" }
    reports = { database_name = "shop", username = "reader", access_level = "reader" }
    export  = { database_name = "shop", username = "exporter", access_level = "reader" }
}"#;

struct Shop {
    fixture: Fixture,
    definitions: String,
}

impl Shop {
    fn new(major: u32) -> Self {
        let fixture = Fixture::new(major);
        for (application, user) in
            [("shop", "shop_owner"), ("reports", "reader"), ("export", "exporter")]
        {
            fixture.app("dev", application, user);
        }
        let definitions = fixture.definitions(DEFINITIONS);
        let shop = Self { fixture, definitions };
        shop.expect(&["apply", "--env", "dev"], 0);
        shop.fixture.query("CREATE ROLE mallory LOGIN; CREATE ROLE guest LOGIN");
        shop.owner("GRANT USAGE ON SCHEMA public TO guest; CREATE TABLE other (a int)");
        shop
    }

    fn expect(&self, arguments: &[&str], code: i32) -> String {
        expect(&self.fixture.run(&self.definitions, arguments), code)
    }

    fn owner(&self, sql: &str) {
        self.act("shop_owner", sql);
    }

    fn act(&self, role: &str, sql: &str) {
        let sql = format!("SET SESSION AUTHORIZATION {role}; {sql}");
        self.fixture.server.superuser("shop", &sql).unwrap();
    }

    /// A table of which roles have privileges on column `b`.
    fn table(&self, name: &str) {
        self.owner(&format!("CREATE TABLE {name} (a int, b int)"));
    }

    fn may(&self, role: &str, table: &str, privilege: &str) -> bool {
        let sql = format!("SELECT has_column_privilege('{role}', '{table}', 'b', '{privilege}')");
        self.fixture.query_in("shop", &sql) == "t"
    }

    /// Applies, and asserts that a next run finds nothing.
    fn apply(&self) {
        self.expect(&["apply", "--env", "dev"], 0);
        self.expect(&["check", "--env", "dev"], 0);
    }
}

/// No privilege that a managed role has on a column remains.
#[test]
fn privileges_through_options_on_the_relation_are_revoked() {
    for major in versions() {
        let shop = Shop::new(major);
        for (table, option, grant) in [
            ("live", "", "GRANT UPDATE (b) ON live TO exporter"),
            ("all_roles", "", "GRANT UPDATE (b) ON all_roles TO PUBLIC"),
            ("lost", "REVOKE UPDATE ON lost FROM reader", "GRANT UPDATE (b) ON lost TO exporter"),
            // The owner's own grant to the grantor.
            (
                "twice",
                "GRANT UPDATE (b) ON twice TO reader",
                "GRANT UPDATE (b) ON twice TO exporter",
            ),
        ] {
            shop.table(table);
            shop.owner(&format!("GRANT UPDATE ON {table} TO reader WITH GRANT OPTION"));
            shop.act("reader", grant);
            if !option.is_empty() {
                shop.owner(option);
            }
            assert!(shop.may("exporter", table, "UPDATE"), "{table}");
        }
        // The option of a role that is not managed, which it still has or has lost.
        for table in ["of_guest", "guest_without_option"] {
            shop.table(table);
            shop.owner(&format!("GRANT UPDATE ON {table} TO guest WITH GRANT OPTION"));
            shop.owner(&format!("GRANT SELECT (b) ON {table} TO guest"));
            shop.act("guest", &format!("GRANT UPDATE (b) ON {table} TO exporter"));
        }
        shop.owner("REVOKE UPDATE ON guest_without_option FROM guest");
        shop.fixture.query("GRANT guest TO platform_admin");
        shop.apply();
        for table in ["live", "all_roles", "lost", "twice", "of_guest", "guest_without_option"] {
            for role in ["reader", "exporter"] {
                assert!(!shop.may(role, table, "UPDATE"), "{major}: {role} {table}");
                assert!(shop.may(role, table, "SELECT"), "{major}: {role} {table}");
            }
        }
        assert!(shop.may("guest", "of_guest", "UPDATE"), "{major}");
        assert!(shop.may("guest", "guest_without_option", "SELECT"), "{major}");
        assert!(!shop.may("guest", "guest_without_option", "UPDATE"), "{major}");
    }
}

/// PostgreSQL revokes a privilege on a table from its columns, too.
#[test]
fn privileges_on_columns_are_revoked_before_those_on_their_table() {
    for major in versions() {
        let shop = Shop::new(major);
        shop.table("passed_on");
        shop.owner("GRANT INSERT ON passed_on TO reader");
        shop.owner("GRANT INSERT (b) ON passed_on TO reader WITH GRANT OPTION");
        shop.act("reader", "GRANT INSERT (b) ON passed_on TO exporter");
        shop.apply();
        for role in ["reader", "exporter"] {
            assert!(!shop.may(role, "passed_on", "INSERT"), "{major}: {role}");
        }
    }
}

/// A role that is not managed keeps its privilege, and is reported.
#[test]
fn privilege_of_another_role_is_reported() {
    for major in versions() {
        let shop = Shop::new(major);
        shop.table("leaked");
        shop.owner("GRANT INSERT ON leaked TO reader WITH GRANT OPTION");
        shop.act("reader", "GRANT INSERT (b) ON leaked TO mallory");
        shop.apply();
        assert!(!shop.may("reader", "leaked", "INSERT"));
        assert!(shop.may("mallory", "leaked", "INSERT"));
        let plan = shop.expect(&["plan", "--env", "dev"], 0);
        assert!(plan.contains("note[undeclared-access]: role mallory"), "{plan}");
        // What the plan would take with that of a declared role is refused.
        shop.act("shop_owner", "GRANT INSERT ON leaked TO reader WITH GRANT OPTION");
        shop.act("reader", "GRANT INSERT (b) ON leaked TO exporter");
        shop.expect(&["apply", "--env", "dev"], 3);
        shop.owner("GRANT INSERT (b) ON leaked TO mallory");
        shop.apply();
        assert!(shop.may("mallory", "leaked", "INSERT"));
        assert!(!shop.may("exporter", "leaked", "INSERT"));
    }
}

/// What a role has passed on does not keep its access.
#[test]
fn retirement_leaves_out_only_the_table_whose_privilege_was_passed_on() {
    for major in versions() {
        let shop = Shop::new(major);
        shop.table("leaked");
        shop.owner("GRANT SELECT (b) ON leaked TO reader WITH GRANT OPTION");
        shop.act("reader", "GRANT SELECT (b) ON leaked TO mallory");
        let rest = DEFINITIONS.lines().filter(|line| !line.contains("reports"));
        let rest = shop.fixture.definitions(&rest.collect::<Vec<_>>().join("\n"));
        let retired = expect(&shop.fixture.run(&rest, &["retire", "reports", "--env", "dev"]), 0);
        assert!(retired.contains("on column b of table public.leaked"), "{retired}");
        assert!(shop.may("mallory", "leaked", "SELECT"), "{major}");
        let login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'reader'";
        assert_eq!(shop.fixture.query(login), "f", "{major}");
        let other = "SELECT has_table_privilege('reader', 'other', 'SELECT')";
        assert_eq!(shop.fixture.query_in("shop", other), "f", "{major}");
    }
}
