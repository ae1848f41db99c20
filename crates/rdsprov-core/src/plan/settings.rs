//! Plans the settings of declared roles in a database.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::Planner;
use super::{Action, RefusalKind, Step, sql};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed;
use crate::probe::Probe;
use crate::setting::Parameter;

impl Planner<'_> {
    /// Adds the steps that change the settings of the declared roles in a database.
    pub(super) fn settings(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: Option<&observed::Database>,
        steps: &mut Vec<Step>,
    ) {
        let none = BTreeMap::new();
        let with_settings = seen
            .into_iter()
            .flat_map(|seen| seen.settings.keys().chain(seen.settings_too_long.iter().flatten()));
        let roles: BTreeSet<&RoleName> = database.access.keys().chain(with_settings).collect();
        for role in roles.into_iter().filter(|role| self.desired.roles.contains_key(*role)) {
            if !self.desired.is_selected(self.application_for(role, database)) {
                continue;
            }
            let access = database.access.get(role);
            let wanted = access.map_or(&none, |access| &access.settings);
            let held = seen.and_then(|seen| seen.settings.get(role)).unwrap_or(&none);
            let application = self.application_for(role, database).clone();
            if seen.is_some_and(|seen| seen.settings_too_long.contains(&Some(role.clone()))) {
                self.refuse_long_settings(&application, Some(role), name, role);
                continue;
            }
            let mut changes = Vec::new();
            for (parameter, value) in wanted {
                if held.get(parameter).is_some_and(|held| parameter.same(held, value)) {
                    continue;
                }
                let probe =
                    Probe::SetParameter { parameter: parameter.clone(), value: value.clone() };
                if let Err(reason) = self.check_probe(probe) {
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
                let probe = Probe::ResetParameter {
                    parameter: parameter.clone(),
                    role: role.clone(),
                    database: name.clone(),
                };
                match self.check_probe(probe) {
                    Ok(()) => changes.push((parameter, None)),
                    Err(reason) => self.refuse_with_fix(
                        &application,
                        RefusalKind::SettingNotResettable {
                            parameter: parameter.clone(),
                            role: role.clone(),
                            database: name.clone(),
                            reason,
                        },
                        self.more_powerful(),
                        sql::set_parameter(role, name, parameter, None),
                    ),
                }
            }
            let reset: Vec<Parameter> = changes
                .iter()
                .filter(|(_, value)| value.is_none())
                .map(|(one, _)| (*one).clone())
                .collect();
            steps.extend(changes.into_iter().map(|(parameter, value)| {
                let summary = match value {
                    Some(value) => format!("{parameter} = {value:?} for {role} in database {name}"),
                    None => format!("{parameter} for {role} in database {name}: reset"),
                };
                let statement = sql::set_parameter(role, name, parameter, value);
                Step::new(Action::SetParameter, &application, summary, [statement])
                    .for_role(role)
                    .in_database(name)
                    .replacing(held.contains_key(parameter))
            }));
            self.settings_of_clone(role, (wanted, &reset), (name, seen), &application, steps);
        }
    }

    /// Adds the steps that give the clone of a role the declared settings of the role: the rotation creates the
    /// clone without them. What the plan resets for the role, it resets for the clone; other settings of the clone
    /// are its own.
    fn settings_of_clone(
        &mut self,
        role: &RoleName,
        (wanted, reset): (&BTreeMap<Parameter, String>, &[Parameter]),
        (name, seen): (&DatabaseName, Option<&observed::Database>),
        application: &ApplicationName,
        steps: &mut Vec<Step>,
    ) {
        let Some(clone) =
            self.existing_clone(role).filter(|clone| self.role_of_clone(clone).is_some())
        else {
            return;
        };
        let clone = clone.clone();
        if seen.is_some_and(|seen| seen.settings_too_long.contains(&Some(clone.clone()))) {
            if !wanted.is_empty() {
                self.refuse_long_settings(application, Some(&clone), name, &clone);
            }
            return;
        }
        let held = seen.and_then(|seen| seen.settings.get(&clone));
        let is_held = |parameter: &Parameter, value: &String| {
            let held = held.and_then(|held| held.get(parameter));
            held.is_some_and(|held| parameter.same(held, value))
        };
        let set = wanted.iter().map(|(one, value)| (one, Some(value)));
        let differs: Vec<_> = set
            .filter(|(one, value)| value.is_some_and(|value| !is_held(one, value)))
            .chain(
                reset
                    .iter()
                    .map(|one| (one, None))
                    .filter(|(one, _)| held.is_some_and(|held| held.contains_key(*one))),
            )
            .collect();
        if differs.is_empty() {
            return;
        }
        if !self.can_administer(&clone) {
            self.refuse_without_admin_option(application, &clone);
            return;
        }
        steps.extend(differs.into_iter().map(|(parameter, value)| {
            let summary = match value {
                Some(value) => format!("{parameter} = {value:?} for {clone} in database {name}"),
                None => format!("{parameter} for {clone} in database {name}: reset"),
            };
            let statement = sql::set_parameter(&clone, name, parameter, value);
            Step::new(Action::SetParameter, application, summary, [statement])
                .for_role(&clone)
                .in_database(name)
                .replacing(held.is_some_and(|held| held.contains_key(parameter)))
        }));
    }

    /// Refuses settings that are so long that they were not read. `by` is the role that may reset
    /// them.
    pub(super) fn refuse_long_settings(
        &mut self,
        application: &ApplicationName,
        role: Option<&RoleName>,
        name: &DatabaseName,
        by: &RoleName,
    ) {
        let executor = match role {
            Some(_) => self.who_administers(by),
            None => self.executor(by),
        };
        let kind = RefusalKind::SettingsTooLong { role: role.cloned(), database: name.clone() };
        self.refuse_with_fix(application, kind, executor, sql::reset_settings(role, name));
    }
}
