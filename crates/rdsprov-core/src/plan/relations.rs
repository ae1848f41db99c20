//! Plans the privileges on relations and their columns. Relations with the same owner and ACL are
//! one group: it is compared once, and one statement changes all of them where possible.

use std::collections::BTreeMap;

use super::acl::AclDiff;
use super::database_planner::DatabasePlanner;
use super::sql::GrantTarget;
use crate::name::{RoleName, SchemaName};
use crate::observed::{Columns, Relations};
use crate::privilege::{self, ObjectKind, Privileges};

impl DatabasePlanner<'_, '_> {
    pub(super) fn relations(&mut self, schema: &SchemaName, groups: &[Relations]) {
        let covered = self.database.covered_schemas().contains(schema);
        for kind in ObjectKind::RELATIONS {
            let of_kind: Vec<&Relations> =
                groups.iter().filter(|group| group.kind == kind).collect();
            let acl_diff: Vec<(&Relations, AclDiff)> = of_kind
                .iter()
                .map(|group| {
                    let wanted = self.wanted_on_relations(&group.owner, schema, kind);
                    (*group, self.relation_differs(group, covered, &wanted))
                })
                .collect();
            // One statement for all relations, if all have the same owner and need the same change.
            let alike =
                of_kind.iter().all(|group| !group.of_extension && group.owner == of_kind[0].owner);
            let mut lacking: BTreeMap<(RoleName, RoleName, Privileges, bool), Vec<&Relations>> =
                BTreeMap::new();
            for (group, acl_diff) in &acl_diff {
                for (role, privileges) in &acl_diff.grant {
                    let held_by_public = acl_diff.held_by_public(privileges);
                    lacking
                        .entry((
                            group.owner.clone(),
                            role.clone(),
                            privileges.clone(),
                            held_by_public,
                        ))
                        .or_default()
                        .push(group);
                }
            }
            for ((owner, role, privileges, held_by_public), groups) in lacking {
                let all = alike && groups.len() == of_kind.len();
                let target = self.target(kind, schema, &owner, &groups, all);
                self.grant(&target, &owner, &role, &privileges, held_by_public);
            }
            let mut excess: Vec<(&RoleName, &AclDiff, Vec<&Relations>)> = Vec::new();
            for (group, acl_diff) in &acl_diff {
                match excess.iter_mut().find(|(owner, other, _)| {
                    **owner == group.owner
                        && other.revoke == acl_diff.revoke
                        && other.dependent_grants == acl_diff.dependent_grants
                        && other.kept_by_public() == acl_diff.kept_by_public()
                }) {
                    Some((_, _, groups)) => groups.push(group),
                    None => excess.push((&group.owner, acl_diff, vec![group])),
                }
            }
            for (owner, acl_diff, groups) in excess {
                if acl_diff.revoke.is_empty() {
                    continue;
                }
                let all = alike && groups.len() == of_kind.len();
                let target = self.target(kind, schema, owner, &groups, all);
                self.revokes(&target, owner, acl_diff);
            }
        }
    }

    pub(super) fn relation_differs(
        &self,
        group: &Relations,
        covered: bool,
        wanted: &BTreeMap<RoleName, Privileges>,
    ) -> AclDiff {
        let of_creator = covered && self.is_creator(&group.owner);
        let public = of_creator.then(|| group.initial_privileges_of_public.clone());
        if !group.of_extension {
            return self.differs(&group.owner, &group.acl, wanted, public);
        }
        // Relations of an extension get no grants, but they keep those from default privileges.
        let none = BTreeMap::new();
        let allowed = if of_creator { wanted } else { &none };
        let mut acl_diff = self.differs(&group.owner, &group.acl, allowed, public);
        acl_diff.grant.clear();
        acl_diff
    }

    /// Returns all relations of a kind in a schema as the target, or some by name. If the
    /// administrator cannot act as the owner, the refusal names each relation.
    pub(super) fn target(
        &mut self,
        kind: ObjectKind,
        schema: &SchemaName,
        owner: &RoleName,
        groups: &[&Relations],
        all: bool,
    ) -> GrantTarget {
        let numbers = groups.iter().map(|group| group.number);
        self.planner.relation_names.changed.extend(numbers.clone());
        if all && self.execution_context(owner).is_some() {
            return GrantTarget::AllRelations { kind, schema: schema.clone() };
        }
        self.planner.relation_names.named.extend(numbers);
        let mut names: Vec<_> = groups.iter().flat_map(|group| &group.names).cloned().collect();
        names.sort();
        GrantTarget::Relations { kind, schema: schema.clone(), names }
    }

    /// Compares the ACLs of columns. A privilege that a role also has on the relation may stay.
    pub(super) fn columns(&mut self, schema: &SchemaName, columns: &Columns) {
        let covered = self.database.covered_schemas().contains(schema);
        let of_creator = covered && self.is_creator(&columns.owner);
        let allowed = if columns.of_extension && !of_creator {
            BTreeMap::new()
        } else {
            self.wanted(schema, |level| privilege::on_object(level, ObjectKind::Table))
        };
        let public = of_creator.then(|| columns.initial_privileges_of_public.clone());
        let mut acl_diff = self.differs(&columns.owner, &columns.acl, &allowed, public);
        acl_diff.grant.clear();
        let target = GrantTarget::Columns {
            schema: schema.clone(),
            relation: columns.relation.clone(),
            names: columns.names.clone(),
        };
        self.revokes(&target, &columns.owner, &acl_diff);
    }
}
