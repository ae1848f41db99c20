//! The short digests of the definition of an application, as a ledger records them: of the whole definition,
//! and of its parts, with `.` between them.
//!
//! The ledgers of earlier versions contain the digest of the whole definition only.

/// A part of the definition of an application, which explains some of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DefinitionPart {
    /// What concerns the role itself.
    Role,
    /// What concerns the role in the database, and the database.
    Database,
}

/// Returns the text for the digests of the whole definition and of its parts.
pub(crate) fn joined(whole: &str, role: &str, database: &str) -> String {
    [whole, role, database].join(".")
}

/// Returns whether two definitions are the same, given their digests.
pub(crate) fn is_same(now: &str, then: &str) -> bool {
    now.split('.').next() == then.split('.').next()
}

impl DefinitionPart {
    /// Returns whether the part is the same in two definitions, given their digests.
    pub fn is_same(self, now: &str, then: &str) -> bool {
        let number = match self {
            Self::Role => 1,
            Self::Database => 2,
        };
        let part = |digests: &str| digests.split('.').nth(number).map(str::to_owned);
        is_same(now, then) || part(now).is_some() && part(now) == part(then)
    }

    /// Returns the noun for the part.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Database => "database",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_definition_are_compared() {
        let now = joined("sha256:1", "sha256:2", "sha256:3");
        for (then, role, database) in [
            (now.as_str(), true, true),
            // A ledger of an earlier version.
            ("sha256:1", true, true),
            ("sha256:9", false, false),
            ("sha256:9.sha256:2.sha256:9", true, false),
            ("sha256:9.sha256:9.sha256:3", false, true),
        ] {
            let parts = [DefinitionPart::Role, DefinitionPart::Database];
            let is_same = parts.map(|part| part.is_same(&now, then));
            assert_eq!(is_same, [role, database], "{then}");
        }
    }
}
