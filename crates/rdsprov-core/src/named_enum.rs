//! The macros that define closed sets with names: each name is derived from its
//! variant in one place.
//!
//! Text, JSON and JSON Schemas contain the same names, in the case that the macro is given.

/// Defines an enum whose variants have names: `kebab-case` or `snake_case` of the variant.
///
/// The names are the result of `name()` and `Display`, and the form in JSON.
macro_rules! named_enum {
    ($(#[$meta:meta])* $case:literal pub enum $name:ident { $($variants:tt)* }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema,
            ::strum::Display, ::strum::EnumIter, ::strum::IntoStaticStr,
        )]
        #[serde(rename_all = $case)]
        #[strum(serialize_all = $case)]
        #[non_exhaustive]
        pub enum $name { $($variants)* }

        $crate::named_enum::names!($name);
    };
}

/// Defines an enum of facts with data, and the enum of their codes: `kebab-case` of the variant.
macro_rules! coded_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($variants:tt)* }
        #[doc = $code_doc:literal]
        pub enum $code:ident;
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, PartialEq, Eq,
            ::serde::Serialize, ::serde::Deserialize, ::strum::EnumDiscriminants,
        )]
        #[serde(tag = "code", rename_all = "kebab-case")]
        #[strum_discriminants(
            name($code),
            doc = $code_doc,
            derive(
                PartialOrd, Ord, Hash,
                ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema,
                ::strum::Display, ::strum::EnumIter, ::strum::EnumString, ::strum::IntoStaticStr,
            ),
            serde(rename_all = "kebab-case"),
            strum(serialize_all = "kebab-case"),
            non_exhaustive,
            allow(missing_docs, reason = "the variants with data have the documentation")
        )]
        #[non_exhaustive]
        pub enum $name { $($variants)* }

        $crate::named_enum::names!($code);
    };
}

/// Implements `all()` and `name()`.
macro_rules! names {
    ($name:ident) => {
        impl $name {
            /// Returns every value, in the order of the documentation.
            pub fn all() -> impl Iterator<Item = Self> {
                <Self as ::strum::IntoEnumIterator>::iter()
            }

            /// Returns the name, as text and JSON contain it.
            #[must_use]
            pub fn name(self) -> &'static str {
                self.into()
            }
        }
    };
}

pub(crate) use {coded_enum, named_enum, names};
