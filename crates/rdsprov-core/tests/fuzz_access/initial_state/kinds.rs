//! The kinds of manual changes. Each is counted, and each must occur.

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind),* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind),*];
        }
    };
}

kinds! {
    UnmanagedRole,
    UnmanagedRoleAttributes,
    RoleByHand,
    RoleOfAnotherCreator,
    DatabaseByHand,
    DatabaseOfAnotherOwner,
    UnmanagedDatabase,
    PluginDatabase,
    RoleAttributes,
    PowerfulRole,
    RoleComment,
    DatabaseComment,
    MarkOfAnotherEnvironment,
    Membership,
    MembershipWithAdmin,
    MembershipInManaged,
    RoleSetting,
    DatabaseSetting,
    DatabaseGrant,
    DatabaseGrantOption,
    DatabaseGrantChain,
    DatabaseRevoke,
    Schema,
    SchemaOfAnotherOwner,
    Relation,
    RelationOfAnotherOwner,
    Partitioned,
    ForeignTable,
    Routine,
    TypeMade,
    NothingToGrantOn,
    LargeObject,
    ForeignServer,
    Extension,
    ExtensionGrant,
    SchemaGrant,
    SchemaGrantOption,
    SchemaPublic,
    SchemaRevoke,
    RelationGrant,
    RelationGrantOption,
    RelationPublic,
    RelationRevoke,
    GrantChain,
    GrantChainToUnmanaged,
    ColumnGrant,
    ColumnGrantOption,
    ColumnPublic,
    SequenceGrant,
    RoutineGrant,
    RoutineClosed,
    TypeGrant,
    LanguageGrant,
    LargeObjectGrant,
    ForeignServerGrant,
    WrapperGrant,
    OwnerRevoked,
    DefaultPrivileges,
    DefaultPrivilegesGlobal,
    DefaultPrivilegesPublic,
    DefaultPrivilegesOnOthers,
    DefaultPrivilegesRevoked,
}
