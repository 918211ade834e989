//! One test for each condition of the ceiling.

use super::*;
use crate::{
    domain::{actor::AtSignIn, assignment::Assignment, model::RoleModel},
    policy::{
        access::Target,
        assigning::{Assignee, authorize_grant},
        fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, in_scope, person, role_id, tenant},
    },
};

const GRANTS: &str = "user_role_management:*";

/// Returns what is missing for a grant to an account without roles, or the code of another refusal.
fn lacks(model: &RoleModel, actor: &Actor, role: u128, at: u128) -> Vec<String> {
    let given = holding(id(role), at);
    missing_of(grant(model, actor, &given))
}

fn grant(model: &RoleModel, actor: &Actor, given: &Holding) -> Result<(), Denied> {
    let nobodys = BTreeSet::new();
    let to = Assignee { account: Some(id(50)), home: None, target: Target { assignments: &[], groups: &nobodys } };
    authorize_grant(actor, model, given, &to, &nobodys).map(drop)
}

fn missing_of(result: Result<(), Denied>) -> Vec<String> {
    match result {
        Ok(()) => Vec::new(),
        Err(Denied::BeyondOwnRights { missing, .. }) => missing,
        Err(other) => vec![other.code().to_owned()],
    }
}

/// Returns a tenant in which the actor holds the first role and gives the second.
fn giving(own: &[&str], given: &[&str]) -> RoleModel {
    tenant("idaas", vec![custom_role(900, "Own", own), custom_role(901, "Given", given)])
}

fn holder(role: u128, at: u128) -> Actor {
    person(by_hand([holding(id(role), at)]))
}

/// Returns what is missing to widen a role that is held at these places.
fn widens(model: &RoleModel, actor: &Actor, before: &[&str], after: &[&str], held: &[Holding]) -> Vec<String> {
    let role = |permissions: &[&str]| custom_role(950, "Edited", permissions);
    let held = held.iter().copied().collect();
    missing_of(check_widening(actor, model, &role(before), &role(after), &held))
}

#[test]
fn a_grant_names_what_the_grantor_could_not_use_there() {
    let model = giving(&[GRANTS, "user_management:*"], &["user_management:read", "groups_management:read", "webhooks_management:*"]);
    assert_eq!(lacks(&model, &holder(900, ROOT), 901, EU), ["groups_management:read", "webhooks_management:*"]);
    let model = giving(&[GRANTS, "user_management:*"], &["user_management:read", "user_management:*"]);
    assert!(lacks(&model, &holder(900, ROOT), 901, EU).is_empty());
    assert!(lacks(&model, &Actor::HostOperator, 901, EU).is_empty());
}

#[test]
fn a_selector_is_not_within_a_list_of_what_it_names_today() {
    let today = tenant("idaas", vec![]);
    let pairs: Vec<String> =
        today.catalogue.find("user_management").unwrap().actions.iter().map(|a| format!("user_management:{a}")).collect();
    let own: Vec<&str> = pairs.iter().map(String::as_str).chain([GRANTS]).collect();
    assert_eq!(lacks(&giving(&own, &["user_management:*"]), &holder(900, ROOT), 901, EU), ["user_management:*"]);
    assert!(lacks(&giving(&own, &[own[0]]), &holder(900, ROOT), 901, EU).is_empty());
    assert_eq!(lacks(&giving(&["*:read", GRANTS], &["*:*"]), &holder(900, ROOT), 901, EU), ["*:*"]);
    assert!(lacks(&giving(&["*:*"], &["*:*", "*:read", "user_management:*"]), &holder(900, ROOT), 901, EU).is_empty());
    let sensitive = today.catalogue.iter().find(|entity| entity.sensitive && entity.actions.contains(&"read".to_owned())).unwrap();
    let secret = format!("{}:read", sensitive.key);
    assert_eq!(lacks(&giving(&["*:read", GRANTS], &[&secret]), &holder(900, ROOT), 901, EU), std::slice::from_ref(&secret));
}

