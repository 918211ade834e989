use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    domain::{
        organization_settings::OrganizationSettings,
        role::{ManagedRoles, Role},
    },
    policy::{
        fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, person, role_id, tenant},
        mapping::DefaultMapping,
    },
};

/// The account of `person` in the fixture.
const ACTOR: u128 = 40;
const ANN: u128 = 50;
const BEN: u128 = 51;
const AUDITOR: u128 = 900;
const DESK: u128 = 901;

fn reaching(account: u128, role: u128, at: u128) -> Reaching {
    Reaching { account: id(account), role: id(role), organization: id(at), may_delegate: false }
}

fn model() -> RoleModel {
    tenant("idaas", vec![custom_role(AUDITOR, "Reader", &["user_management:read"]), custom_role(DESK, "Desk", &["user_role_management:*"])])
}

fn owner(model: &RoleModel) -> RoleId {
    role_id(model, "Super Administrator")
}

/// `acme-eu-west` moves from `acme-eu` to `acme-us`.
fn with_move<T>(model: &RoleModel, read: impl FnOnce(&Relocation) -> T) -> T {
    let after = model.organizations.moved(id(EU_WEST), id(US));
    read(&Relocation { organization: id(EU_WEST), before: &model.organizations, after: &after })
}

fn moves(model: &RoleModel, actor: &Actor, effects: &Effects) -> Result<(), &'static str> {
    let people = effects.accounts().into_iter().map(|account| (account, Affected { home: Some(id(EU_WEST)), ..Affected::default() }));
    let people: BTreeMap<_, _> = people.collect();
    with_move(model, |moved| authorize_relocation(actor, model, moved, effects, &people, &BTreeSet::new())).map_err(|denied| denied.code())
}

fn gains(gained: &[Reaching]) -> Effects {
    Effects { shift: Shift { gained: gained.to_vec(), lost: Vec::new() }, ..Effects::default() }
}

fn loses(lost: &[Reaching]) -> Effects {
    Effects { shift: Shift { gained: Vec::new(), lost: lost.to_vec() }, ..Effects::default() }
}

#[test]
fn a_move_exchanges_what_is_held_between_the_two_places() {
    let model = model();
    with_move(&model, |moved| {
        assert_eq!(moved.exchanged(), BTreeSet::from([id(EU), id(US)]));
        assert_eq!(moved.kept(), BTreeSet::from([id(ROOT), id(EU_WEST)]));
        assert_eq!(moved.ends(), BTreeSet::from([id(EU), id(US)]));
        let shift = moved.shift(&[reaching(ANN, AUDITOR, EU), reaching(BEN, DESK, US)]);
        assert_eq!(shift, Shift { gained: vec![reaching(BEN, DESK, US)], lost: vec![reaching(ANN, AUDITOR, EU)] });
    });
}

#[test]
fn a_role_that_reaches_it_before_and_after_is_neither_gained_nor_lost() {
    let model = model();
    with_move(&model, |moved| {
        let shift = |held: &[Reaching]| moved.shift(held);
        assert_eq!(shift(&[reaching(ANN, AUDITOR, EU), reaching(ANN, AUDITOR, US)]), Shift::default());
        assert_eq!(shift(&[reaching(ANN, AUDITOR, ROOT), reaching(ANN, AUDITOR, US)]), Shift::default());
        assert_eq!(shift(&[reaching(ANN, AUDITOR, EU_WEST), reaching(ANN, AUDITOR, EU)]), Shift::default());
        let delegable = Reaching { may_delegate: true, ..reaching(ANN, AUDITOR, US) };
        assert_eq!(shift(&[reaching(ANN, AUDITOR, EU), delegable]).gained, [delegable], "the right to pass it on is new");
    });
}

#[test]
fn owner_roles_that_differ_need_an_owner_of_both_ends() {
    let model = model();
    let boss = owner(&model);
    let gained = gains(&[Reaching { role: boss, ..reaching(BEN, AUDITOR, US) }]);
    let lost = loses(&[Reaching { role: boss, ..reaching(BEN, AUDITOR, EU) }]);
    let holds = |held: &[(RoleId, u128)]| person(by_hand(held.iter().map(|(role, at)| holding(*role, *at))));
    for effects in [&gained, &lost] {
        assert_eq!(moves(&model, &holds(&[(boss, ROOT)]), effects), Ok(()));
        assert_eq!(moves(&model, &holds(&[(boss, EU), (boss, US)]), effects), Ok(()));
        assert_eq!(moves(&model, &holds(&[(boss, EU)]), effects), Err("owner_only"), "an owner of one end");
        assert_eq!(moves(&model, &holds(&[(boss, US)]), effects), Err("owner_only"));
        assert_eq!(moves(&model, &holds(&[(id(DESK), ROOT)]), effects), Err("owner_only"));
        assert_eq!(moves(&model, &Actor::HostOperator, effects), Ok(()));
    }
    let narrow = Holding { reach: Reach::Organization, ..holding(boss, US) };
    let actor = person(by_hand([holding(boss, EU), narrow]));
    assert_eq!(moves(&model, &actor, &gained), Err("reach_too_short"));
}

