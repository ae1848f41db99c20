//! What Secrets Manager stores with a secret that a run creates: its KMS key and its tags.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// The KMS key and the tags of the secrets that a run creates in Secrets Manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewSecrets {
    /// The KMS key that encrypts them; `None` means `aws/secretsmanager`.
    pub kms_key: Option<KmsKey>,
    /// Their tags.
    pub tags: SecretTags,
}

impl NewSecrets {
    /// Returns whether neither a key nor a tag is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kms_key.is_none() && self.tags.0.is_empty()
    }

    /// Returns these values, and those of `others` where these set none. A tag replaces another one
    /// with the same key.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        let mut tags = others.tags.clone();
        tags.0.extend(self.tags.0.clone());
        Self { kms_key: self.kms_key.clone().or_else(|| others.kms_key.clone()), tags }
    }
}

/// A KMS key: its id, its ARN, or an alias such as `alias/platform`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey(String);

impl KmsKey {
    /// Returns the key as AWS expects it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KmsKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_-:".contains(c);
        if text.is_empty() || text.len() > 2048 || !text.chars().all(allowed) {
            return Err(format!("`{text}` is not the id, the ARN or the alias of a KMS key"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for KmsKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A tag of a secret, with the rules of AWS: a key of up to 128 and a value of up to 256 characters.
///
/// ```
/// use rdsprov_core::config::SecretTag;
///
/// let tag: SecretTag = "cost=a=b".parse().unwrap();
/// assert_eq!((tag.key(), tag.value()), ("cost", "a=b"));
/// assert!("aws:team=x".parse::<SecretTag>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretTag {
    key: String,
    value: String,
}

impl SecretTag {
    fn new(key: &str, value: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
        let is_text =
            |text: &str, longest| text.chars().count() <= longest && text.chars().all(allowed);
        let is_of_aws = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        if key.is_empty() || is_of_aws || !is_text(key, 128) {
            return Err(format!("`{key}` is not allowed as the key of a tag"));
        }
        if !is_text(value, 256) {
            return Err(format!("the value of the tag `{key}` is not allowed"));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the value, which can be empty.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl FromStr for SecretTag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is not a tag such as `team=platform`"))?;
        Self::new(key, value)
    }
}

impl fmt::Display for SecretTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The tags of a secret, with different keys. Secrets Manager accepts up to 50.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretTags(BTreeMap<String, String>);

impl SecretTags {
    /// Returns the tags. If two have the same key, the later one is used.
    #[must_use]
    pub fn new(tags: impl IntoIterator<Item = SecretTag>) -> Self {
        Self(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Returns the keys and the values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<'de> Deserialize<'de> for SecretTags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tags = BTreeMap::<String, String>::deserialize(deserializer)?;
        let tags: Result<Vec<_>, _> =
            tags.iter().map(|(key, value)| SecretTag::new(key, value)).collect();
        tags.map(Self::new).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tags_follow_the_rules_of_aws() {
        let arn = "arn:aws:kms:eu-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        for key in [arn, "alias/platform", "1234abcd-12ab-34cd-56ef-1234567890ab"] {
            assert_eq!(key.parse::<KmsKey>().unwrap().as_str(), key);
        }
        for key in ["", "alias/a b", "a\nb", "{key}"] {
            assert!(key.parse::<KmsKey>().is_err(), "{key}");
        }
        for tag in ["team=", "Größe=1", "a:b/c=x y@z"] {
            assert_eq!(tag.parse::<SecretTag>().unwrap().to_string(), tag);
        }
        for tag in ["", "team", "=x", "AWS:x=y", "a=b,c", "a=\n"] {
            assert!(tag.parse::<SecretTag>().is_err(), "{tag}");
        }
        assert!(format!("a={}", "x".repeat(257)).parse::<SecretTag>().is_err());
    }

    #[test]
    fn options_replace_single_tags() {
        let of = |tags: &[&str], key: Option<&str>| NewSecrets {
            kms_key: key.map(|key| key.parse().unwrap()),
            tags: SecretTags::new(tags.iter().map(|tag| tag.parse().unwrap())),
        };
        let file = of(&["team=a", "cost=1"], Some("alias/file"));
        assert_eq!(of(&["team=b"], None).or(&file), of(&["cost=1", "team=b"], Some("alias/file")));
        assert_eq!(of(&[], Some("alias/x")).or(&file).kms_key.unwrap().as_str(), "alias/x");
        assert!(NewSecrets::default().is_empty() && !file.is_empty());
    }
}