#[test]
fn rights_elsewhere_and_of_a_shorter_reach_do_not_help() {
    let roles = vec![
        custom_role(900, "Grants", &[GRANTS]),
        custom_role(901, "Given", &["user_management:read"]),
        custom_role(902, "Reads", &["user_management:*"]),
    ];
    let model = tenant("idaas", roles);
    let with = |more: Holding| person(by_hand([holding(id(900), ROOT), more]));
    let missing = ["user_management:read"];
    assert_eq!(lacks(&model, &with(holding(id(902), US)), 901, EU), missing, "beside");
    assert_eq!(lacks(&model, &with(holding(id(902), EU_WEST)), 901, EU), missing, "below");
    let here = Holding { reach: Reach::Organization, ..holding(id(902), EU) };
    assert_eq!(lacks(&model, &with(here), 901, EU), missing, "not below");
    let narrow = Holding { reach: Reach::Organization, ..holding(id(901), EU) };
    assert!(grant(&model, &with(here), &narrow).is_ok());
    assert!(lacks(&model, &with(holding(id(902), EU)), 901, EU_WEST).is_empty());
}

#[test]
fn what_does_not_work_at_the_place_is_not_given_there() {
    // Done at the root only.
    let roles = vec![custom_role(900, "Users", &["users:*"])];
    let model = tenant("delegated-user-management", roles);
    let (before, after) = (["users:read"], ["users:read", "administrator_roles:create"]);
    assert!(widens(&model, &holder(900, ROOT), &before, &after, &[holding(id(950), EU)]).is_empty());
    assert_eq!(widens(&model, &holder(900, ROOT), &before, &after, &[holding(id(950), ROOT)]), ["administrator_roles:create"]);
    // Behind the gate: what wakes a permission gives it.
    let model = tenant("org-admin", vec![custom_role(900, "Reads", &["account_management:read"])]);
    let asleep = ["account_verification:write"];
    let awake = ["account_verification:write", "account_management:read"];
    assert!(widens(&model, &holder(900, ROOT), &["personal_data_download:*"], &asleep, &[holding(id(950), EU)]).is_empty());
    assert_eq!(widens(&model, &holder(900, ROOT), &asleep, &awake, &[holding(id(950), EU)]), ["account_verification:write"]);
    // An owner's alone.
    let model = tenant("owner-member", vec![custom_role(900, "Reads", &["administrators:read"])]);
    assert!(widens(&model, &holder(900, ROOT), &["administrators:read"], &["*:*"], &[holding(id(950), EU)]) == ["*:*"]);
    let pair = ["administrators:read", "administrators:update"];
    assert!(widens(&model, &holder(900, ROOT), &["administrators:read"], &pair, &[holding(id(950), EU)]).is_empty());
}

#[test]
fn what_is_held_in_a_context_or_on_a_resource_is_given_there_by_who_has_it_there() {
    let roles = vec![custom_role(900, "Manager", &["service_contexts:*", "context_administration:administer"])];
    let model = tenant("owner-member", roles);
    let before = ["organization_structure:read"];
    let within = |actor: &Actor, after: &str| widens(&model, actor, &before, &[before[0], after], &[in_scope(id(950), EU, 600)]);
    assert!(within(&holder(900, EU), "context_administration:administer").is_empty());
    assert_eq!(within(&holder(900, US), "context_administration:administer"), ["context_administration:administer"]);
    assert_eq!(within(&holder(900, EU), "access_policy:manage"), ["access_policy:manage"], "held on one resource, by no role elsewhere");
    let in_context = person(by_hand([in_scope(role_id(&model, "Sign-In administrator"), EU, 600)]));
    assert!(within(&in_context, "context_administration:administer").is_empty());
    // A role for resources that anybody may get counts as held in any of them.
    let edited = |permissions: &[&str]| Role { scope_kind: Some("resource".into()), ..custom_role(950, "Edited", permissions) };
    let (narrow, wide) = (edited(&["endpoint_identity_group:manage"]), edited(&["endpoint_identity_group:manage", "access_policy:manage"]));
    let anywhere = [everywhere(&model, id(950))].into();
    assert_eq!(missing_of(check_widening(&holder(900, ROOT), &model, &narrow, &wide, &anywhere)), ["access_policy:manage"]);
    assert!(check_widening(&holder(900, ROOT), &model, &wide, &narrow, &anywhere).is_ok());
}

#[test]
fn of_a_held_role_what_is_new_is_asked_for_at_every_place() {
    let model = giving(&["roles_management:*", "user_management:*"], &["*:read"]);
    let actor = holder(900, EU);
    let held = [holding(id(950), EU), holding(id(950), US)];
    assert_eq!(widens(&model, &actor, &["*:read"], &["*:read", "user_management:update"], &held), ["user_management:update"]);
    assert!(widens(&model, &actor, &["*:read"], &["*:read", "user_management:update"], &held[..1]).is_empty());
    assert!(widens(&model, &actor, &["*:*"], &["*:read"], &held).is_empty(), "less is fine");
    assert!(widens(&model, &actor, &["webhooks_management:read"], &["*:*"], &[]).is_empty(), "nobody holds it");
    assert_eq!(widens(&model, &actor, &["user_management:read"], &["*:*"], &held), ["*:*"]);
}

