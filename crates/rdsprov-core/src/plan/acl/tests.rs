//! The comparison of ACLs as a table. An ACL is written as PostgreSQL prints it: `shop=r*w/owner`
//! is `SELECT` with grant option and `UPDATE`, granted to `shop` by `owner`; without a grantee it
//! is granted to PUBLIC.

use super::*;

/// The letters of the privileges in an ACL.
const LETTERS: [(char, Privilege); 7] = [
    ('r', Privilege::Select),
    ('w', Privilege::Update),
    ('a', Privilege::Insert),
    ('d', Privilege::Delete),
    ('U', Privilege::Usage),
    ('C', Privilege::Create),
    ('X', Privilege::Execute),
];

fn privilege(letter: char) -> Privilege {
    LETTERS.iter().find(|(known, _)| *known == letter).unwrap().1
}

fn letters(privileges: &Privileges) -> String {
    let is_in =
        |(letter, privilege): &(char, Privilege)| privileges.contains(privilege).then_some(*letter);
    LETTERS.iter().filter_map(is_in).collect()
}

fn role(name: &str) -> RoleName {
    RoleName::new_unchecked(name)
}

fn parse_grantee(name: &str) -> Grantee {
    if name.is_empty() { Grantee::Public } else { Grantee::Role(role(name)) }
}

fn name_of(grantee: &Grantee) -> &str {
    match grantee {
        Grantee::Public => "PUBLIC",
        Grantee::Role(role) => role.as_str(),
    }
}

/// Parses items that are separated by spaces.
fn parse_acl(text: &str) -> Vec<AclItem> {
    let mut acl = Vec::new();
    for item in text.split_whitespace() {
        let (grantee, rest) = item.split_once('=').unwrap();
        let (privileges, grantor) = rest.split_once('/').unwrap();
        let mut letters = privileges.chars().peekable();
        while let Some(letter) = letters.next() {
            acl.push(AclItem {
                grantee: parse_grantee(grantee),
                grantor: role(grantor),
                privilege: privilege(letter),
                grantable: letters.next_if_eq(&'*').is_some(),
            });
        }
    }
    acl
}

/// Prints each item of an ACL on its own.
fn print_acl(acl: &[AclItem]) -> String {
    let print = |item: &AclItem| {
        let grantee = match &item.grantee {
            Grantee::Public => "",
            Grantee::Role(role) => role.as_str(),
        };
        let letter = letters(&Privileges::from([item.privilege]));
        let option = if item.grantable { "*" } else { "" };
        format!("{grantee}={letter}{option}/{}", item.grantor)
    };
    acl.iter().map(print).collect::<Vec<_>>().join(" ")
}

/// Prints the changes: `+` grants, `-` revokes, `!` refuses because of a dependent grant.
fn print_diff(diff: &AclDiff) -> String {
    let grants = diff.grant.iter().map(|(role, lacking)| format!("+{role}={}", letters(lacking)));
    let revokes = diff.revoke.iter().map(|revoke| {
        let scope = match revoke.scope {
            RevokeScope::Privilege => "",
            RevokeScope::GrantOption => " option only",
        };
        let cascade = if revoke.needs_cascade { " cascade" } else { "" };
        let dependents: Vec<&str> = revoke.dependents.iter().map(name_of).collect();
        let dependents = if dependents.is_empty() {
            String::new()
        } else {
            format!(" to {}", dependents.join(","))
        };
        format!(
            "-{}={}/{}{scope}{cascade}{dependents}",
            name_of(&revoke.grantee),
            letters(&revoke.privileges),
            revoke.grantor
        )
    });
    let dependent = diff.dependent_grants.iter().map(|held| {
        let option = if held.grantable { "*" } else { "" };
        let (holder, letters) = (name_of(&held.holder), letters(&held.privileges));
        format!("!{holder}={letters}{option}/{}", held.through)
    });
    grants.chain(revokes).chain(dependent).collect::<Vec<_>>().join("; ")
}

/// A policy: the wanted privileges of managed roles (`app`, `desk` and `old` are managed), and
/// those that PUBLIC may keep, or `None` if those of PUBLIC are not managed.
fn compare(acl: &str, wanted: &str, public: Option<&str>) -> AclDiff {
    compare_with(acl, wanted, public, None)
}

fn compare_with(
    acl: &str,
    wanted: &str,
    public: Option<&str>,
    elsewhere: Option<OptionsElsewhere<'_>>,
) -> AclDiff {
    let mut roles: BTreeMap<RoleName, Privileges> = BTreeMap::new();
    for part in wanted.split_whitespace() {
        let (name, letters) = part.split_once('=').unwrap();
        roles.insert(role(name), letters.chars().map(privilege).collect());
    }
    let managed = |name: &RoleName| ["app", "desk", "old"].contains(&name.as_str());
    let public = public.map(|letters| letters.chars().map(privilege).collect());
    let declared = DeclaredAcl { wanted: &roles, managed: &managed, public, elsewhere };
    diff(&parse_acl(acl), &declared)
}

