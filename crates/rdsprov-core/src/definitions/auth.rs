//! How the role of an application authenticates.

use crate::named_enum::named_enum;

named_enum! {
    /// How the role of an application authenticates.
    "snake_case" pub enum Auth {
        /// With the password in its secret.
        Password,
        /// With an IAM token: the role has no password and is a member of `rds_iam`.
        Iam,
    }
}