#[test]
fn an_owner_is_exempt_where_they_own_and_as_far_as_the_token_goes() {
    let model = giving(&[GRANTS], &["webhooks_management:*", "user_management:read"]);
    let owner = role_id(&model, "Super Administrator");
    let with = |at: u128, only: Option<&[Capability]>| {
        let Actor::Account(account) = person(by_hand([holding(owner, at)])) else { panic!("a person was expected") };
        Actor::Account(AccountActor { only: only.map(|only| only.iter().copied().collect()), ..account })
    };
    let everywhere = [holding(id(950), EU), holding(id(950), US)];
    for actor in [with(ROOT, None), with(ROOT, Some(&[Capability::RolesUpdate, Capability::OwnersGrant]))] {
        assert!(widens(&model, &actor, &["user_management:read"], &["*:*"], &everywhere).is_empty() && is_owner_of_tenant(&actor, &model));
    }
    let of_eu = with(EU, None);
    assert!(!is_owner_of_tenant(&of_eu, &model));
    assert!(widens(&model, &of_eu, &["user_management:read"], &["*:*"], &everywhere[..1]).is_empty());
    assert_eq!(widens(&model, &of_eu, &["user_management:read"], &["*:*"], &everywhere), ["*:*"]);
    let token = with(ROOT, Some(&[Capability::AssignmentsGrant, Capability::AccountsRead, Capability::ConsoleSignIn]));
    assert!(!is_owner_of_tenant(&token, &model));
    assert_eq!(lacks(&model, &token, 901, EU), ["webhooks_management:*"], "a list does not hold what a selector will name");
}

#[test]
fn a_session_gives_what_it_could_use_when_it_began_and_can_use_now() {
    let before = giving(&[GRANTS], &["user_management:read"]);
    let now = giving(&[GRANTS, "user_management:*"], &["user_management:read"]);
    let held: Vec<Assignment> = by_hand([holding(id(900), EU)]);
    let Actor::Account(account) = person(held.clone()) else { panic!("a person was expected") };
    let session = |then: &RoleModel| {
        let at_sign_in = AtSignIn { assignments: held.clone(), model: std::sync::Arc::new(then.clone()) };
        Actor::Account(AccountActor { at_sign_in: Some(at_sign_in), ..account.clone() })
    };
    assert_eq!(lacks(&now, &session(&before), 901, EU), ["sign_in_again"]);
    assert!(lacks(&now, &session(&now), 901, EU).is_empty());
    assert_eq!(lacks(&before, &session(&now), 901, EU), ["user_management:read"]);
}

#[test]
fn whom_a_role_manages_is_given_with_what_it_does() {
    let managing = |value, name: &str, roles: ManagedRoles, groups: ManagedGroups| Role {
        managed_roles: roles,
        managed_groups: groups,
        ..custom_role(value, name, &[GRANTS, "user_management:*", "webhooks_management:*"])
    };
    let some = ManagedRoles::Only(vec!["@none".into(), id::<crate::domain::id::kind::Role>(901).to_string()]);
    let own_and_none = ManagedGroups::Only(vec!["@own".into(), "@none".into()]);
    let own = managing(900, "Own", some.clone(), own_and_none);
    let given = managing(901, "Given", ManagedRoles::All, ManagedGroups::Own);
    let alike = managing(901, "Given", ManagedRoles::Only(vec!["@none".into()]), ManagedGroups::Own);
    let wide = managing(901, "Given", some, ManagedGroups::All);
    let with = |given: Role| tenant("idaas", vec![own.clone(), given]);
    let over = |text: &str| format!("{text} (over roles or groups that your role does not manage)");
    for given in [given, wide.clone()] {
        assert_eq!(lacks(&with(given), &holder(900, EU), 901, EU), [over("user_management:*"), over(GRANTS)]);
    }
    assert!(lacks(&with(alike.clone()), &holder(900, EU), 901, EU).is_empty());
    let places = [holding(id(901), EU)].into();
    let model = with(alike.clone());
    assert_eq!(missing_of(check_widening(&holder(900, EU), &model, &alike, &wide, &places)).len(), 2, "to manage more is to get more");
    assert!(check_widening(&holder(900, EU), &model, &wide, &alike, &places).is_ok());
}

