//! `GRANT` and `REVOKE` of roles, with the rules of `user.c` before and since PostgreSQL 16.

use std::rc::Rc;

use super::acl::{Behavior, Inheritance as _};
use super::catalog::{BOOTSTRAP, Follow, Membership, Oid};
use super::lexer::Reader;
use super::{Failure, Outcome, Session};

/// Options of a membership; `None` is not written.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    admin: Option<bool>,
    inherit: Option<bool>,
    set: Option<bool>,
}

/// What a revocation does with a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Keep,
    RemoveAdmin,
    Delete,
}

impl Session<'_> {
    /// Reads the roles and the members of a statement.
    fn members(&self, reader: &mut Reader<'_>) -> Outcome<Vec<Oid>> {
        reader.list(|reader| {
            if reader.accept("current_user") {
                return Ok(self.current());
            }
            self.catalog().role_oid(&reader.name()?)
        })
    }

    pub(super) fn grant_roles(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let roles = self.members(reader)?;
        reader.expect("to")?;
        let members = self.members(reader)?;
        let mut options = Options::default();
        if reader.accept("with") {
            if reader.accept("admin option") {
                options.admin = Some(true);
            } else {
                let is_known = self.catalog().major >= 16;
                for (name, value) in reader.list(|reader| {
                    let name = reader.name()?;
                    Ok((name, reader.name()? == "true"))
                })? {
                    match name.as_str() {
                        _ if !is_known => {
                            return Err(Failure::server("42601", "unrecognized role option"));
                        }
                        "admin" => options.admin = Some(value),
                        "inherit" => options.inherit = Some(value),
                        "set" => options.set = Some(value),
                        _ => return reader.unknown(),
                    }
                }
            }
        }
        for role in roles {
            self.check_membership_authorization(role)?;
            let grantor = self.grantor_of(role, None)?;
            for &member in &members {
                self.add_member(role, member, grantor, options)?;
            }
        }
        Ok(())
    }

    fn check_membership_authorization(&self, role: Oid) -> Outcome<()> {
        let catalog = self.catalog();
        if catalog.role_name(role) == "pg_database_owner" {
            let state = if catalog.major >= 18 { "0A000" } else { "XX000" };
            return Err(Failure::server(state, "role cannot have explicit members"));
        }
        let current = self.current();
        if catalog.is_superuser(role) {
            let may = catalog.is_superuser(current);
            return if may { Ok(()) } else { Err(Failure::denied("a superuser role")) };
        }
        let creates = catalog.major < 16
            && (catalog.is_superuser(current)
                || catalog.roles.get(&current).is_some_and(|role| role.create_role));
        if creates || catalog.is_admin_of(current, role, self.database_owner()) {
            Ok(())
        } else {
            Err(Failure::denied(format!("to grant or revoke role {}", catalog.role_name(role))))
        }
    }

    /// Returns the grantor of a membership in a role.
    fn grantor_of(&self, role: Oid, explicit: Option<Oid>) -> Outcome<Oid> {
        let current = self.current();
        let catalog = self.catalog();
        if let Some(grantor) = explicit {
            let may = self.world().has_privileges_of(current, grantor);
            return if may { Ok(grantor) } else { Err(Failure::denied("GRANTED BY")) };
        }
        if catalog.major < 16 {
            return Ok(current);
        }
        if catalog.is_superuser(current) {
            return Ok(BOOTSTRAP);
        }
        let owner = self.database_owner();
        let (_, admin) = catalog.roles_and_admin(current, Follow::Inherit, owner, role);
        admin
            .filter(|_| current != role)
            .ok_or_else(|| Failure::server("XX000", "no possible grantors"))
    }

    fn add_member(
        &mut self,
        role: Oid,
        member: Oid,
        grantor: Oid,
        options: Options,
    ) -> Outcome<()> {
        let catalog = self.catalog();
        let reaches = catalog.roles_of(role, Follow::All, self.database_owner()).contains(&member);
        if reaches {
            return Err(Failure::server("0LP01", "circular membership"));
        }
        let keyed_by_grantor = catalog.major >= 16;
        if keyed_by_grantor && options.admin == Some(true) && grantor != BOOTSTRAP {
            self.check_admin_circularity(role, member, grantor)?;
        }
        let inherits = catalog.roles.get(&member).is_some_and(|role| role.inherit);
        let memberships = Rc::make_mut(&mut self.catalog_mut().memberships);
        let existing = memberships.iter_mut().find(|one| {
            one.role == role
                && one.member == member
                && (!keyed_by_grantor || one.grantor == grantor)
        });
        match existing {
            Some(one) if !keyed_by_grantor => {
                if options.admin == Some(true) && !one.admin {
                    (one.admin, one.grantor) = (true, grantor);
                }
            }
            Some(one) => {
                one.admin = options.admin.unwrap_or(one.admin);
                one.inherit = options.inherit.unwrap_or(one.inherit);
                one.set = options.set.unwrap_or(one.set);
            }
            None => memberships.push(Membership {
                role,
                member,
                grantor,
                admin: options.admin.unwrap_or(false),
                inherit: !keyed_by_grantor || options.inherit.unwrap_or(inherits),
                set: options.set.unwrap_or(true),
            }),
        }
        Ok(())
    }

    /// A role cannot get `ADMIN OPTION` from a role that has it from it.
    fn check_admin_circularity(&self, role: Oid, member: Oid, grantor: Oid) -> Outcome<()> {
        let rows = self.rows_of(role);
        let mut actions = vec![Action::Keep; rows.len()];
        for index in 0..rows.len() {
            if rows[index].member == member {
                plan_revoke(&rows, &mut actions, index, false, Behavior::Cascade)?;
            }
        }
        let remains = rows
            .iter()
            .zip(&actions)
            .any(|(row, action)| *action == Action::Keep && row.member == grantor && row.admin);
        if remains {
            return Ok(());
        }
        Err(Failure::server("0LP01", "ADMIN option cannot be granted back to your own grantor"))
    }

    fn rows_of(&self, role: Oid) -> Vec<Membership> {
        self.catalog().memberships.iter().filter(|one| one.role == role).copied().collect()
    }

    pub(super) fn revoke_roles(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let admin_only = reader.accept("admin option for");
        let roles = self.members(reader)?;
        reader.expect("from")?;
        let members = self.members(reader)?;
        let explicit = if reader.accept("granted by") {
            Some(self.catalog().role_oid(&reader.name()?)?)
        } else {
            None
        };
        let behavior =
            if reader.accept("cascade") { Behavior::Cascade } else { Behavior::Restrict };
        let keyed_by_grantor = self.catalog().major >= 16;
        for role in roles {
            self.check_membership_authorization(role)?;
            let grantor = self.grantor_of(role, explicit)?;
            let rows = self.rows_of(role);
            let mut actions = vec![Action::Keep; rows.len()];
            for &member in &members {
                let found = rows.iter().position(|row| {
                    row.member == member && (!keyed_by_grantor || row.grantor == grantor)
                });
                match found {
                    None => self.warn("01000"),
                    Some(index) if keyed_by_grantor => {
                        plan_revoke(&rows, &mut actions, index, admin_only, behavior)?;
                    }
                    Some(index) if admin_only => actions[index] = Action::RemoveAdmin,
                    Some(index) => actions[index] = Action::Delete,
                }
            }
            let memberships = Rc::make_mut(&mut self.catalog_mut().memberships);
            for (row, action) in rows.iter().zip(actions) {
                let is_row = |one: &Membership| {
                    (one.role, one.member, one.grantor) == (row.role, row.member, row.grantor)
                };
                match action {
                    Action::Keep => {}
                    Action::Delete => memberships.retain(|one| !is_row(one)),
                    Action::RemoveAdmin => {
                        let same = memberships.iter_mut().filter(|one| is_row(one));
                        same.for_each(|one| one.admin = false);
                    }
                }
            }
        }
        Ok(())
    }
}

/// `plan_recursive_revoke`.
fn plan_revoke(
    rows: &[Membership],
    actions: &mut [Action],
    index: usize,
    admin_only: bool,
    behavior: Behavior,
) -> Outcome<()> {
    if actions[index] == Action::Delete || actions[index] == Action::RemoveAdmin && admin_only {
        return Ok(());
    }
    let row = rows[index];
    if !admin_only {
        actions[index] = Action::Delete;
    }
    if !row.admin {
        return Ok(());
    }
    if admin_only {
        actions[index] = Action::RemoveAdmin;
    }
    let is_still_admin = rows
        .iter()
        .zip(actions.iter())
        .any(|(one, action)| *action == Action::Keep && one.member == row.member && one.admin);
    if is_still_admin {
        return Ok(());
    }
    for other in 0..rows.len() {
        if rows[other].grantor == row.member && actions[other] != Action::Delete {
            if behavior == Behavior::Restrict {
                return Err(Failure::server("2BP01", "dependent privileges exist"));
            }
            plan_revoke(rows, actions, other, false, behavior)?;
        }
    }
    Ok(())
}
