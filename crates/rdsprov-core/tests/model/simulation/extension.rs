//! `CREATE EXTENSION`, of trusted extensions and of `pg_buffercache`.

use super::acl::{Item, bits};
use super::catalog::{BOOTSTRAP, Kind, all_privileges};
use super::lexer::Reader;
use super::{Failure, Outcome, Session};

/// Extensions that each role with `CREATE` on the database may create.
pub(super) const TRUSTED: [&str; 3] = ["citext", "hstore", "pg_trgm"];

/// The routines of `pg_buffercache`: the version that has each first, its arguments, and whether only
/// `pg_monitor` may execute it.
const BUFFERCACHE: [(&str, u32, &[&str], bool); 7] = [
    ("pg_buffercache_pages", 14, &[], true),
    ("pg_buffercache_summary", 16, &[], true),
    ("pg_buffercache_usage_counts", 16, &[], true),
    ("pg_buffercache_evict", 17, &["integer"], false),
    ("pg_buffercache_numa_pages", 18, &[], true),
    ("pg_buffercache_evict_relation", 18, &["regclass"], false),
    ("pg_buffercache_evict_all", 18, &[], false),
];

impl Session<'_> {
    pub(super) fn create_extension(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let may_exist = reader.accept("if not exists");
        let name = reader.name()?;
        let schema = if reader.accept("schema") { Some(reader.name()?) } else { None };
        reader.accept("cascade");
        if self.find_unqualified(Kind::Extension, &name).is_ok() {
            return match may_exist {
                true => Ok(()),
                false => Err(Failure::server("42710", "extension already exists")),
            };
        }
        let is_trusted = TRUSTED.contains(&name.as_str());
        if !is_trusted && name != "pg_buffercache" {
            return Err(Failure::unknown(format!("extension {name}")));
        }
        if !self.is_superuser() {
            if !is_trusted {
                return Err(Failure::denied("to create the extension"));
            }
            self.check_creates_schemas()?;
        }
        let schema = match schema {
            Some(schema) => {
                self.find_schema(&schema)?;
                schema
            }
            None => self.parameters.get("search_path").cloned().unwrap_or_else(|| "public".into()),
        };
        let owner = self.current();
        self.add(Kind::Extension, Some(&schema), &name, owner)?;
        if name == "pg_buffercache" {
            self.create_buffercache(&schema)?;
        }
        Ok(())
    }

    fn create_buffercache(&mut self, schema: &str) -> Outcome<()> {
        let major = self.catalog().major;
        let monitor = self.catalog().role_oid("pg_monitor")?;
        let item = |grantee, privileges: &[&str]| Item {
            grantee,
            grantor: BOOTSTRAP,
            rights: bits(privileges),
        };
        let own = Item { rights: all_privileges('r', major), ..item(BOOTSTRAP, &[]) };
        let views = [("pg_buffercache", 14), ("pg_buffercache_numa", 18)];
        for (name, _) in views.into_iter().filter(|(_, since)| *since <= major) {
            let oid = self.new_relation(schema, name, 'v')?;
            let view = self.object_mut(oid)?;
            view.columns = vec![("bufferid".to_owned(), Vec::new())];
            view.acl = Some(vec![own, item(monitor, &["SELECT"])]);
            view.extension = Some("pg_buffercache".to_owned());
        }
        for (name, since, arguments, for_monitor) in BUFFERCACHE {
            if since > major {
                continue;
            }
            let routine = self.add(Kind::Routine('f'), Some(schema), name, BOOTSTRAP)?;
            routine.arguments = arguments.iter().map(|one| (false, (*one).to_owned())).collect();
            routine.acl = for_monitor
                .then(|| vec![item(BOOTSTRAP, &["EXECUTE"]), item(monitor, &["EXECUTE"])]);
            routine.extension = Some("pg_buffercache".to_owned());
        }
        Ok(())
    }
}
