//! What rules and defaults give, case by case.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    domain::{assignment::Reach, identity::GroupRef, role::Role},
    policy::{
        fixture::{
            EU, EU_WEST, NOW, OKTA, ROOT, US, connection, connection_id, custom_role, holding, id, identity, in_scope, organization,
            rule as rule_id, sight, tenant,
        },
        invariant::Ineligible,
        rule::Membership,
    },
};

const EDITORS: u128 = 900;
const CAPTAIN: u128 = 901;
const ROBOT: u128 = 902;
const BRONZE: u128 = 903;
const GOLD: u128 = 904;
const AURUM: u128 = 905;

fn model() -> RoleModel {
    let tier = |value, name, rank| Role { exclusive_family: Some("tier".into()), rank, ..custom_role(value, name, &["*:read"]) };
    let more = vec![
        custom_role(EDITORS, "Editors", &["administrators:read"]),
        Role { root_only: true, ..custom_role(CAPTAIN, "Captain", &["*:read"]) },
        Role { machine_only: true, ..custom_role(ROBOT, "Robot", &["*:read"]) },
        tier(BRONZE, "Bronze", 1),
        tier(GOLD, "Gold", 2),
        tier(AURUM, "Aurum", 2),
    ];
    tenant("owner-member", more)
}

fn grant(role: u128, at: u128) -> serde_json::Value {
    json!({"grant": {"role": id::<crate::domain::id::kind::Role>(role), "organization": {"fixed": organization(at)}, "reach": "subtree"}})
}

fn exclude(role: u128, at: u128) -> serde_json::Value {
    json!({"exclude": {"role": id::<crate::domain::id::kind::Role>(role), "organization": {"fixed": organization(at)}}})
}

fn rule(number: u128, when: &str, effects: &[serde_json::Value]) -> Rule {
    let name = format!("rule {number}");
    serde_json::from_value(json!({"id": rule_id(number), "name": name, "when": when, "effects": effects})).unwrap()
}

fn mapping(rules: Vec<Rule>) -> Mapping {
    Mapping { version: 1, default: DefaultMapping::default(), rules }
}

fn defaults(role: u128, apply: Apply) -> Mapping {
    Mapping { default: DefaultMapping { roles: vec![id(role)], apply, unmatched: Unmatched::Allow }, ..mapping(vec![]) }
}

fn by_rule(role: u128, at: u128, cause: u128) -> (Holding, Origin) {
    (holding(id(role), at), Origin::ScimRule { connection: id(OKTA), rule: rule_id(cause) })
}

fn ineligible(role: u128, why: Ineligible) -> Note {
    Note::Ineligible { rule: Some(rule_id(1)), role: id(role), why }
}

fn one(pair: (Holding, Origin)) -> BTreeSet<(Holding, Origin)> {
    BTreeSet::from([pair])
}

/// Evaluates for a person of group `staff`, seen by a connection at the root.
fn evaluated(mapping: &Mapping) -> Desired {
    let (model, connection) = (model(), connection(ROOT));
    evaluate(mapping, &identity(json!({"department": "Sales"}), &["staff", "editors"]), &sight(&model, &connection))
}

