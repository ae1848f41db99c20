//! The marker: a line in the comment of a role or database that makes it managed.
//!
//! The comment may contain other text, which is kept. This module does not know the server.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::secret_id::SecretId;

/// The content of a marker: it records which entry created a role or database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The environment of the definitions that created the role or database.
    pub environment: String,
    /// The scope of the definitions that manage the role or database, if they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The key of the application that created the role or database.
    pub application: String,
    /// The id of the build that created or adopted the role or database, as the marker contains it.
    /// `None` in a marker that the running build writes for something that it creates or adopts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// The name of the role or database when the marker was written. If it differs from the current
    /// name, the object was renamed.
    pub name: String,
    /// The id of the secret with the password of the role, with the placeholder `{build_id}` where
    /// the template has it. `None` for a database, and for a role with IAM tokens.
    ///
    /// Only an administrator of the role can write the comment that contains it, so that an
    /// application cannot change it in its definitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Whether the role or database existed before it was managed: it was adopted. The marker of a
    /// database that its owner had removed says so as well, because nothing shows who created it.
    #[serde(default)]
    pub adopted: bool,
    /// The databases without an owner entry that are managed because of this role, which has access
    /// to them. Their owners are not managed, and can write any marker into their comments. Empty for
    /// a database.
    #[serde(default)]
    pub databases: BTreeSet<String>,
}

/// The connection limit of a database whose creation is not finished: the bytes of `rdsp`.
///
/// `CREATE DATABASE` sets it, and the transaction that follows replaces it. A marker in the comment
/// would need a second statement, before which a run can be interrupted.
pub const UNFINISHED: i32 = i32::from_be_bytes(*b"rdsp");

/// The placeholder of a secret template.
const BUILD_ID: &str = "{build_id}";

const PREFIX: &str = "[managed by rdsprov: ";

impl Marker {
    /// Finds the marker in a comment, and returns `None` if the comment contains none.
    ///
    /// ```
    /// use rdsprov_core::marker::Marker;
    /// let marker = Marker {
    ///     environment: "dev".into(),
    ///     application: "keycloak".into(),
    ///     build_id: Some("build-7".into()),
    ///     name: "kc".into(),
    ///     secret: Some("dev/kc".into()),
    ///     ..Marker::default()
    /// };
    /// let comment = marker.append_to(Some("ask Ada first"), "build-8");
    /// assert_eq!(
    ///     comment,
    ///     "ask Ada first\n[managed by rdsprov: environment=dev application=keycloak \
    ///      build_id=build-7 name=\"kc\" secret=\"dev/kc\"]"
    /// );
    /// assert_eq!(Marker::find(&comment), Some(marker));
    /// assert_eq!(Marker::find("ask Ada first"), None);
    /// ```
    #[must_use]
    pub fn find(comment: &str) -> Option<Self> {
        let line =
            comment.lines().rev().find_map(|l| l.trim().strip_prefix(PREFIX)?.strip_suffix(']'))?;
        let (line, name) = line.split_once(" name=")?;
        let (name, mut rest) = json_value(name)?;
        let mut secret = None;
        if let Some(value) = rest.strip_prefix(" secret=") {
            let (value, after) = json_value(value)?;
            (secret, rest) = (Some(value), after);
        }
        let adopted = rest.strip_prefix(" adopted");
        rest = adopted.unwrap_or(rest);
        let mut databases = BTreeSet::new();
        if let Some(names) = rest.strip_prefix(" databases=") {
            (databases, rest) = json_value(names)?;
        }
        if !rest.is_empty() {
            return None;
        }
        let value = |key: &str| {
            line.split(' ')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
        };
        Some(Self {
            environment: value("environment")?,
            scope: value("scope"),
            application: value("application")?,
            build_id: value("build_id"),
            name,
            secret,
            adopted: adopted.is_some(),
            databases,
        })
    }