#[test]
fn the_right_to_grant_a_role_by_name_is_given_too() {
    let auditor = role_id(&tenant("idaas", vec![]), "Auditor").to_string();
    let naming = |value, name: &str, named: &[&str]| {
        let managed_roles = ManagedRoles::Only(named.iter().map(|&key| key.to_owned()).chain(["@none".to_owned()]).collect());
        Role { owner_named: managed_roles.entries(), managed_roles, ..custom_role(value, name, &[GRANTS]) }
    };
    let curator = naming(900, "Super Auditor", &[&auditor]);
    let above = naming(902, "Names the curator", &[&curator.id.to_string()]);
    let model = tenant("idaas", vec![curator, custom_role(901, "Grants", &[GRANTS]), above]);
    let curators = model.role_named("Super Auditor").unwrap().id;
    let to_curate = |actor: &Actor| missing_of(grant(&model, actor, &holding(curators, EU)));
    assert_eq!(to_curate(&holder(901, ROOT)), ["*:read"], "what a curator would grant");
    assert!(to_curate(&holder(902, ROOT)).is_empty(), "an owner named the curator");
    assert!(check_set(&holder(900, ROOT), &model, model.role_named("Auditor").unwrap()).is_ok());
    assert!(check_set(&holder(901, ROOT), &model, model.role_named("Auditor").unwrap()).is_err());
    assert!(check_set(&holder(900, EU), &model, model.role_named("Auditor").unwrap()).is_err(), "a set is for all of the tenant");
}

#[test]
fn who_wrote_a_name_is_kept_and_nobody_else_writes_it() {
    use crate::policy::role_change::{Draft, owner_named};
    let role = |keys: &[&str]| Role {
        managed_roles: ManagedRoles::Only(keys.iter().map(|&key| key.to_owned()).collect()),
        ..custom_role(900, "Desk", &[GRANTS])
    };
    let set = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<BTreeSet<_>>();
    let list = |keys: &[&str]| Draft { managed_roles: Some(role(keys).managed_roles), ..Draft::default() };
    assert_eq!(owner_named(&set(&[]), &role(&["a", "b"]), &list(&["a", "b"]), true), set(&["a", "b"]));
    assert_eq!(owner_named(&set(&["a"]), &role(&["a", "b"]), &list(&["a", "b"]), false), set(&["a"]));
    assert_eq!(owner_named(&set(&["a"]), &role(&["b"]), &list(&["b"]), false), set(&[]), "taken out, it is gone for good");
    assert_eq!(owner_named(&set(&["a"]), &role(&["a", "b"]), &Draft::default(), true), set(&["a"]), "an owner who writes something else");
}

/// Every role of every preset, and roles that grant, as actors at the root: what becomes of a grant of every role there.
#[test]
fn every_role_gives_exactly_these_roles() {
    use std::fmt::Write as _;

    use crate::policy::{access::opening, preset::Preset};

    let mut table = String::new();
    for preset in Preset::all() {
        let plain = tenant(&preset.key, vec![]);
        let grants: Vec<String> =
            opening(&plain, Capability::AssignmentsGrant).map(|(entity, action)| format!("{entity}:{action}")).collect();
        let with = |value, name: &str, more: &[&str]| {
            let permissions: Vec<&str> = grants.iter().map(String::as_str).chain(more.iter().copied()).collect();
            custom_role(value, name, &permissions)
        };
        let named = ManagedRoles::Only(plain.roles().map(|role| role.id.to_string()).chain(["@none".to_owned()]).collect());
        let roles = vec![
            with(900, "(grants and reads)", &["*:read"]),
            with(901, "(grants everything)", &["*:*"]),
            Role { owner_named: named.entries(), managed_roles: named, ..with(902, "(grants by name)", &["*:read"]) },
        ];
        let model = tenant(&preset.key, roles);
        writeln!(table, "{}", preset.key).unwrap();
        for actor in model.roles() {
            writeln!(table, "  {} gives", actor.name).unwrap();
            let person = person(by_hand([holding(actor.id, ROOT)]));
            for role in model.roles() {
                let given = if role.scope_kind.is_some() { in_scope(role.id, EU, 600) } else { holding(role.id, ROOT) };
                let outcome = grant(&model, &person, &given).map_or_else(|denied| denied.code(), |()| "yes");
                writeln!(table, "    {:40} {outcome}", role.name.as_str()).unwrap();
            }
        }
    }
    insta::assert_snapshot!("roles_by_granted_roles", table);
}