#[test]
fn differences_of_an_acl_and_its_policy() {
    const NOT_MANAGED: Option<&str> = None;
    let table: &[(&str, &str, &str, Option<&str>, &str)] = &[
        // What it shows; the ACL; the wanted privileges; those that PUBLIC may keep; the changes.
        ("empty", "", "", Some(""), ""),
        ("granted", "", "app=rw desk=r", Some(""), "+app=rw; +desk=r"),
        ("as wanted", "app=rw/owner", "app=rw", Some(""), ""),
        ("partly granted", "app=r/owner", "app=rwa", Some(""), "+app=wa"),
        ("excess", "app=rw/owner", "app=r", Some(""), "-app=w/owner"),
        ("not declared any more", "old=rw/owner", "", Some(""), "-old=rw/owner"),
        ("excess and lacking", "app=d/owner", "app=r", Some(""), "+app=r; -app=d/owner"),
        ("not managed", "owner=rw/owner guest=rw/owner", "", Some(""), ""),
        ("two grantors", "app=r/owner app=r/guest", "", Some(""), "-app=r/owner; -app=r/guest"),
        ("PUBLIC not managed", "=r/owner", "", NOT_MANAGED, ""),
        ("PUBLIC", "=rw/owner", "", Some("r"), "-PUBLIC=w/owner"),
        ("PUBLIC keeps", "=X/owner", "", Some("X"), ""),
        ("PUBLIC does not replace a grant", "=r/owner", "app=r", Some("r"), "+app=r"),
        // Grant options.
        ("option", "app=r*/owner", "app=r", Some(""), "-app=r/owner option only"),
        ("option of excess", "app=r*/owner", "", Some(""), "-app=r/owner"),
        (
            "option of one privilege",
            "app=r*w/owner",
            "app=r",
            Some(""),
            "-app=r/owner option only; -app=w/owner",
        ),
        ("option of a role that is not managed", "guest=r*/owner", "", Some(""), ""),
        // What a managed role granted depends on its option.
        (
            "granted on to a managed role, which gets it from the owner",
            "app=r*/owner desk=r/app",
            "app=r desk=r",
            Some(""),
            "+desk=r; -app=r/owner option only cascade to desk",
        ),
        (
            "granted on to itself",
            "app=r*/owner app=r/app",
            "app=r",
            Some(""),
            "-app=r/owner option only cascade",
        ),
        (
            "granted on to a managed role without any declared privilege",
            "app=r*/owner old=r/app",
            "app=r",
            Some(""),
            "-app=r/owner option only cascade to old",
        ),
        (
            "granted on twice",
            "app=r*/owner desk=r*/app old=r/desk",
            "",
            Some(""),
            "-app=r/owner cascade to desk,old",
        ),
        (
            "granted on, but another privilege",
            "app=rw*/owner desk=w/app",
            "app=w",
            Some(""),
            "-app=r/owner; -app=w/owner option only cascade to desk",
        ),
        (
            "granted on to PUBLIC",
            "app=r*/owner =r/app",
            "app=r",
            Some(""),
            "-app=r/owner option only cascade to PUBLIC",
        ),
        (
            "granted on to PUBLIC, which is not managed",
            "app=r*/owner =r/app",
            "app=r",
            NOT_MANAGED,
            "-app=r/owner option only cascade to PUBLIC; !PUBLIC=r/app",
        ),
        (
            "granted on to a role that is not managed",
            "app=rw*/owner guest=w/app",
            "app=rw",
            Some(""),
            "-app=w/owner option only cascade to guest; !guest=w/app",
        ),
        (
            "granted on with option to a role that is not managed",
            "app=r*w*/owner guest=r*w*/app",
            "app=rw",
            Some(""),
            "-app=rw/owner option only cascade to guest; !guest=rw*/app",
        ),
        (
            "granted on to a role that is not managed, and has it from the owner",
            "app=rw*/owner guest=w/app guest=w/owner",
            "app=rw",
            Some(""),
            "-app=w/owner option only cascade",
        ),
        (
            "granted on with option to a role that has it from the owner without",
            "app=rw*/owner guest=w*/app guest=w/owner",
            "app=rw",
            Some(""),
            "-app=w/owner option only cascade to guest; !guest=w*/app",
        ),
        (
            "granted on to PUBLIC, which is not managed and has it from the owner",
            "app=r*/owner =r/app =r/owner",
            "app=r",
            NOT_MANAGED,
            "-app=r/owner option only cascade",
        ),
        (
            "granted on with an option that the role has lost since",
            "app=r/owner guest=r/app",
            "",
            Some(""),
            "-app=r/owner",
        ),
        (
            "granted on to a managed role with an option that the role has lost since",
            "app=r/owner desk=r/app",
            "app=r",
            Some(""),
            "-desk=r/app",
        ),
        (
            "granted on twice after the option was lost",
            "desk=r*/app old=r/desk",
            "",
            Some(""),
            "-desk=r/app cascade to old",
        ),
        (
            "granted in a circle",
            "app=r*/desk desk=r*/app",
            "",
            Some(""),
            "-app=r/desk cascade to desk",
        ),
        (
            "granted by a role that is not managed to another one",
            "guest=r*/owner other=r/guest",
            "",
            Some(""),
            "",
        ),
    ];
    for (shows, acl, wanted, public, expected) in table {
        assert_eq!(print_diff(&compare(acl, wanted, *public)), *expected, "{shows}");
    }
}

