//! The `DO` blocks of the planner and of the generator, told apart by their texts.

use super::catalog::{BOOTSTRAP, Kind, Membership};
use super::lexer::{self, Reader, Token};
use super::{Failure, Outcome, Session};

/// Blocks without an effect on privileges: the model does not contain code.
const WITHOUT_EFFECT: [&str; 2] = ["rdsprov.checked_command", "rdsprov.statement_timeout"];

impl Session<'_> {
    pub(super) fn do_block(&mut self, body: &str) -> Outcome<()> {
        let body = body.trim();
        if body.starts_with("BEGIN EXECUTE format('COMMENT ON ") {
            self.append_comment(body)
        } else if body.contains("found(catalog, name, change)") {
            self.verify_identities(body)
        } else if body.starts_with("DECLARE before jsonb") {
            self.verify_memberships()
        } else if body.contains("set_config('rdsprov.memberships'") {
            self.check_acts_as_itself()?;
            self.memberships_before = Some(self.own_memberships());
            Ok(())
        } else if body.contains("has copied %s of role %s from template1") {
            self.verify_copied_objects(body)
        } else if body.contains("owns other databases, tablespaces") {
            self.verify_owned_databases(body)
        } else if body.contains("schema % does not exist, or other roles can create objects in it")
        {
            self.verify_extension_schemas(body)
        } else if body.contains("would receive code that its sessions execute") {
            self.give_without_code(body)
        } else if WITHOUT_EFFECT.iter().any(|parameter| body.contains(parameter)) {
            Ok(())
        } else {
            Err(Failure::unknown(format!("DO: {body}")))
        }
    }

    /// The statement of a hint that gives objects to another role, unless they contain code. The model has none.
    fn give_without_code(&mut self, body: &str) -> Outcome<()> {
        let given = body.split_once("AND s.deptype = 'o'); ").and_then(|(_, rest)| {
            let (statements, _) = rest.split_once("; code := (")?;
            Some(statements)
        });
        let Some(given) = given else { return Err(Failure::unknown(body)) };
        let statements = lexer::statements(given)?;
        statements.iter().try_for_each(|tokens| self.statement(&mut Reader::new(tokens)))
    }

    /// Users add a line to a comment.
    fn append_comment(&mut self, body: &str) -> Outcome<()> {
        let is_role = body.contains("COMMENT ON ROLE");
        let statements = lexer::statements(body)?;
        let tokens = statements.first().map(Vec::as_slice).unwrap_or_default();
        let literals: Vec<&String> = tokens
            .iter()
            .filter_map(|token| match token {
                Token::Literal(text) => Some(text),
                _ => None,
            })
            .collect();
        let [_, name, separator, line, ..] = literals.as_slice() else {
            return Err(Failure::unknown(body));
        };
        let with_line = |old: Option<&String>| {
            let lines = std::iter::once(line.as_str()).chain(old.map(String::as_str));
            Some(lines.collect::<Vec<_>>().join(separator))
        };
        if is_role {
            let role = self.catalog().role_oid(name)?;
            let row = self.catalog_mut().role_mut(role);
            row.comment = with_line(row.comment.as_ref());
        } else {
            let database = self.catalog_mut().database_mut(name)?;
            database.comment = with_line(database.comment.as_ref());
        }
        Ok(())
    }

    fn check_acts_as_itself(&self) -> Outcome<()> {
        if self.current() == self.user {
            Ok(())
        } else {
            Err(Failure::server("2D000", "the current role is not the administrator"))
        }
    }

    /// The memberships of the session's role, except those of a creator.
    fn own_memberships(&self) -> Vec<Membership> {
        let of_creator = |one: &Membership| {
            self.catalog().major >= 16
                && one.grantor == BOOTSTRAP
                && one.admin
                && !one.inherit
                && !one.set
        };
        let own = self.catalog().memberships.iter();
        own.filter(|one| one.member == self.user && !of_creator(one)).copied().collect()
    }

    fn verify_memberships(&self) -> Outcome<()> {
        self.check_acts_as_itself()?;
        let before = self.memberships_before.as_deref().unwrap_or_default();
        if self.own_memberships().iter().all(|one| before.contains(one)) {
            Ok(())
        } else {
            Err(Failure::server("2D000", "the administrator would remain a member"))
        }
    }

    /// Each name must mean the database or role of the plan.
    fn verify_identities(&self, body: &str) -> Outcome<()> {
        let changed = |what: &str| Err(Failure::server("RDSP1", what));
        for row in rows(body, ") e(name, oid, owner)")? {
            let (name, oid) = self.identity(&row)?;
            let Some(Token::Literal(owner)) = row.last() else {
                return Err(Failure::unknown(body));
            };
            let Some(database) = self.catalog().databases.get(&name) else {
                return changed("database was dropped");
            };
            let is_same = oid.is_none_or(|oid| oid == database.oid);
            if !is_same || self.catalog().role_name(database.owner) != owner {
                return changed("database is another one, or has another owner");
            }
        }
        for row in rows(body, ") e(name, oid, attributes)")? {
            let (name, oid) = self.identity(&row)?;
            let role = self.catalog().find_role(&name);
            let creates = body.contains("was created after the server was observed");
            match (oid, role) {
                (None, Some(_)) if creates => return changed("role was created"),
                (Some(oid), found) if found != Some(oid) => return changed("role is another one"),
                _ => {}
            }
            let Some(role) = role.and_then(|oid| self.catalog().roles.get(&oid)) else { continue };
            let held = [
                ("SUPERUSER", role.superuser),
                ("CREATEROLE", role.create_role),
                ("REPLICATION", role.replication),
                ("BYPASSRLS", role.bypass_rls),
            ];
            let allowed = |name: &str| row.contains(&Token::Literal(name.to_owned()));
            if held.iter().any(|(name, has)| *has && !allowed(name)) {
                return changed("role has got an attribute");
            }
        }
        Ok(())
    }

    /// Reads the name and the OID of a row.
    fn identity(&self, row: &[Token]) -> Outcome<(String, Option<u32>)> {
        let name = match row.first() {
            Some(Token::Literal(name)) => name.clone(),
            Some(Token::Word(word)) if word == "current_database" => self.database.clone(),
            _ => return Err(Failure::unknown(format!("{row:?}"))),
        };
        let number = row.iter().find_map(|token| match token {
            Token::Number(text) => text.parse().ok(),
            _ => None,
        });
        let is_created = row.contains(&Token::Literal("rdsprov.created_oid".to_owned()));
        let created = self.parameters.get("rdsprov.created_oid").and_then(|text| text.parse().ok());
        Ok((name, if is_created { created } else { number }))
    }

    fn verify_copied_objects(&self, body: &str) -> Outcome<()> {
        let start = "datname = '";
        let name = body.split(start).nth(1).and_then(|rest| rest.split("')").next());
        let name = name.unwrap_or_default().replace("''", "'");
        let template = self.catalog().database("template1")?.owner;
        let administrators = self.administrators();
        let copied = &self.catalog().database(&name)?.objects;
        let is_of_other = |object: &super::catalog::Object| {
            object.kind != Kind::LargeObject
                && object.owner != template
                && !administrators.contains(&object.owner)
                && !self.catalog().role_name(object.owner).starts_with("pg_")
        };
        if copied.iter().any(is_of_other) {
            return Err(Failure::server("55000", "the new database has copied objects"));
        }
        Ok(())
    }

    fn verify_owned_databases(&self, body: &str) -> Outcome<()> {
        let statements = lexer::statements(body)?;
        let tokens: Vec<&Token> = statements.iter().flatten().collect();
        let after = |word: &str| {
            tokens.iter().position(|token| **token == Token::Word(word.to_owned())).unwrap_or(0)
        };
        let literal = |token: &&Token| match token {
            Token::Literal(text) => Some(text.clone()),
            _ => None,
        };
        let Some(role) = tokens[after("rolname")..].iter().find_map(literal) else {
            return Err(Failure::unknown(body));
        };
        let role = self.catalog().role_oid(&role)?;
        let expected = tokens[after("distinct")..]
            .iter()
            .take_while(|token| ***token != Token::Symbol(']'))
            .filter_map(literal);
        let mut expected: Vec<String> = expected.collect();
        expected.sort();
        let owned = self.catalog().databases.iter();
        let owned = owned
            .filter(|(name, database)| database.owner == role && **name != self.database)
            .map(|(name, _)| format!("database {name}"));
        if owned.collect::<Vec<_>>() == expected {
            Ok(())
        } else {
            Err(Failure::server("RDSP1", "role owns other databases than in the plan"))
        }
    }

    /// Only administrators may create or have objects in the schemas of an extension.
    fn verify_extension_schemas(&self, body: &str) -> Outcome<()> {
        let start = "schemas text[] := ARRAY[";
        let list = body.split(start).nth(1).and_then(|rest| rest.split("];").next());
        let statements = lexer::statements(list.unwrap_or_default())?;
        let administrators = self.administrators();
        for token in statements.iter().flatten() {
            let Token::Literal(schema) = token else { continue };
            let denied = || Failure::server("P0001", "other roles can create objects");
            if schema == "information_schema" || schema == "pg_catalog" {
                continue;
            }
            let oid = self.find_schema(schema).map_err(|_| denied())?;
            let found = self.object(oid)?;
            let create = super::acl::bits(&["CREATE"]);
            let mut acl = found.acl.iter().flatten();
            let others = acl
                .any(|item| item.rights & create != 0 && !administrators.contains(&item.grantee));
            let objects = self.objects()?.iter().filter(|object| object.is_in(schema));
            let of_others =
                objects.filter(|object| !administrators.contains(&object.owner)).count() > 0;
            if others || of_others || !administrators.contains(&found.owner) {
                return Err(denied());
            }
        }
        Ok(())
    }
}

/// Returns the tokens of each row of a `VALUES` list that ends with `end`.
fn rows(body: &str, end: &str) -> Outcome<Vec<Vec<Token>>> {
    let Some(position) = body.find(end) else { return Ok(Vec::new()) };
    let start = body[..position].rfind("(VALUES ").unwrap_or_default() + "(VALUES ".len();
    let statements = lexer::statements(&body[start..position])?;
    let mut rows = Vec::new();
    let mut depth = 0;
    for token in statements.into_iter().flatten() {
        match token {
            Token::Symbol('(') => {
                depth += 1;
                if depth == 1 {
                    rows.push(Vec::new());
                }
            }
            Token::Symbol(')') => depth -= 1,
            token if depth > 0 => {
                if let Some(row) = rows.last_mut() {
                    Vec::push(row, token);
                }
            }
            _ => {}
        }
    }
    Ok(rows)
}
