//! Who ran what, where, from which definitions: what all records of a run have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is behind a run. Actor, approver and request are what somebody said; user and host are what the
/// system says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attribution {
    /// Who runs it; the user of the system where nobody said.
    pub actor: String,
    /// Who agreed to it.
    pub approver: Option<String>,
    /// What it was asked for by: a ticket, a pull request.
    pub request_id: Option<String>,
    /// The user of the system.
    pub os_user: String,
    /// The machine that the program runs on.
    pub host: String,
}

impl Attribution {
    /// On this machine, as this user.
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

/// What is known of a run; what is not known yet when it ends is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunContext {
    /// The environment.
    pub environment: String,
    /// The build.
    pub build_id: String,
    /// The run.
    pub run_id: String,
    /// Who is behind it.
    #[serde(flatten)]
    pub attribution: Attribution,
    /// The server, as `host:port`.
    pub server: Option<String>,
    /// `sha256:…` of the files of the definitions, one after the other.
    pub definitions: Option<String>,
    /// The digest of the plan at hand.
    pub plan: Option<String>,
}
