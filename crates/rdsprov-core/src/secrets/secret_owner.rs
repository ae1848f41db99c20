//! The DB instance or cluster to which a secret belongs that RDS manages.

use std::fmt;

/// A DB instance or cluster, with its identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretOwner {
    /// A DB instance.
    Instance(String),
    /// An Aurora or Multi-AZ DB cluster.
    Cluster(String),
}

/// The endpoint of a DB instance, or the writer endpoint of a DB cluster.
#[cfg(feature = "postgres")]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only the API of RDS returns one"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseEndpoint {
    /// The DB instance or cluster.
    pub owner: SecretOwner,
    pub host: String,
    pub port: Option<u16>,
}

/// Why the endpoint of a secret that RDS manages is not known.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownEndpoint {
    /// The DB instance or cluster, if the tags of the secret name it.
    pub owner: Option<SecretOwner>,
    /// Why the API of RDS returned no endpoint; `None` if it was not asked.
    pub reason: Option<String>,
}

impl fmt::Display for SecretOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(name) => write!(f, "DB instance `{name}`"),
            Self::Cluster(name) => write!(f, "DB cluster `{name}`"),
        }
    }
}

impl SecretOwner {
    /// Returns why the owner that an ARN names is not the one that the API of this AWS region returns, for
    /// the account of the secret. Another one can have the same identifier.
    #[cfg(feature = "aws")]
    pub(super) fn is_elsewhere(arn: &str, region: &str, secret: Option<&str>) -> Option<String> {
        let part = |arn: &str, number| arn.split(':').nth(number).map(str::to_owned);
        let of_region = part(arn, 3).unwrap_or_default();
        if of_region != region {
            return Some(format!(
                "the tags of the secret name AWS region {of_region}, and the run uses {region}"
            ));
        }
        let (of_account, account) = (part(arn, 4).unwrap_or_default(), part(secret?, 4)?);
        (of_account != account).then(|| {
            format!(
                "the tags of the secret name account {of_account}, and the secret is in {account}"
            )
        })
    }

    /// Returns the owner in a tag of a secret, or `None` for other tags.
    ///
    /// RDS sets the tag `aws:rds:primaryDBInstanceArn` or `aws:rds:primaryDBClusterArn`.
    #[cfg(feature = "aws")]
    pub(super) fn from_tag(key: &str, arn: &str) -> Option<Self> {
        let resource = |kind| {
            let identifier = arn.strip_prefix("arn:")?.splitn(5, ':').nth(4)?.strip_prefix(kind)?;
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (!identifier.is_empty() && identifier.chars().all(allowed))
                .then(|| identifier.to_owned())
        };
        match key {
            "aws:rds:primaryDBInstanceArn" => resource("db:").map(Self::Instance),
            "aws:rds:primaryDBClusterArn" => resource("cluster:").map(Self::Cluster),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;

    #[test]
    fn tags_name_an_instance_or_a_cluster() {
        let (db, cluster) = ("aws:rds:primaryDBInstanceArn", "aws:rds:primaryDBClusterArn");
        let arn = |resource: &str| format!("arn:aws-cn:rds:cn-north-1:111122223333:{resource}");
        let named = |key, resource| SecretOwner::from_tag(key, &arn(resource));
        assert_eq!(named(db, "db:shop-1"), Some(SecretOwner::Instance("shop-1".to_owned())));
        assert_eq!(named(cluster, "cluster:a"), Some(SecretOwner::Cluster("a".to_owned())));
        for (key, resource) in
            [(db, "cluster:a"), (cluster, "db:a"), ("team", "db:a"), (db, "db:"), (db, "db:a\n")]
        {
            assert_eq!(named(key, resource), None, "{key} {resource:?}");
        }
        assert_eq!(SecretOwner::from_tag(db, "shop"), None);
    }

    #[test]
    fn owner_is_in_the_region_and_the_account_of_the_secret() {
        let secret =
            |account| format!("arn:aws:secretsmanager:eu-west-1:{account}:secret:rds!db-1");
        let arn = |region, account| format!("arn:aws:rds:{region}:{account}:db:shop-1");
        let why =
            |arn: &str, secret: Option<&str>| SecretOwner::is_elsewhere(arn, "eu-west-1", secret);
        let here = secret("111122223333");
        assert_eq!(why(&arn("eu-west-1", "111122223333"), Some(&here)), None);
        assert_eq!(why(&arn("eu-west-1", "111122223333"), None), None);
        let region = why(&arn("us-west-2", "111122223333"), Some(&here)).unwrap();
        assert!(region.contains("name AWS region us-west-2"), "{region}");
        let account = why(&arn("eu-west-1", "999999999999"), Some(&here)).unwrap();
        assert!(account.contains("name account 999999999999"), "{account}");
    }
}
