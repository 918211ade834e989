//! What must hold over any history of one account: two connections, changing facts, changing rules, grants by hand.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::Index};
use serde_json::json;

use super::{
    diff::{apply, diff, remove_rule, withdraw_all},
    fixture::{
        EU, EU_WEST, OKTA, ROOT, US, connection, custom_role, holding, id, identity, organization, rule as rule_id, sight, stored, tenant,
    },
    invariant::{OwnerFacts, is_owner_assignment, retain_last_owner},
    mapping::{Apply, DefaultMapping, Desired, Mapping, Sight, Unmatched, evaluate},
    rule::{AppliesTo, Effect, Mode, OnDelete, Place, Rule, SettableKind},
};
use crate::domain::{
    account::AccountKind,
    assignment::{Assignment, Holding, Origin, Reach},
    connection::Connection,
    identity::{Identity, Protocol},
    model::RoleModel,
    role::Role,
};

const ENTRA: u128 = 71;
/// Owner, context manager, member, two of a family, a root-only one and a machine's.
const ROLES: [u128; 7] = [101, 102, 103, 900, 901, 902, 903];
const PLACES: [u128; 4] = [ROOT, EU, US, EU_WEST];
const CONDITIONS: [&str; 7] = [
    r#"groups[value eq "g0"]"#,
    r#"groups[value eq "g1"]"#,
    r#"groups.value eq "g2" or groups.value eq "g3""#,
    r#"groups[display co "g3"]"#,
    r#"department eq "acme-eu""#,
    r#"groups pr and not (groups.value eq "g0")"#,
    "active eq true",
];

type Held = BTreeSet<(Holding, Origin)>;

fn model() -> RoleModel {
    let tier = |value, name, rank| Role { exclusive_family: Some("tier".into()), rank, ..custom_role(value, name, &["*:read"]) };
    let more = vec![
        tier(900, "Bronze", 1),
        tier(901, "Gold", 2),
        Role { root_only: true, ..custom_role(902, "Captain", &["*:read"]) },
        Role { machine_only: true, ..custom_role(903, "Robot", &["*:read"]) },
    ];
    tenant("owner-member", more)
}

fn of(connection_number: u128) -> Connection {
    let at = if connection_number == OKTA { ROOT } else { EU };
    Connection { id: id(connection_number), allow_owner_grants: connection_number == OKTA, ..connection(at) }
}

fn held() -> impl Strategy<Value = Holding> {
    (0..ROLES.len(), 0..PLACES.len(), any::<bool>()).prop_map(|(role, place, wide)| Holding {
        reach: if wide { Reach::Subtree } else { Reach::Organization },
        ..holding(id(ROLES[role]), PLACES[place])
    })
}

