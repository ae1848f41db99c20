//! The settings that declared roles have in a database.

use std::collections::BTreeMap;

use super::databases::{StepTarget, step};
use super::planner::Planner;
use super::{Action, ExecuteAs, ManualFix, Memberships, Step, sql};
use crate::desired;
use crate::name::{DatabaseName, RoleName};
use crate::setting::Parameter;

impl Planner<'_> {
    /// What differs in the settings of the declared roles in a database.
    pub(super) fn settings(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &BTreeMap<RoleName, BTreeMap<Parameter, String>>,
        steps: &mut Vec<Step>,
    ) {
        let none = BTreeMap::new();
        for role in self.desired.roles.keys() {
            let access = database.access.get(role);
            let wanted = access.map_or(&none, |access| &access.settings);
            let held = seen.get(role).unwrap_or(&none);
            let application = self.application_for(role, database).clone();
            let mut changes = Vec::new();
            for (parameter, value) in wanted {
                if held.get(parameter).is_some_and(|held| parameter.same(held, value)) {
                    continue;
                }
                let tried =
                    sql::set_parameter(None, &self.observed.admin_database, parameter, Some(value));
                if let Some(reason) = self.denial_reason(&tried.redacted()) {
                    self.refuse(
                        &application,
                        format!("{parameter} = {value:?} cannot be set for role {role} in database {name}: {reason}"),
                        "correct or remove it from the application's `settings`".to_owned(),
                    );
                    continue;
                }
                changes.push((parameter, Some(value)));
            }
            let beyond: Vec<&Parameter> =
                held.keys().filter(|held| !wanted.contains_key(held)).collect();
            let differs = !changes.is_empty() || !beyond.is_empty();
            if differs && !self.can_administer(role) {
                self.refuse_without_admin_option(&application, role);
                continue;
            }
            for parameter in beyond {
                // What only a superuser may set, only a superuser may reset.
                let statement = sql::set_parameter(Some(role), name, parameter, None).redacted();
                match self.denial_reason(&statement) {
                    None => changes.push((parameter, None)),
                    Some(reason) => self.refuse_with_fix(
                        &application,
                        format!("{parameter} is set for role {role} in database {name}, is not declared, and cannot be reset: {reason}"),
                        "a superuser",
                        ManualFix { database: None, sql: statement },
                    ),
                }
            }
            steps.extend(changes.into_iter().map(|(parameter, value)| {
                let of = StepTarget {
                    application: &application,
                    role: Some(role),
                    execute_as: ExecuteAs::Administrator,
                    temporary_memberships: Memberships::new(),
                };
                let summary = match value {
                    Some(value) => format!("{parameter} = {value:?} for {role} in database {name}"),
                    None => format!("{parameter} for {role} in database {name}: not set any more"),
                };
                let statement = sql::set_parameter(Some(role), name, parameter, value);
                step(name, of, Action::SetParameter, summary, vec![statement], &[])
            }));
        }
    }
}