#[test]
fn a_matching_rule_grants_and_one_that_does_not_match_grants_nothing() {
    let rules = vec![
        rule(1, r#"groups[value eq "editors"]"#, &[grant(EDITORS, EU)]),
        rule(2, r#"groups[value eq "admins"]"#, &[grant(EDITORS, US)]),
    ];
    let desired = evaluated(&mapping(rules));
    assert_eq!(desired.wanted, one(by_rule(EDITORS, EU, 1)));
    assert_eq!(desired.trace, BTreeMap::from([(rule_id(1), Outcome::Matched), (rule_id(2), Outcome::NotMatched)]));
    assert!(desired.matched && desired.denied.is_none() && desired.notes.is_empty());
}

#[test]
fn the_origin_says_by_which_protocol_the_facts_came() {
    let (model, connection) = (model(), connection(ROOT));
    let mut saml = identity(json!({}), &["editors"]);
    saml.source = Protocol::Saml;
    let by_kind = |kind: &str| mapping(vec![rule(1, &format!("source.kind eq \"{kind}\""), &[grant(EDITORS, EU)])]);
    let desired = evaluate(&by_kind("saml"), &saml, &sight(&model, &connection));
    let origin = Origin::SamlRule { connection: connection_id(OKTA), rule: rule_id(1) };
    assert_eq!(desired.wanted, one((holding(id(EDITORS), EU), origin)));
    assert!(evaluate(&by_kind("scim"), &saml, &sight(&model, &connection)).wanted.is_empty());
}

#[test]
fn conditions_see_the_connection_the_context_and_the_status() {
    let (model, connection) = (model(), connection(ROOT));
    let mut person = identity(json!({"custom": {"tier": "gold"}}), &[]);
    person.authn_context = Some("urn:mfa".into());
    for when in [
        r#"source.connection eq "acme-okta""#,
        r#"authn.context eq "urn:mfa""#,
        "active eq true",
        r#"custom.tier eq "GOLD""#,
        "not (groups pr)",
    ] {
        let mapping = mapping(vec![rule(1, when, &[grant(EDITORS, EU)])]);
        assert!(evaluate(&mapping, &person, &sight(&model, &connection)).matched, "{when}");
    }
}

#[test]
fn a_rule_outside_its_time_switched_off_or_for_the_other_protocol_does_nothing() {
    let always = || rule(1, "active eq true", &[grant(EDITORS, EU)]);
    let at = |millis: i64| Some(Timestamp::from_millis(millis));
    let cases = [
        (Rule { enabled: false, ..always() }, Outcome::Disabled),
        (Rule { valid_from: at(NOW + 1), ..always() }, Outcome::OutsideValidity),
        (Rule { valid_until: at(NOW), ..always() }, Outcome::OutsideValidity),
        (Rule { applies_to: crate::policy::rule::AppliesTo::Saml, ..always() }, Outcome::OtherProtocol),
        (Rule { valid_from: at(NOW), valid_until: at(NOW + 1), ..always() }, Outcome::Matched),
    ];
    for (rule, outcome) in cases {
        let desired = evaluated(&mapping(vec![rule]));
        assert_eq!(desired.trace[&rule_id(1)], outcome);
        assert_eq!(desired.matched, outcome == Outcome::Matched);
        assert_eq!(desired.wanted.is_empty(), outcome != Outcome::Matched);
    }
}

#[test]
fn grants_unite_and_each_keeps_its_own_cause() {
    let rules = vec![rule(1, "active eq true", &[grant(EDITORS, EU)]), rule(2, "groups pr", &[grant(EDITORS, EU), grant(EDITORS, US)])];
    let expected = [by_rule(EDITORS, EU, 1), by_rule(EDITORS, EU, 2), by_rule(EDITORS, US, 2)];
    assert_eq!(evaluated(&mapping(rules)).wanted, BTreeSet::from(expected));
}

#[test]
fn an_exclude_beats_grants_of_rules_there_and_nothing_else() {
    let rules = vec![
        rule(1, "active eq true", &[grant(EDITORS, EU), grant(EDITORS, US)]),
        rule(2, r#"department eq "sales""#, &[exclude(EDITORS, EU)]),
    ];
    let with_default = Mapping {
        default: DefaultMapping { roles: vec![id(EDITORS)], apply: Apply::Always, unmatched: Unmatched::Allow },
        rules: [rules.clone(), vec![rule(3, "active eq true", &[exclude(EDITORS, ROOT)])]].concat(),
        version: 1,
    };
    let desired = evaluated(&mapping(rules));
    assert_eq!(desired.wanted, one(by_rule(EDITORS, US, 1)));
    let vetoed = Note::Vetoed { rule: rule_id(1), by: rule_id(2), holding: holding(id(EDITORS), EU) };
    assert_eq!(desired.notes, BTreeSet::from([vetoed]));
    assert!(desired.matched, "a vetoed rule has matched all the same");
    let kept = (holding(id(EDITORS), ROOT), Origin::Default { connection: id(OKTA) });
    assert!(evaluated(&with_default).wanted.contains(&kept), "a default is no grant of a rule");
}

#[test]
fn of_several_vetoes_the_lowest_rule_is_named_whatever_their_order() {
    let veto = |number| rule(number, "active eq true", &[exclude(EDITORS, EU)]);
    let granting = rule(1, "active eq true", &[grant(EDITORS, EU)]);
    let named = BTreeSet::from([Note::Vetoed { rule: rule_id(1), by: rule_id(5), holding: holding(id(EDITORS), EU) }]);
    for rules in [vec![veto(5), veto(7), granting.clone()], vec![veto(7), granting, veto(5)]] {
        assert_eq!(evaluated(&mapping(rules)).notes, named);
    }
}

#[test]
fn a_refusal_of_sign_in_beats_all_and_strips_nothing() {
    let deny = |message: &str| json!({"deny_sign_in": {"message": message}});
    let rules = vec![
        rule(9, "active eq true", &[deny("later")]),
        rule(2, "active eq true", &[deny("first")]),
        rule(3, "active eq true", &[grant(EDITORS, EU)]),
    ];
    let desired = evaluated(&mapping(rules));
    assert_eq!(desired.denied, Some(Denial { rule: Some(rule_id(2)), message: "first".into() }));
    assert_eq!(desired.wanted, one(by_rule(EDITORS, EU, 3)));
}

#[test]
fn whom_no_granting_rule_matches_is_refused_where_the_mapping_says_so() {
    let strict = |rules| Mapping { default: DefaultMapping { unmatched: Unmatched::DenySignIn, ..Default::default() }, ..mapping(rules) };
    assert_eq!(evaluated(&strict(vec![])).denied.unwrap().rule, None);
    let veto_only = vec![rule(1, "active eq true", &[exclude(EDITORS, EU)])];
    assert!(evaluated(&strict(veto_only)).denied.is_some(), "a veto is no grant");
    let granting = vec![rule(1, "active eq true", &[grant(EDITORS, EU)])];
    assert!(evaluated(&strict(granting)).denied.is_none());
}

#[test]
fn a_default_applies_at_first_sight_while_unmatched_or_always() {
    let (model, connection) = (model(), connection(EU));
    let person = identity(json!({}), &["staff"]);
    let granting = rule(1, r#"groups.value eq "staff""#, &[grant(EDITORS, EU)]);
    let given = |apply, first_sight, rules: &[Rule]| {
        let mapping = Mapping { rules: rules.to_vec(), ..defaults(103, apply) };
        let desired = evaluate(&mapping, &person, &Sight { first_sight, ..sight(&model, &connection) });
        desired.wanted.contains(&(holding(id(103), EU), Origin::Default { connection: id(OKTA) }))
    };
    let rules = [granting];
    assert!(given(Apply::OnCreate, true, &[]) && given(Apply::OnCreate, true, &rules));
    assert!(!given(Apply::OnCreate, false, &[]));
    assert!(given(Apply::WhenUnmatched, false, &[]) && !given(Apply::WhenUnmatched, true, &rules));
    assert!(given(Apply::Always, false, &[]) && given(Apply::Always, false, &rules));
}

#[test]
fn a_rule_for_the_first_login_grants_at_first_sight_only() {
    let (model, connection) = (model(), connection(ROOT));
    let once = Rule { mode: Mode::FirstLoginOnly, ..rule(1, "active eq true", &[grant(EDITORS, EU)]) };
    let once = mapping(vec![once]);
    let person = identity(json!({}), &[]);
    let first = evaluate(&once, &person, &Sight { first_sight: true, ..sight(&model, &connection) });
    assert_eq!(first.wanted, one(by_rule(EDITORS, EU, 1)));
    let later = evaluate(&once, &person, &sight(&model, &connection));
    assert!(later.wanted.is_empty() && later.matched);
}

#[test]
fn an_owner_role_needs_the_owners_consent_and_a_pinned_group() {
    const OWNER: u128 = 101;
    let (model, mut connection) = (model(), connection(ROOT));
    let person = identity(json!({}), &["owners"]);
    let pinned = mapping(vec![rule(1, r#"groups[value eq "owners"]"#, &[grant(OWNER, ROOT)])]);
    let refused = evaluate(&pinned, &person, &sight(&model, &connection));
    assert!(refused.wanted.is_empty());
    assert_eq!(refused.notes, BTreeSet::from([Note::OwnerGrantNotAllowed { rule: Some(rule_id(1)), role: id(OWNER) }]));
    let by_default = evaluate(&defaults(OWNER, Apply::Always), &person, &sight(&model, &connection));
    assert!(by_default.wanted.is_empty());

    connection.allow_owner_grants = true;
    assert_eq!(evaluate(&pinned, &person, &sight(&model, &connection)).wanted, one(by_rule(OWNER, ROOT, 1)));
    assert_eq!(evaluate(&defaults(OWNER, Apply::Always), &person, &sight(&model, &connection)).wanted.len(), 1);
    for shown in [
        r#"groups[display eq "The owners"]"#,
        r#"groups.display eq "The owners""#,
        r#"groups[value eq "owners" and not (display eq "x")]"#,
        "active eq true or GROUPS.Display pr",
        // What people may change of themselves.
        r#"emails.value ew "@x" or groups.value eq "owners""#,
        r#"groups.value eq "owners" or not (title eq "x")"#,
        r#"groups.value eq "owners" and not (groups.value eq "guests")"#,
        r#"groups.value eq "owners" and groups.value ne "guests""#,
        // What is true of people in no group.
        r#"active eq true or groups.value eq "owners""#,
        "active eq true",
        "groups pr",
        r#"groups.value sw "own""#,
    ] {
        let shown = mapping(vec![rule(1, shown, &[grant(OWNER, ROOT), grant(EDITORS, EU)])]);
        let desired = evaluate(&shown, &person, &sight(&model, &connection));
        assert_eq!(desired.notes, BTreeSet::from([Note::OwnerGrantUnpinned { rule: rule_id(1), role: id(OWNER) }]));
        assert_eq!(desired.wanted, one(by_rule(EDITORS, EU, 1)), "other roles may be matched by anything");
    }
}

#[test]
fn a_root_only_role_needs_a_home_at_the_root() {
    let (model, connection) = (model(), connection(ROOT));
    let granting = mapping(vec![rule(1, "active eq true", &[grant(CAPTAIN, ROOT)])]);
    let person = identity(json!({}), &[]);
    let at_home = |home| evaluate(&granting, &person, &Sight { home, ..sight(&model, &connection) });
    assert_eq!(at_home(Some(organization(ROOT))).wanted.len(), 1);
    for home in [None, Some(organization(EU))] {
        let desired = at_home(home);
        assert!(desired.wanted.is_empty());
        assert_eq!(desired.notes, BTreeSet::from([ineligible(CAPTAIN, Ineligible::RootOnly)]));
    }
    assert!(evaluate(&defaults(CAPTAIN, Apply::Always), &person, &Sight { home: None, ..sight(&model, &connection) }).wanted.is_empty());
}

#[test]
fn a_machine_only_role_needs_a_machine_which_a_rule_can_make() {
    let granting = rule(1, "active eq true", &[grant(ROBOT, EU)]);
    let desired = evaluated(&mapping(vec![granting.clone()]));
    assert!(desired.wanted.is_empty() && desired.kind.is_none());
    assert_eq!(desired.notes, BTreeSet::from([ineligible(ROBOT, Ineligible::MachineOnly)]));
    let marking = rule(2, r#"groups.value eq "staff""#, &[json!({"set_kind": "machine"})]);
    let desired = evaluated(&mapping(vec![granting, marking]));
    assert_eq!(desired.kind, Some(AccountKind::Machine));
    assert_eq!(desired.wanted, one(by_rule(ROBOT, EU, 1)));
}

#[test]
fn a_role_of_contexts_is_granted_in_one_and_a_role_of_organizations_is_not() {
    const EASYPSK: u128 = 106;
    let scoped = |role: u128| {
        let mut effect = grant(role, EU);
        effect["grant"]["resource_scope"] = json!(id::<crate::domain::id::kind::Scope>(600));
        effect["grant"]["reach"] = json!("organization");
        effect
    };
    let desired = evaluated(&mapping(vec![rule(1, "active eq true", &[scoped(EASYPSK), grant(EDITORS, EU)])]));
    assert!(desired.notes.is_empty());
    assert!(desired.wanted.iter().any(|(held, _)| *held == in_scope(id(EASYPSK), EU, 600)));
    let desired = evaluated(&mapping(vec![rule(1, "active eq true", &[grant(EASYPSK, EU), scoped(EDITORS)])]));
    assert!(desired.wanted.is_empty());
    let expected = [ineligible(EASYPSK, Ineligible::NeedsScope), ineligible(EDITORS, Ineligible::NeedsNoScope)];
    assert_eq!(desired.notes, BTreeSet::from(expected));
}

#[test]
fn targets_lie_below_the_connection_unless_the_root_published_them() {
    let (model, connection) = (model(), connection(EU));
    let person = identity(json!({"custom": {"code": "ACME-US"}, "department": "acme-eu-west"}), &[]);
    let by_template = |text: &str| {
        let role = id::<crate::domain::id::kind::Role>(EDITORS);
        json!({"grant": {"role": role, "organization": {"template": text}, "reach": "subtree"}})
    };
    let effects =
        [grant(EDITORS, US), grant(EDITORS, EU_WEST), grant(EDITORS, 99), by_template("{custom.code | lower}"), by_template("{division}")];
    let anchored = rule(1, "active eq true", &effects);
    let desired = evaluate(&mapping(vec![anchored.clone()]), &person, &sight(&model, &connection));
    assert_eq!(desired.wanted, one(by_rule(EDITORS, EU_WEST, 1)));
    let notes = [
        Note::UnresolvedOrganization { rule: rule_id(1) },
        Note::OutsideAnchor { rule: rule_id(1), organization: organization(US) },
        Note::UnknownOrganization { rule: rule_id(1), organization: organization(99) },
    ];
    assert_eq!(desired.notes, BTreeSet::from(notes));
    let published = Rule { root_published: true, ..anchored };
    let desired = evaluate(&mapping(vec![published]), &person, &sight(&model, &connection));
    assert_eq!(desired.wanted, BTreeSet::from([by_rule(EDITORS, EU_WEST, 1), by_rule(EDITORS, US, 1)]));
}

#[test]
fn a_template_finds_an_existing_organization_below_the_anchor() {
    let (model, connection) = (model(), connection(EU));
    let person = identity(json!({"department": " ACME-EU-West "}), &[]);
    let role = id::<crate::domain::id::kind::Role>(EDITORS);
    let place = json!({"template": "{department | trim | lower}"});
    let effect = json!({"grant": {"role": role, "organization": place, "reach": "organization"}});
    let desired = evaluate(&mapping(vec![rule(1, "active eq true", &[effect])]), &person, &sight(&model, &connection));
    let expected = Holding { reach: Reach::Organization, ..holding(id(EDITORS), EU_WEST) };
    assert_eq!(desired.wanted.first().unwrap().0, expected);
}

#[test]
fn a_home_is_set_by_template_and_stays_when_rules_disagree() {
    let home = |text: &str| json!({"set_home_organization": {"template": text}});
    let (model, connection) = (model(), connection(ROOT));
    let person = identity(json!({"department": "acme-eu", "division": "acme-us"}), &[]);
    let asked = |rules: Vec<Rule>| evaluate(&mapping(rules), &person, &sight(&model, &connection));
    let one_rule = rule(1, "active eq true", &[home("{department}")]);
    assert_eq!(asked(vec![one_rule.clone()]).home_organization, Some(organization(EU)));
    let other = rule(2, "active eq true", &[home("{division}")]);
    let desired = asked(vec![one_rule, other]);
    assert_eq!(desired.home_organization, None);
    let organizations = BTreeSet::from([organization(EU), organization(US)]);
    assert_eq!(desired.notes, BTreeSet::from([Note::ConflictingHomes { organizations }]));
}

#[test]
fn a_rule_takes_no_account_home_from_outside_its_connections_organization() {
    let (model, connection) = (model(), connection(EU));
    let person = identity(json!({"department": "acme-eu-west"}), &[]);
    let home = rule(1, "active eq true", &[json!({"set_home_organization": {"template": "{department}"}})]);
    let from = |home: Option<u128>, rule: &Rule| {
        let sight = Sight { home: home.map(id), ..sight(&model, &connection) };
        let desired = evaluate(&mapping(vec![rule.clone()]), &person, &sight);
        (desired.home_organization, desired.notes)
    };
    assert_eq!(from(Some(EU), &home), (Some(organization(EU_WEST)), BTreeSet::new()));
    for elsewhere in [Some(US), Some(ROOT), None] {
        assert_eq!(from(elsewhere, &home), (None, BTreeSet::from([Note::HomeOutsideAnchor { rule: rule_id(1) }])), "{elsewhere:?}");
        let published = Rule { root_published: true, ..home.clone() };
        assert_eq!(from(elsewhere, &published), (Some(organization(EU_WEST)), BTreeSet::new()));
    }
}

#[test]
fn an_exclusive_family_keeps_its_highest_rank_per_organization() {
    let rules = vec![
        rule(1, "active eq true", &[grant(BRONZE, EU), grant(BRONZE, US)]),
        rule(2, "active eq true", &[grant(GOLD, EU), grant(AURUM, EU)]),
    ];
    let desired = evaluated(&mapping(rules));
    assert_eq!(desired.wanted, BTreeSet::from([by_rule(BRONZE, US, 1), by_rule(GOLD, EU, 2)]));
    let outranked = |role| Note::Outranked { holding: holding(id(role), EU), by: id(GOLD) };
    assert_eq!(desired.notes, BTreeSet::from([outranked(BRONZE), outranked(AURUM)]));
}

#[test]
fn what_is_given_once_does_not_outrank_what_is_given_as_long_as_it_holds() {
    let (model, connection) = (model(), connection(ROOT));
    let lasting = rule(1, "active eq true", &[grant(BRONZE, ROOT)]);
    let both = Mapping { rules: vec![lasting], ..defaults(GOLD, Apply::OnCreate) };
    let person = identity(json!({}), &[]);
    let first = evaluate(&both, &person, &Sight { first_sight: true, ..sight(&model, &connection) });
    let later = evaluate(&both, &person, &sight(&model, &connection));
    assert_eq!(first.wanted, one(by_rule(BRONZE, ROOT, 1)));
    assert_eq!(later.wanted, first.wanted);
}

#[test]
fn a_role_that_is_no_more_is_noted() {
    let desired = evaluated(&mapping(vec![rule(1, "active eq true", &[grant(999, EU)])]));
    assert_eq!(desired.notes, BTreeSet::from([ineligible(999, Ineligible::UnknownRole)]));
    assert!(desired.wanted.is_empty());
}

#[test]
fn one_of_several_values_matches_and_groups_fold_no_case() {
    let (model, connection) = (model(), connection(ROOT));
    let mut person = identity(json!({"emails": [{"value": "a@x.example"}, {"value": "B@y.example"}]}), &["one", "Two"]);
    person.groups.as_mut().unwrap().push(GroupRef { value: "three".into(), display: None });
    let matched = |when: &str| {
        let mapping = mapping(vec![rule(1, when, &[grant(EDITORS, EU)])]);
        evaluate(&mapping, &person, &sight(&model, &connection)).matched
    };
    assert!(matched(r#"emails.value ew "@Y.example""#));
    assert!(matched(r#"groups.value eq "three""#) && matched(r#"groups[value eq "Two"]"#));
    assert!(!matched(r#"groups.value eq "two""#));
    assert!(!matched(r#"title ne "boss""#), "a missing attribute satisfies no comparison");
}

#[test]
fn two_identities_of_one_account_unite() {
    let model = model();
    let by_group = mapping(vec![
        rule(1, r#"groups.value eq "a""#, &[grant(BRONZE, EU)]),
        rule(2, r#"groups.value eq "b""#, &[grant(GOLD, EU), grant(EDITORS, US)]),
        rule(3, r#"groups.value eq "b""#, &[json!({"deny_sign_in": {"message": "no"}})]),
    ]);
    let connection = connection(ROOT);
    let of = |group: &str| evaluate(&by_group, &identity(json!({}), &[group]), &sight(&model, &connection));
    let both = of("a").union(of("b"), &by_group, &model);
    assert_eq!(both, of("b").union(of("a"), &by_group, &model));
    assert_eq!(both.wanted, BTreeSet::from([by_rule(GOLD, EU, 2), by_rule(EDITORS, US, 2)]));
    assert_eq!(both.denied.unwrap().rule, Some(rule_id(3)), "a rule that refuses one refuses both");
    assert!(both.matched);
    let strict = Mapping { default: DefaultMapping { unmatched: Unmatched::DenySignIn, ..Default::default() }, ..by_group.clone() };
    let of = |group: &str| evaluate(&strict, &identity(json!({}), &[group]), &sight(&model, &connection));
    assert!(of("a").union(of("nobody"), &strict, &model).denied.is_none(), "one that is matched is enough");
    assert_eq!(of("no one").union(of("nobody"), &strict, &model).denied.unwrap().rule, None);
    assert!(both.trace.values().all(|outcome| *outcome == Outcome::Matched));
}

#[test]
fn a_mapping_is_stored_as_json_and_read_back_equal() {
    let text = json!({
        "version": 3,
        "default": {"roles": [id::<crate::domain::id::kind::Role>(103)], "apply": "when_unmatched", "unmatched": "deny_sign_in"},
        "rules": [{
            "id": rule_id(1), "name": "platform team", "enabled": true, "note": "asked by IT", "published_by": null,
            "valid_from": 5, "valid_until": null, "applies_to": "scim",
            "when": r#"groups[value eq "platform-admins"]"#,
            "effects": [
                grant(EDITORS, EU), exclude(EDITORS, US), {"deny_sign_in": {"message": "no"}},
                {"set_home_organization": {"template": "{custom.tenant_code | lower}"}}, {"set_kind": "machine"}
            ],
            "mode": "grant_only", "on_delete": "keep_as_manual", "root_published": true
        }]
    });
    let read: Mapping = serde_json::from_value(text).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written["rules"][0]["when"], r#"groups[value eq "platform-admins"]"#);
    assert_eq!(serde_json::from_value::<Mapping>(written).unwrap(), read);
    let unknown = json!({"version": 1, "rules": [{"id": rule_id(1), "name": "x", "when": "a pr", "effects": [], "order": 3}]});
    assert!(serde_json::from_value::<Mapping>(unknown).is_err());
    let broken = json!({"version": 1, "rules": [{"id": rule_id(1), "name": "x", "when": "a and", "effects": []}]});
    assert!(serde_json::from_value::<Mapping>(broken).is_err());
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        r#"groups.value eq "a""#,
        r#"groups.value eq "b""#,
        r#"groups eq "b""#,
        r#"GROUPS[Value eq "a"]"#,
        r#"groups[value eq "c" or value eq "a"]"#,
        r#"groups[value eq "a" and display eq "b"]"#,
        r#"groups[display eq "c" and value eq "c"]"#,
        r#"groups[display eq "a" or value eq "b"]"#,
        r#"groups[not (value eq "a")]"#,
        r#"groups.display eq "a""#,
        r#"groups.value ne "a""#,
        r#"groups.value sw "a""#,
        r#"groups.value eq """#,
        "groups.value eq null",
        "groups pr",
        r#"department eq "a""#,
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) and ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) or ({right})")),
            inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
}

fn person() -> impl Strategy<Value = Identity> {
    let text = || proptest::sample::select(vec!["", "a", "A", "b", "c"]);
    let group = (text(), proptest::option::of(text()))
        .prop_map(|(value, display)| GroupRef { value: value.to_owned(), display: display.map(str::to_owned) });
    (proptest::option::of(proptest::collection::vec(group, 0..4)), any::<bool>()).prop_map(|(groups, is_there)| {
        let attributes = if is_there { json!({ "department": "a" }) } else { json!({}) };
        Identity { groups, ..identity(attributes, &[]) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What is seen without the rule's condition is what the condition would say.
    #[test]
    fn membership_decides_only_what_the_condition_would_say(when in condition(), person in person()) {
        let (model, connection) = (model(), connection(ROOT));
        let sight = sight(&model, &connection);
        let rule = rule(1, &when, &[grant(EDITORS, EU)]);
        let matched = View::new(&person, &sight).satisfies(&rule);
        prop_assert_eq!(matched, rule.when.matches(&document(&person, &connection), schema::identity()));
    }
}

#[test]
fn a_rule_names_the_groups_without_which_nobody_matches() {
    for (when, groups, suffices) in [
        (r#"groups.value eq "a""#, &["a"][..], true),
        (r#"groups[value eq "a"] and department pr"#, &["a"], false),
        (r#"groups eq "a" or groups[value eq "b" or value eq "c"]"#, &["a", "b", "c"], true),
        (r#"groups eq "a" or (groups eq "b" and department pr)"#, &["a", "b"], false),
        (r#"groups[value eq "a" and display eq "a"]"#, &["a"], false),
    ] {
        let expected = Membership { groups: groups.to_vec(), suffices };
        assert_eq!(rule(1, when, &[grant(EDITORS, EU)]).membership(), Some(expected), "{when}");
    }
    for when in [
        r#"groups.value eq "a" or department pr"#,
        r#"not (groups.value eq "a")"#,
        r#"groups.value ne "a""#,
        r#"groups.display eq "a""#,
        r#"groups[display eq "a"]"#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:groups.value eq "a""#,
    ] {
        assert_eq!(rule(1, when, &[grant(EDITORS, EU)]).membership(), None, "{when}");
    }
}
