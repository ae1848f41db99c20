//! The data that all records of a run have in common: the user, the server, the definitions.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit_table::RunNames;
use crate::plan::Hazard;

/// The persons and the machine that are responsible for a run.
///
/// The caller gives the actor, the approver and the request. The operating system gives the user
/// and the host, independently of the actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attribution {
    /// The person or pipeline that starts the run; by default the operating-system user.
    pub actor: String,
    /// The person that has approved the run.
    pub approver: Option<String>,
    /// The id of the request for the run, such as a ticket or a pull request.
    pub request_id: Option<String>,
    /// The name of the operating-system user.
    pub os_user: String,
    /// The name of the machine that runs rdsprov.
    pub host: String,
}

impl Attribution {
    /// Adds the operating-system user and the host to the values of the caller. A name that the
    /// operating system does not know becomes `unknown`.
    ///
    /// ```
    /// use rdsprov_core::audit::Attribution;
    /// let attribution = Attribution::detect(None, Some("grace".to_owned()), None);
    /// assert_eq!(attribution.actor, attribution.os_user);
    /// ```
    #[must_use]
    pub fn detect(
        actor: Option<String>,
        approver: Option<String>,
        request_id: Option<String>,
    ) -> Self {
        let os_user = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
        let host = whoami::hostname().unwrap_or_else(|_| "unknown".to_owned());
        Self {
            actor: actor.unwrap_or_else(|| os_user.clone()),
            approver,
            request_id,
            os_user,
            host,
        }
    }
}

impl RunContext {
    /// Returns what names the run in the rows of the audit table.
    pub(crate) fn names(&self) -> RunNames {
        RunNames {
            build_id: self.build_id.clone(),
            run_id: self.run_id.clone(),
            actor: self.attribution.actor.clone(),
        }
    }
}

/// The data of a run that each record repeats. A value that is not known before the
/// run ends is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunContext {
    /// The name of the environment.
    pub environment: String,
    /// The scope of the definitions; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The build id, or an empty text.
    pub build_id: String,
    /// The run id, given by the caller or generated.
    pub run_id: String,
    /// The persons and the machine that are responsible for the run.
    #[serde(flatten)]
    pub attribution: Attribution,
    /// The server, as `host:port`.
    pub server: Option<String>,
    /// The system identifier of the server: after a failover or behind a tunnel, `server` can lead to another
    /// one. Absent if the server does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// The SHA-256 of the definitions files in their order, as `sha256:…`.
    pub definitions: Option<String>,
    /// The digest of the current plan.
    pub plan: Option<String>,
    /// How the run was approved: `sha256:…` if this digest was approved, `true` if any plan was, `null` if
    /// the digest of another plan was, and `not_required` if the environment requires no approval and none was given.
    #[serde(default)]
    pub approval: Option<String>,
    /// The hazards that the caller has allowed by name.
    #[serde(default)]
    pub allowed_hazards: BTreeSet<Hazard>,
    /// The name of the instance, if the run is part of a fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The digest over all plans of the fleet, if it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_approval: Option<String>,
}
