//! Plans the settings of declared roles in a database.

use std::collections::BTreeMap;

use super::databases::{StepTarget, step};
use super::planner::Planner;
use super::{Action, ExecuteAs, Executor, ManualFix, Memberships, RefusalKind, Step, sql};
use crate::desired;
use crate::name::{DatabaseName, RoleName};
use crate::setting::Parameter;

impl Planner<'_> {
    /// Adds the steps that change the settings of the declared roles in a database.
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
                        RefusalKind::SettingRejected {
                            parameter: parameter.clone(),
                            value: value.clone(),
                            role: role.clone(),
                            database: name.clone(),
                            reason,
                        },
                    );
                    continue;
                }
                changes.push((parameter, Some(value)));
            }
            let excess: Vec<&Parameter> =
                held.keys().filter(|held| !wanted.contains_key(held)).collect();
            let differs = !changes.is_empty() || !excess.is_empty();
            if differs && !self.can_administer(role) {
                self.refuse_without_admin_option(&application, role);
                continue;
            }
            for parameter in excess {
                // Only a superuser may reset a parameter that only a superuser may set.
                let statement = sql::set_parameter(Some(role), name, parameter, None).redacted();
                match self.denial_reason(&statement) {
                    None => changes.push((parameter, None)),
                    Some(reason) => self.refuse_with_fix(
                        &application,
                        RefusalKind::SettingNotResettable {
                            parameter: parameter.clone(),
                            role: role.clone(),
                            database: name.clone(),
                            reason,
                        },
                        Executor::Superuser,
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
                    None => format!("{parameter} for {role} in database {name}: reset"),
                };
                let statement = sql::set_parameter(Some(role), name, parameter, value);
                step(name, of, Action::SetParameter, summary, vec![statement], &[])
            }));
        }
    }
}
