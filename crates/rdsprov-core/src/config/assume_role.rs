//! The IAM role whose credentials a run uses instead of those of its environment.

use std::fmt;
use std::str::FromStr;

/// An IAM role, often of another AWS account, and how a run assumes it.
///
/// ```
/// use rdsprov_core::config::AssumeRole;
///
/// let role: AssumeRole = "arn:aws:iam::111122223333:role/rdsprov".parse().unwrap();
/// assert_eq!(role.external_id, None);
/// assert!("rdsprov".parse::<AssumeRole>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssumeRole {
    /// The ARN of the role.
    arn: String,
    /// The external id that the trust policy of the role requires.
    pub external_id: Option<String>,
    /// The end of the session name, which CloudTrail of the other account shows: `rdsprov-NAME`.
    pub session: Option<String>,
}

/// The longest session name that STS accepts.
#[cfg(feature = "aws")]
const SESSION_NAME: usize = 64;

impl AssumeRole {
    /// Returns the ARN of the role.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Returns the name of the session, with the characters that STS accepts.
    #[cfg(feature = "aws")]
    pub(crate) fn session_name(&self) -> String {
        let name = format!("rdsprov-{}", self.session.as_deref().unwrap_or("run"));
        let is_accepted = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        name.chars().map(|c| if is_accepted(c) { c } else { '-' }).take(SESSION_NAME).collect()
    }
}

impl FromStr for AssumeRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (arn, partition, service, region, account, resource) =
            (next(), next(), next(), next(), next(), next());
        let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
        let is_name = |name: &str| {
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c);
            !name.is_empty() && name.chars().all(is_of_name)
        };
        let is_role = resource.strip_prefix("role/").is_some_and(is_name);
        if arn == "arn"
            && partition.starts_with("aws")
            && service == "iam"
            && region.is_empty()
            && is_account
            && is_role
        {
            Ok(Self { arn: text.to_owned(), external_id: None, session: None })
        } else {
            Err("it is not the ARN of an IAM role".to_owned())
        }
    }
}

impl fmt::Display for AssumeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles() {
        for arn in [
            "arn:aws:iam::111122223333:role/rdsprov",
            "arn:aws-cn:iam::111122223333:role/platform/rdsprov@1",
        ] {
            assert_eq!(arn.parse::<AssumeRole>().unwrap().to_string(), arn);
        }
        for wrong in [
            "",
            "rdsprov",
            "arn:aws:iam::111122223333:user/ada",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::1111:role/rdsprov",
            "arn:aws:iam:eu-west-2:111122223333:role/rdsprov",
            "arn:aws:sts::111122223333:role/rdsprov",
            "arn:aws:iam::111122223333:role/a b",
        ] {
            assert!(wrong.parse::<AssumeRole>().is_err(), "{wrong}");
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn session_names_are_accepted_by_sts() {
        let mut role: AssumeRole = "arn:aws:iam::111122223333:role/rdsprov".parse().unwrap();
        assert_eq!(role.session_name(), "rdsprov-run");
        role.session = Some(format!("a b/{}", "x".repeat(80)));
        assert!(role.session_name().starts_with("rdsprov-a-b-xx"));
        assert_eq!(role.session_name().len(), SESSION_NAME);
    }
}