#[test]
fn settings_tokens_and_rules_that_differ_need_an_owner_of_both_ends() {
    let model = model();
    let editor = person(by_hand([holding(id(DESK), ROOT)]));
    for effects in [
        Effects { settings: true, ..Effects::default() },
        Effects { app_tokens: true, ..Effects::default() },
        Effects { rules: true, ..Effects::default() },
    ] {
        assert_eq!(moves(&model, &editor, &effects), Err("owner_only"), "{effects:?}");
        assert_eq!(moves(&model, &person(by_hand([holding(owner(&model), ROOT)])), &effects), Ok(()));
    }
    assert_eq!(moves(&model, &editor, &Effects::default()), Ok(()), "nothing differs");
}

#[test]
fn other_roles_are_granted_and_withdrawn_as_by_hand() {
    let managed = ManagedRoles::Only(vec![id::<()>(DESK).to_string(), "@none".into()]);
    let curator = Role { owner_named: managed.entries(), managed_roles: managed, ..model().role(id(DESK)).unwrap().clone() };
    let model = tenant(
        "idaas",
        vec![
            custom_role(AUDITOR, "Reader", &["user_management:read"]),
            custom_role(DESK, "Desk", &["user_role_management:*"]),
            Role { id: id(902), name: crate::domain::name::Title::parse("name", "Curator").unwrap(), ..curator },
        ],
    );
    let holds = |role: u128, at: u128| person(by_hand([holding(id(role), at)]));
    for effects in [gains(&[reaching(BEN, DESK, US)]), loses(&[reaching(BEN, DESK, EU)])] {
        assert_eq!(moves(&model, &holds(DESK, ROOT), &effects), Ok(()), "{effects:?}");
        assert_eq!(moves(&model, &holds(902, ROOT), &effects), Ok(()));
        assert_eq!(moves(&model, &holds(AUDITOR, ROOT), &effects), Err("not_permitted"));
        assert_eq!(moves(&model, &holds(DESK, US), &effects), Err("not_permitted"), "the right is asked at the moved organization");
    }
    assert_eq!(
        moves(&model, &holds(902, ROOT), &gains(&[reaching(BEN, AUDITOR, US)])),
        Err("out_of_reach"),
        "a role that it does not manage"
    );
}

#[test]
fn nobody_but_an_owner_gains_a_role_by_a_move_of_their_own() {
    let model = model();
    let effects = gains(&[reaching(ACTOR, DESK, US)]);
    assert_eq!(moves(&model, &person(by_hand([holding(id(DESK), EU), holding(id(DESK), US)])), &effects), Err("self_assignment"));
    assert_eq!(moves(&model, &person(by_hand([holding(owner(&model), ROOT), holding(id(DESK), US)])), &effects), Ok(()));
    assert_eq!(
        moves(&model, &person(by_hand([holding(id(DESK), EU)])), &loses(&[reaching(ACTOR, DESK, EU)])),
        Ok(()),
        "one's own is resigned"
    );
}

#[test]
fn rules_of_a_connection_above_count_where_they_can_name_what_moves() {
    let model = model();
    let rule = |place: Place, root_published: bool| Rule {
        root_published,
        effects: vec![Effect::Grant { role: id(AUDITOR), organization: place, reach: Reach::Subtree, resource_scope: None }],
        ..serde_json::from_value(serde_json::json!({ "id": id::<()>(1), "name": "r", "when": "active eq true", "effects": [] })).unwrap()
    };
    let mapping = |rule: Rule| Mapping { version: 1, default: DefaultMapping::default(), rules: vec![rule] };
    let template = || Place::Template(serde_json::from_value(serde_json::json!("{department}")).unwrap());
    with_move(&model, |moved| {
        let changes = |anchor: u128, place: Place, root_published| moved.changes_rules(id(anchor), &mapping(rule(place, root_published)));
        assert!(changes(EU, Place::Fixed(id(EU_WEST)), false) && changes(US, template(), false));
        assert!(!changes(EU, Place::Fixed(id(EU)), false), "it names another organization");
        assert!(!changes(ROOT, template(), false), "the connection is above both places");
        assert!(!changes(US, template(), true), "it reaches the whole tenant anyway");
    });
}

#[test]
fn a_home_with_other_settings_needs_an_owner_of_both_homes() {
    let mut model = model();
    let strict = OrganizationSettings { console_networks: vec!["192.0.2.0/24".parse().unwrap()], ..OrganizationSettings::default() };
    model.organizations = model.organizations.with_settings([(id(EU), strict)].into());
    let holds = |role: RoleId, at: u128| person(by_hand([holding(role, at)]));
    let may = |actor: &Actor, from: Option<u128>, to: Option<u128>| {
        authorize_home_settings(actor, &model, from.map(id), to.map(id)).map_err(|denied| denied.code())
    };
    let (desk, boss) = (holds(id(DESK), ROOT), owner(&model));
    assert_eq!(may(&desk, Some(EU), None), Err("owner_only"), "a list of networks would no longer hold");
    assert_eq!(may(&desk, Some(US), Some(EU_WEST)), Err("owner_only"));
    assert_eq!(may(&desk, Some(US), None), Ok(()), "the same settings are in force");
    assert_eq!(may(&desk, Some(EU), Some(EU_WEST)), Ok(()));
    assert_eq!(may(&holds(boss, EU), Some(EU), Some(US)), Err("owner_only"), "an owner of one home");
    assert_eq!(may(&holds(boss, ROOT), Some(EU), None), Ok(()));
    with_move(&model, |moved| assert!(moved.changes_settings()));
}