#[test]
fn held_privileges_merge_grantors() {
    let diff = compare("app=r/owner app=r*/guest =X/owner", "app=r", Some("X"));
    let held: Vec<(&str, String, bool)> = diff
        .held
        .iter()
        .map(|((grantee, one), option)| (name_of(grantee), one.to_string(), *option))
        .collect();
    assert_eq!(
        held,
        [("PUBLIC", "EXECUTE".to_owned(), false), ("app", "SELECT".to_owned(), true),]
    );
}

#[test]
fn privileges_that_public_keeps() {
    // The ACL; the privileges that PUBLIC may keep; those that it has after the changes.
    for (acl, public, kept) in [
        ("", Some(""), ""),
        ("=rw/owner", None, "rw"),
        ("=rw/owner", Some("r"), "r"),
        ("=rw/owner", Some(""), ""),
        ("=r/owner app=w/owner", Some("rw"), "r"),
    ] {
        let diff = compare(acl, "", public);
        assert_eq!(letters(&diff.kept_by_public()), kept, "{acl}");
        assert!(diff.held_by_public(&kept.chars().map(privilege).collect()), "{acl}");
        assert!(!diff.held_by_public(&Privileges::from([Privilege::Create])), "{acl}");
    }
}

#[test]
fn acl_after_a_change_of_the_owner() {
    // The ACL before and after the owner `old` is replaced by `app`.
    for (before, after) in [
        ("", ""),
        ("old=r/old", "app=r/app"),
        ("guest=r/old", "guest=r/app"),
        ("=r/old", "=r/app"),
        ("guest=r/owner", "guest=r/owner"),
        // Two entries become one, which has the grant option if one of them has it.
        ("old=r/old app=r*/old", "app=r*/app"),
        ("old=r/old app=w/old", "app=r/app app=w/app"),
        ("guest=r*/old guest=r/app", "guest=r*/app"),
    ] {
        let changed = with_owner(&parse_acl(before), &role("old"), &role("app"));
        assert_eq!(print_acl(&changed), after, "{before}");
    }
}

/// The ACL of a column, on whose relation `guest` may grant UPDATE.
#[test]
fn options_of_the_relation_on_its_columns() {
    let held = BTreeMap::from([(role("guest"), Privileges::from([privilege('w')]))]);
    let owner = role("owner");
    for (acl, wanted, changes) in [
        // The option of a managed role is revoked, or has been.
        ("desk=w/app", "", "-desk=w/app"),
        ("=w/app", "", "-PUBLIC=w/app"),
        ("app=w/owner desk=w/app", "", "-app=w/owner; -desk=w/app"),
        ("desk=r/app", "desk=r", "+desk=r; -desk=r/app"),
        ("desk=w/app other=w/app", "", "-desk=w/app; !other=w/app"),
        ("desk=w/app other=w/app other=w/owner", "", "-desk=w/app"),
        ("other=w/app", "", ""),
        ("app=w*/owner desk=w/app", "", "-app=w/owner cascade to desk"),
        // Another role revokes as itself as long as it has the option.
        ("desk=w/guest", "", "-desk=w/guest"),
        ("desk=w/guest", "desk=w", ""),
        ("desk=r/guest", "desk=r", ""),
        ("desk=r/guest", "", "-desk=r/guest"),
        ("guest=r/owner desk=r/guest other=r/guest", "", "-desk=r/guest; !other=r/guest"),
        ("other=r/guest", "", ""),
    ] {
        let elsewhere = Some(OptionsElsewhere { owner: &owner, held: &held });
        let found = compare_with(acl, wanted, Some(""), elsewhere);
        assert_eq!(print_diff(&found), changes, "{acl}");
        // The owner revokes what its grantor cannot revoke.
        for revoke in &found.revoke {
            let may = revoke.grantor == owner
                || revoke.grantor == role("guest") && acl.contains("=w/guest");
            assert_eq!(revoke.lost_option.is_none(), may, "{acl}");
        }
    }
}