    /// Returns a comment without its marker; `None` if no other text remains.
    ///
    /// ```
    /// use rdsprov_core::marker::Marker;
    /// let marker = Marker {
    ///     environment: "dev".into(),
    ///     application: "a".into(),
    ///     name: "n".into(),
    ///     ..Marker::default()
    /// };
    /// let comment = marker.append_to(Some("ask Ada first"), "7");
    /// assert_eq!(Marker::removed_from(&comment).as_deref(), Some("ask Ada first"));
    /// assert_eq!(Marker::removed_from(&marker.append_to(None, "7")), None);
    /// ```
    #[must_use]
    pub fn removed_from(comment: &str) -> Option<String> {
        let is_marker = |line: &&str| line.trim().starts_with(PREFIX) && Self::find(line).is_some();
        let rest: Vec<&str> = comment.lines().filter(|line| !is_marker(line)).collect();
        let rest = rest.join("\n");
        let rest = rest.trim_end();
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// Returns whether a build has created what carries the marker. What the build has adopted existed
    /// before.
    #[must_use]
    pub fn is_created_by(&self, build_id: &str) -> bool {
        !self.adopted && self.is_of_build(build_id)
    }

    /// Returns whether a build has created or adopted what carries the marker.
    #[must_use]
    pub fn is_of_build(&self, build_id: &str) -> bool {
        self.build_id.as_ref().is_some_and(|recorded| *recorded == encoded(build_id))
    }

    /// Returns the id of the secret, with the build id of the marker for the placeholder. `None` if the marker
    /// names no secret, or if its build id is not known.
    pub(crate) fn secret_of_build(&self) -> Option<SecretId> {
        let secret = self.secret.as_deref()?;
        if !secret.contains(BUILD_ID) {
            return Some(SecretId(secret.to_owned()));
        }
        Some(SecretId(secret.replace(BUILD_ID, &decoded(self.build_id.as_deref()?)?)))
    }

    /// Returns a comment with this marker as its last line. `build_id` is that of the running build.
    #[must_use]
    pub fn append_to(&self, comment: Option<&str>, build_id: &str) -> String {
        let build_id = self.build_id.clone().unwrap_or_else(|| encoded(build_id));
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let secret = self.secret.as_deref().map(|id| format!(" secret={}", quoted(id)));
        let adopted = if self.adopted { " adopted" } else { "" };
        let databases: Vec<String> = self.databases.iter().map(|name| quoted(name)).collect();
        let databases =
            (!databases.is_empty()).then(|| format!(" databases=[{}]", databases.join(",")));
        let scope = self.scope.as_deref().map(|scope| format!(" scope={scope}"));
        let marker = format!(
            "{PREFIX}environment={}{} application={} build_id={build_id} name={}{}{adopted}{}]",
            self.environment,
            scope.unwrap_or_default(),
            self.application,
            quoted(&self.name),
            secret.unwrap_or_default(),
            databases.unwrap_or_default()
        );
        match comment.map(str::trim_end).filter(|text| !text.is_empty()) {
            Some(text) => format!("{text}\n{marker}"),
            None => marker,
        }
    }
}

/// Returns a build id as a marker contains it. It is an input of the run, and must not end the marker or
/// start another key. Different build ids remain different, because `teardown` compares them.
fn encoded(build_id: &str) -> String {
    let is_encoded = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ']' | '%');
    let mut text = String::with_capacity(build_id.len());
    for c in build_id.chars() {
        if is_encoded(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "%{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Returns the build id that a marker contains; `None` if no run has written it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    let build_id = String::from_utf8(bytes).ok()?;
    (encoded(&build_id) == text).then_some(build_id)
}

/// Reads a JSON value at the start of a text. Returns it, and the text after it.
fn json_value<T: DeserializeOwned>(text: &str) -> Option<(T, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_of_creation_is_kept() {
        let new = Marker { environment: "dev".to_owned(), ..Marker::default() };
        let found = Marker::find(&new.append_to(None, "a b]")).unwrap();
        assert_eq!(found.build_id.as_deref(), Some("a%20b%5D"));
        assert!(found.is_created_by("a b]") && !found.is_created_by("a"));
        assert_eq!(Marker::find(&found.append_to(None, "later")).as_ref(), Some(&found));
        let adopted = Marker { adopted: true, ..found };
        assert!(!adopted.is_created_by("a b]") && adopted.is_of_build("a b]"));
        assert!(!new.is_of_build(""));
    }

    /// What a build has created is not that of another build with a similar id.
    #[test]
    fn build_ids_are_told_apart() {
        let ids = [
            "pr_1",
            "pr]1",
            "pr 1",
            "pr\t1",
            "pr\n1",
            "pr\u{a0}1",
            "pr%201",
            "pr%2520",
            "pr%5D1",
            "pr%1",
            "%",
            "é",
            "é%",
            "",
        ];
        for id in ids {
            let new = Marker {
                environment: "dev".to_owned(),
                name: "n".to_owned(),
                secret: Some("dev/{build_id}/n".to_owned()),
                ..Marker::default()
            };
            let found = Marker::find(&new.append_to(None, id)).unwrap();
            for other in ids {
                assert_eq!(found.is_created_by(other), id == other, "{id:?} {other:?}");
            }
            let secret = found.secret_of_build().unwrap();
            assert_eq!(secret, SecretId(format!("dev/{id}/n")));
            assert_eq!(Marker::find(&found.append_to(None, "later")), Some(found));
        }
        // Texts that no run writes.
        for text in ["%", "%2", "%zz", "%ff", "%41", "%5d"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    /// A name or secret that looks like another field does not become one.
    #[test]
    fn fields_are_quoted() {
        for text in [
            r#"a" secret="b"#,
            r#"a" adopted databases=["b"]"#,
            " name=\"x\"",
            "]",
            "a\\",
            "é ] secret=",
            "\n",
        ] {
            for secret in [None, Some(text.to_owned())] {
                for databases in [vec![], vec![text.to_owned(), "b".to_owned()]] {
                    for adopted in [false, true] {
                        let marker = Marker {
                            environment: "dev".to_owned(),
                            scope: adopted.then(|| "platform".to_owned()),
                            application: "a".to_owned(),
                            build_id: Some("7".to_owned()),
                            name: text.to_owned(),
                            secret: secret.clone(),
                            adopted,
                            databases: databases.iter().cloned().collect(),
                        };
                        assert_eq!(Marker::find(&marker.append_to(None, "8")), Some(marker));
                    }
                }
            }
        }
        let line = |rest: &str| format!("{PREFIX}environment=dev application=a build_id=7{rest}]");
        assert_eq!(Marker::find(&line(" name=\"n\" secret=x")), None);
        assert_eq!(Marker::find(&line(" name=\"n\" secret=\"s\" more")), None);
        assert_eq!(Marker::find(&line(" name=\"n\" databases=[1]")), None);
        assert_eq!(Marker::find(&line(" name=\"n\" adopted more")), None);
        assert!(Marker::find(&line(" name=\"n\"")).is_some_and(|one| one.secret.is_none()));
    }
}
