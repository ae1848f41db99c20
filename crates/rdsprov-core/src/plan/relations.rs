//! Plans the privileges on relations and their columns. Relations with the same owner and ACL are
//! one group: it is compared once, and one statement changes all of them where possible.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::{self, AclDiff, OptionsElsewhere, WithoutGrant};
use super::database_planner::DatabasePlanner;
use super::sql::GrantTarget;
use crate::name::{RoleName, SchemaName};
use crate::observed::{Columns, Relations};
use crate::privilege::{self, ObjectKind, Privileges};

/// The relations of one kind in a schema that one statement changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All relations of the kind.
    All,
    /// Some of them, which the statement names.
    Named,
}

impl DatabasePlanner<'_, '_> {
    /// Plans the privileges on relations. Nothing is revoked on those in `refused`: a privilege on their columns cannot
    /// be revoked.
    pub(super) fn relations(
        &mut self,
        schema: &SchemaName,
        groups: &[Relations],
        refused: &BTreeSet<&str>,
    ) {
        for kind in ObjectKind::RELATIONS {
            let of_kind: Vec<&Relations> =
                groups.iter().filter(|group| group.kind == kind).collect();
            let acl_diff: Vec<(&Relations, AclDiff)> = of_kind
                .iter()
                .map(|group| {
                    let wanted = self.wanted_on_relations(&group.owner, schema, kind);
                    (*group, self.relation_differs(schema, group, &wanted))
                })
                .collect();
            // One statement for all relations, if all have the same owner and need the same change.
            let alike =
                of_kind.iter().all(|group| !group.of_extension && group.owner == of_kind[0].owner);
            let extent = |groups: &[&Relations]| {
                if alike && groups.len() == of_kind.len() { Extent::All } else { Extent::Named }
            };
            let without_refused = |groups: &[&Relations]| {
                if refused.is_empty() { extent(groups) } else { Extent::Named }
            };
            type Lacking = (RoleName, RoleName, Privileges, WithoutGrant);
            let mut lacking: BTreeMap<Lacking, Vec<&Relations>> = BTreeMap::new();
            for (group, acl_diff) in &acl_diff {
                for (role, privileges) in &acl_diff.grant {
                    let without_grant = acl_diff.without_grant(privileges);
                    let lacks =
                        (group.owner.clone(), role.clone(), privileges.clone(), without_grant);
                    lacking.entry(lacks).or_default().push(group);
                }
            }
            // One statement for all roles that lack the same on the same relations.
            let of_roles = acl::grouped(lacking, |((owner, _, privileges, _), groups)| {
                let numbers: Vec<i64> = groups.iter().map(|group| group.number).collect();
                (owner.clone(), privileges.clone(), numbers)
            });
            for of_roles in of_roles {
                let ((owner, ..), groups) = &of_roles[0];
                let target = self.target(kind, schema, owner, groups, extent(groups));
                for ((owner, role, privileges, without_grant), _) in &of_roles {
                    self.grant(&target, owner, role, privileges, *without_grant, &[]);
                }
            }
            let excess = acl_diff.iter().filter(|(_, one)| !one.revoke.is_empty());
            let excess = acl::grouped(excess, |(group, acl_diff)| {
                let AclDiff { revoke, dependent_grants, .. } = acl_diff;
                format!("{:?}", (&group.owner, revoke, dependent_grants, acl_diff.kept_by_public()))
            });
            for same in excess {
                let (first, acl_diff) = same[0];
                let groups: Vec<&Relations> = same.iter().map(|(group, _)| *group).collect();
                let extent = without_refused(&groups);
                let mut target = self.target(kind, schema, &first.owner, &groups, extent);
                if let GrantTarget::Relations { names, .. } = &mut target
                    && !refused.is_empty()
                {
                    names.retain(|name| !refused.contains(name.as_str()));
                    if names.is_empty() {
                        continue;
                    }
                }
                self.revokes(&target, &first.owner, acl_diff);
            }
        }
    }

    /// Returns whether the relations of a role in a schema are those of the owner or of a creator in a
    /// covered schema.
    fn is_of_creator(&self, schema: &SchemaName, owner: &RoleName) -> bool {
        self.database.covers(schema) && self.is_creator(owner)
    }

    fn relation_differs(
        &self,
        schema: &SchemaName,
        group: &Relations,
        wanted: &BTreeMap<RoleName, Privileges>,
    ) -> AclDiff {
        let of_creator = self.is_of_creator(schema, &group.owner);
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
    fn target(
        &mut self,
        kind: ObjectKind,
        schema: &SchemaName,
        owner: &RoleName,
        groups: &[&Relations],
        extent: Extent,
    ) -> GrantTarget {
        let numbers = groups.iter().map(|group| group.number);
        self.planner.relation_names.changed.extend(numbers.clone());
        if extent == Extent::All && self.execution_context(owner).is_some() {
            return GrantTarget::AllRelations { kind, schema: schema.clone() };
        }
        self.planner.relation_names.named.extend(numbers);
        let mut names: Vec<_> = groups.iter().flat_map(|group| &group.names).cloned().collect();
        names.sort();
        GrantTarget::Relations { kind, schema: schema.clone(), names }
    }

    /// Compares the ACLs of columns. A privilege that a role also has on the relation may stay. Returns whether a
    /// revocation is refused.
    pub(super) fn columns(&mut self, schema: &SchemaName, columns: &Columns) -> bool {
        let of_creator = self.is_of_creator(schema, &columns.owner);
        let allowed = if columns.of_extension && !of_creator {
            BTreeMap::new()
        } else {
            self.wanted(schema, |level| privilege::on_object(level, ObjectKind::Table))
        };
        let public = of_creator.then(|| columns.initial_privileges_of_public.clone());
        let Columns { owner, acl, options_on_relation: held, .. } = columns;
        let elsewhere = Some(OptionsElsewhere { owner, held });
        let mut acl_diff = self.differs_with(owner, acl, &allowed, public, elsewhere);
        acl_diff.grant.clear();
        let target = GrantTarget::Columns {
            schema: schema.clone(),
            relation: columns.relation.clone(),
            names: columns.names.clone(),
        };
        let refusals = self.planner.findings.refusals.len();
        self.revokes(&target, owner, &acl_diff);
        self.planner.findings.refusals.len() > refusals
    }
}
