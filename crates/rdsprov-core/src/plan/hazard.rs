//! Hazards: the effects of steps that can break something for the users of a database.

use std::str::FromStr;

use crate::named_enum::named_enum;
use crate::policy::Policy;

named_enum! {
    /// An effect of a step that can break something. The names, in snake case, are given
    /// to the option `allow`.
    "snake_case" pub enum Hazard {
        /// A role or PUBLIC loses a privilege, a membership or an attribute.
        RevokesAccess,
        /// A database, schema or other object gets another owner.
        ChangesOwner,
        /// A valid password is replaced or removed.
        ResetsPassword,
        /// A role or database that was not managed becomes managed.
        Adopts,
        /// PUBLIC may not connect to a database any more.
        ClosesToPublic,
        /// A role that is adopted gets more privileges than it had, or a role may log in again: it
        /// had `NOLOGIN`, `CONNECTION LIMIT 0`, or a password with `VALID UNTIL`. Or the clone of a role
        /// becomes a member of the role. Or a role gets its privileges in the database of an application
        /// that is not declared. Or a role gets its first access to the database of an application that does not name
        /// its secret, which is that of another application. Or the default privileges of the role of such an application change.
        WidensAccess,
        /// A database that did not allow connections allows them again.
        ReopensDatabase,
        /// An application gets a new database, and the data stays in its old one.
        MovesDatabase,
        /// The first roles or databases of an environment come to a server of other environments.
        MixesEnvironments,
        /// A role or database that another environment manages becomes managed in this one, because the
        /// server was restored from a snapshot.
        AdoptsFromEnvironment,
        /// A managed role gets its password from another secret.
        ChangesSecret,
        /// A managed role belongs to another application from now on.
        ChangesApplication,
        /// A declared role or database belongs to the definitions of another scope.
        ChangesScope,
        /// The new owner of objects gets code of other roles, which is then executed with its
        /// privileges: functions with `SECURITY DEFINER`, triggers, rules, views, and expressions that
        /// call functions. The step lists it.
        HandsOverCode,
        /// A role gets what is not limited to the database of its application: it becomes a member of a
        /// predefined role, and the step says what the members can do, or it gets `EXECUTE` on a routine
        /// of an extension that PUBLIC may not execute; or the plan creates such an extension for it.
        ReachesBeyondDatabase,
        /// A retired role is dropped.
        DropsRole,
        /// The database of a retired role is dropped, with all its data.
        DropsDatabase,
        /// A blue/green deployment is in progress, and its green environment does not get the change.
        DegradesBlueGreen,
    }
}

impl Hazard {
    /// Returns whether the hazard must be allowed in every environment, because it is more often a
    /// mistake in the definitions than intended, or takes a role from another application,
    /// scope or environment.
    #[must_use]
    pub fn must_always_be_allowed(self) -> bool {
        matches!(
            self,
            Self::MovesDatabase
                | Self::MixesEnvironments
                | Self::AdoptsFromEnvironment
                | Self::ChangesSecret
                | Self::ChangesApplication
                | Self::ChangesScope
                | Self::DropsRole
                | Self::DropsDatabase
        )
    }

    /// Returns whether a plan with the hazard is executed only if the hazard is allowed by name.
    #[must_use]
    pub fn must_be_allowed(self, policy: &Policy) -> bool {
        self.must_always_be_allowed()
            || !policy.allows_all_hazards() && self != Self::ResetsPassword
    }
}

impl FromStr for Hazard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|hazard| hazard.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            format!("unknown hazard; the hazards are {}", known.join(", "))
        })
    }
}