fn effect() -> impl Strategy<Value = Effect> {
    let template = |text: &str| super::template::Template::parse(text).unwrap();
    let place = move |at: u128, by_template: bool| {
        if by_template { Place::Template(template("{department | lower}")) } else { Place::Fixed(organization(at)) }
    };
    let grant = (held(), 0..4u8).prop_map(move |(held, dice)| Effect::Grant {
        role: held.role,
        organization: if dice == 0 { place(0, true) } else { Place::Fixed(held.organization) },
        reach: held.reach,
        resource_scope: None,
    });
    prop_oneof![
        6 => grant,
        2 => held().prop_map(|held| Effect::Exclude { role: held.role, organization: Place::Fixed(held.organization) }),
        1 => "[a-z]{1,4}".prop_map(|message| Effect::DenySignIn { message }),
        1 => Just(Effect::SetKind(SettableKind::Machine)),
        1 => Just(Effect::SetHomeOrganization { template: template("{department}") }),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let mode = prop_oneof![3 => Just(Mode::Sync), 1 => Just(Mode::GrantOnly), 1 => Just(Mode::FirstLoginOnly)];
    let applies = prop_oneof![3 => Just(AppliesTo::Both), 1 => Just(AppliesTo::Scim), 1 => Just(AppliesTo::Saml)];
    let one = (0..CONDITIONS.len(), proptest::collection::vec(effect(), 1..4), mode, applies, prop::bool::weighted(0.8), any::<bool>());
    proptest::collection::vec(one, 0..5).prop_map(|rules| {
        let numbered = (1..).zip(rules);
        let rules = numbered.map(|(number, (condition, effects, mode, applies_to, enabled, root_published))| Rule {
            id: rule_id(number),
            name: format!("rule {number}"),
            enabled,
            note: String::new(),
            published_by: None,
            valid_from: None,
            valid_until: None,
            applies_to,
            when: CONDITIONS[condition].parse().unwrap(),
            effects,
            mode,
            on_delete: if root_published { OnDelete::KeepAsManual } else { OnDelete::Withdraw },
            root_published,
        });
        rules.collect()
    })
}

fn mapping() -> impl Strategy<Value = Mapping> {
    let apply = prop_oneof![Just(Apply::OnCreate), Just(Apply::WhenUnmatched), Just(Apply::Always)];
    let default =
        (proptest::collection::vec(0..ROLES.len(), 0..3), apply, any::<bool>()).prop_map(|(roles, apply, strict)| DefaultMapping {
            roles: roles.into_iter().map(|role| id(ROLES[role])).collect(),
            apply,
            unmatched: if strict { Unmatched::DenySignIn } else { Unmatched::Allow },
        });
    (default, rules()).prop_map(|(default, rules)| Mapping { version: 1, default, rules })
}

fn facts() -> impl Strategy<Value = Identity> {
    let department = proptest::option::of(proptest::sample::select(vec!["acme-eu", "acme-us", "acme", "nowhere"]));
    let groups = proptest::option::of(proptest::sample::subsequence(vec!["g0", "g1", "g2", "g3"], 0..=4));
    (groups, department, any::<bool>(), any::<bool>()).prop_map(|(groups, department, active, saml)| {
        let said = groups.is_some();
        let attributes = department.map_or_else(|| json!({}), |department| json!({ "department": department }));
        let mut facts = identity(attributes, &groups.unwrap_or_default());
        facts.groups = facts.groups.filter(|_| said);
        facts.active = active;
        facts.source = if saml { Protocol::Saml } else { Protocol::Scim };
        facts
    })
}

/// One thing that happens to the account.
#[derive(Debug, Clone)]
enum Event {
    Sync { connection: u128, facts: Identity },
    Publish { connection: u128, mapping: Mapping },
    RemoveRule { connection: u128, which: Index },
    Deprovision { connection: u128 },
    Grant(Holding),
    Revoke(Holding),
}

fn event() -> impl Strategy<Value = Event> {
    let connection = || proptest::sample::select(vec![OKTA, ENTRA]);
    prop_oneof![
        6 => (connection(), facts()).prop_map(|(connection, facts)| Event::Sync { connection, facts }),
        2 => (connection(), mapping()).prop_map(|(connection, mapping)| Event::Publish { connection, mapping }),
        1 => (connection(), any::<Index>()).prop_map(|(connection, which)| Event::RemoveRule { connection, which }),
        1 => connection().prop_map(|connection| Event::Deprovision { connection }),
        2 => held().prop_map(Event::Grant),
        1 => held().prop_map(Event::Revoke),
    ]
}

/// The account as it goes through its history; each event checks what must hold of it.
struct Account {
    model: RoleModel,
    held: Held,
    seen: BTreeSet<u128>,
    mappings: std::collections::BTreeMap<u128, Mapping>,
    other_owners: i64,
}

impl Account {
    fn facts(&self) -> OwnerFacts {
        OwnerFacts { other_owners: self.other_owners, other_usable: self.other_owners, usable_before: true, usable_after: true }
    }

    fn has_owner(&self) -> bool {
        self.held.iter().any(|(holding, _)| is_owner_assignment(&self.model, holding))
    }

    fn evaluate(&self, connection: &Connection, mapping: &Mapping, facts: &Identity, first_sight: bool) -> Desired {
        evaluate(mapping, facts, &Sight { first_sight, kind: AccountKind::Human, ..sight(&self.model, connection) })
    }

    /// One sync: what provisioning does, without the storing.
    fn reconcile(&self, connection: &Connection, mapping: &Mapping, facts: &Identity, first_sight: bool) -> Held {
        let current = stored(self.held.iter().copied());
        let plan = diff(&current, &self.evaluate(connection, mapping, facts, first_sight), mapping, connection.id);
        apply(&retain_last_owner(plan, &current, self.facts(), &self.model).plan, &current)
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Publish { connection, mapping } => {
                self.mappings.insert(connection, mapping);
            }
            Event::Grant(holding) => {
                self.held.insert((holding, Origin::Manual { by: None }));
            }
            Event::Revoke(holding) => {
                self.held.remove(&(holding, Origin::Manual { by: None }));
            }
            Event::Sync { connection, facts } => self.sync(connection, &facts)?,
            Event::Deprovision { connection } => self.deprovision(connection)?,
            Event::RemoveRule { connection, which } => self.remove_rule(connection, which)?,
        }
        Ok(())
    }

    fn sync(&mut self, number: u128, facts: &Identity) -> Result<(), TestCaseError> {
        let connection = of(number);
        let mapping =
            self.mappings.get(&number).cloned().unwrap_or(Mapping { version: 0, default: DefaultMapping::default(), rules: vec![] });
        let first_sight = self.seen.insert(number);
        let desired = self.evaluate(&connection, &mapping, facts, first_sight);

        // The order of rules is irrelevant.
        let mut shuffled = mapping.clone();
        shuffled.rules.reverse();
        prop_assert_eq!(&self.evaluate(&connection, &shuffled, facts, first_sight), &desired);
        let half = shuffled.rules.len() / 2;
        shuffled.rules.rotate_left(half);
        prop_assert_eq!(&self.evaluate(&connection, &shuffled, facts, first_sight), &desired);

        // The same identity by the other protocol yields the same rows, where rules do not tell the protocols apart.
        if mapping.rules.iter().all(|rule| rule.applies_to == AppliesTo::Both) {
            let mut other = facts.clone();
            other.source = if facts.source == Protocol::Scim { Protocol::Saml } else { Protocol::Scim };
            let rows =
                |desired: &Desired| desired.wanted.iter().map(|(holding, origin)| (*holding, origin.rule())).collect::<BTreeSet<_>>();
            prop_assert_eq!(rows(&self.evaluate(&connection, &mapping, &other, first_sight)), rows(&desired));
        }

        let (before, had_owner) = (self.held.clone(), self.has_owner());
        self.held = self.reconcile(&connection, &mapping, facts, first_sight);
        self.check_strangers(&before, number)?;

        // What the connection holds is what it wants, and what it may not take back.
        let ours = |held: &Held| held.iter().filter(|(_, origin)| origin.connection() == Some(connection.id)).copied().collect::<Held>();
        let keeps = |origin: &Origin| match origin.rule() {
            Some(rule) => mapping.find(rule).is_some_and(|rule| rule.mode != Mode::Sync),
            None => mapping.default.apply == Apply::OnCreate,
        };
        let kept: Held = ours(&before).into_iter().filter(|(_, origin)| keeps(origin)).collect();
        prop_assert_eq!(ours(&self.held), desired.wanted.union(&kept).copied().collect::<Held>());

        // A second run changes nothing.
        prop_assert_eq!(&self.reconcile(&connection, &mapping, facts, false), &self.held);
        self.check_owner(had_owner)
    }

    fn deprovision(&mut self, number: u128) -> Result<(), TestCaseError> {
        let (before, had_owner) = (self.held.clone(), self.has_owner());
        let current = stored(before.iter().copied());
        let plan = withdraw_all(&current, id(number));
        self.held = apply(&retain_last_owner(plan, &current, self.facts(), &self.model).plan, &current);
        self.seen.remove(&number);
        self.check_strangers(&before, number)?;
        prop_assert!(!self.held.iter().any(|(_, origin)| origin.connection() == Some(id(number))));
        self.check_owner(had_owner)
    }

    fn remove_rule(&mut self, number: u128, which: Index) -> Result<(), TestCaseError> {
        let Some(mapping) = self.mappings.get_mut(&number).filter(|mapping| !mapping.rules.is_empty()) else { return Ok(()) };
        let rule = mapping.rules.remove(which.index(mapping.rules.len()));
        let (before, had_owner) = (self.held.clone(), self.has_owner());
        let current = stored(before.iter().copied());
        let plan = remove_rule(&current, id(number), &rule, None);
        self.held = apply(&retain_last_owner(plan, &current, self.facts(), &self.model).plan, &current);
        let its_own = |origin: &Origin| origin.connection() == Some(id(number)) && origin.rule() == Some(rule.id);
        for (holding, origin) in &before {
            if its_own(origin) {
                let by_hand = self.held.contains(&(*holding, Origin::Manual { by: None }));
                prop_assert!(by_hand || rule.on_delete == OnDelete::Withdraw);
            } else if *origin != Origin::Retention {
                prop_assert!(self.held.contains(&(*holding, *origin)));
            }
        }
        prop_assert!(!self.held.iter().any(|(_, origin)| its_own(origin)));
        self.check_owner(had_owner)
    }

    /// Manual origins and those of other connections are as they were. Retention belongs to the invariant.
    fn check_strangers(&self, before: &Held, number: u128) -> Result<(), TestCaseError> {
        let strangers = |held: &Held| {
            let foreign = held.iter().filter(|(_, origin)| origin.connection() != Some(id(number)) && *origin != Origin::Retention);
            foreign.copied().collect::<Held>()
        };
        prop_assert_eq!(strangers(&self.held), strangers(before));
        Ok(())
    }

    /// No sync removes the last owner assignment.
    fn check_owner(&self, had_owner: bool) -> Result<(), TestCaseError> {
        prop_assert!(!had_owner || self.has_owner() || self.other_owners > 0);
        Ok(())
    }
}

/// What provisioning stores of an account is what the plan says: one assignment per holding, none without an origin.
fn check_stored(held: &Held) -> Result<(), TestCaseError> {
    let current: Vec<Assignment> = stored(held.iter().copied());
    let holdings: BTreeSet<Holding> = current.iter().map(|assignment| assignment.holding).collect();
    prop_assert_eq!(holdings.len(), current.len());
    prop_assert!(current.iter().all(|assignment| !assignment.origins.is_empty()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_history_keeps_what_must_hold(events in proptest::collection::vec(event(), 1..12), other_owners in 0..2i64) {
        let mappings = std::collections::BTreeMap::new();
        let mut account = Account { model: model(), held: Held::new(), seen: BTreeSet::new(), mappings, other_owners };
        for event in events {
            account.happen(event)?;
            check_stored(&account.held)?;
        }
    }

    #[test]
    fn a_mapping_is_read_as_it_was_written(mapping in mapping()) {
        let text = serde_json::to_string(&mapping).unwrap();
        prop_assert_eq!(serde_json::from_str::<Mapping>(&text).unwrap(), mapping);
    }
}
