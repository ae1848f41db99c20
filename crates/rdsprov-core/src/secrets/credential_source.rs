//! The places in which the AWS SDK looks for credentials, for the error of missing ones.

use std::fmt;

/// A place in which the AWS SDK looks for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialSource {
    /// The variables `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Variables,
    /// A profile in the files of the AWS CLI: access keys, SSO, `aws login`, `credential_process`,
    /// or an IAM role.
    Profile(String),
    /// The token in the file that `AWS_WEB_IDENTITY_TOKEN_FILE` names, for an IAM role: EKS with
    /// service accounts (IRSA), or an OpenID Connect provider.
    WebIdentity,
    /// The endpoint in `AWS_CONTAINER_CREDENTIALS_…`: ECS, or EKS Pod Identity.
    Container,
    /// The instance metadata service of EC2.
    Instance,
    /// The IAM role with this ARN, which the credentials of another source assume.
    Role(String),
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variables => f.write_str("the environment variables"),
            Self::Profile(name) => write!(f, "the profile `{name}`"),
            Self::WebIdentity => f.write_str("the web identity token"),
            Self::Container => f.write_str("the container endpoint"),
            Self::Instance => f.write_str("the instance metadata service"),
            Self::Role(arn) => write!(f, "the IAM role {arn}"),
        }
    }
}

impl CredentialSource {
    /// Returns what to do next if the source provides no credentials.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Variables => "correct `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`".to_owned(),
            Self::Profile(name) => format!(
                "renew the credentials of the profile, for example with `aws sso login` or `aws \
                 login`, and check them: `AWS_PROFILE={name} aws sts get-caller-identity`"
            ),
            Self::WebIdentity => {
                "check the token in `AWS_WEB_IDENTITY_TOKEN_FILE`, the IAM role in \
                `AWS_ROLE_ARN` and its trust policy"
                    .to_owned()
            }
            Self::Container => {
                "check the task role of ECS, or the Pod Identity association of EKS".to_owned()
            }
            Self::Instance => {
                "check the instance profile and the options of the instance metadata service"
                    .to_owned()
            }
            Self::Role(_) => "check the trust policy of the role, its external id, and that the \
                credentials of this run may call `sts:AssumeRole`"
                .to_owned(),
        }
    }
}

/// The sources of credentials of a run, in the order in which the AWS SDK tries them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialSources {
    /// Those that are tried. A source that is not configured, such as a container endpoint without
    /// its variable, is not among them.
    pub tried: Vec<CredentialSource>,
    /// The first one that is configured, and that therefore provides the credentials or fails.
    pub configured: Option<CredentialSource>,
    /// The profile in `AWS_PROFILE`, if no file of the AWS CLI contains it.
    pub unknown_profile: Option<String>,
}

impl fmt::Display for CredentialSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.tried.iter().map(ToString::to_string).collect();
        match names.as_slice() {
            [] => f.write_str("any source"),
            [one] => f.write_str(one),
            [first @ .., last] => write!(f, "{} or {last}", first.join(", ")),
        }
    }
}
