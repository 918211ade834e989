//! A tenant from its file, applied, applied again, changed and withdrawn, on both engines.

use std::path::Path;

use rolegate::{
    admin::{
        apply::{Applied, ApplyError, apply, preview},
        listing,
        plan::Metadata,
        tenant_file::TenantFile,
    },
    db::{
        Db,
        custom_schema::{find_custom_schema, put_custom_schema},
        tenant,
    },
    domain::{actor::Occasion, secret::Secret},
};
use rstest::rstest;
use serde_json::json;

use crate::common::{NOW, engines::Engine, occasion};

const BASE: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "idaas"
settings = { min_owners = 1 }

[[organizations]]
slug = "acme-berlin"
name = "Berlin"
parent = "acme-eu"

[[organizations]]
slug = "acme-eu"
name = "Acme Europe"
parent = "acme"

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[roles]]
name = "Theme editor"
permissions = ["account_branding_customization:*"]

[[connections]]
slug = "acme-okta"
organization = "acme"

[connections.scim]
enabled = true

[connections.default_mapping]
roles = ["Theme editor"]

[[connections.rules]]
name = "platform team"
when = 'groups[value eq "platform-admins"]'
grant = [{ role = "Theme editor", organization = "acme-eu" }]
"#;

fn parse(text: &str) -> TenantFile {
    TenantFile::parse(Path::new("acme.toml"), text).unwrap()
}

async fn try_apply(db: &Db, text: &str, seed: u8) -> Result<Applied, ApplyError> {
    apply(db, &mut occasion(seed), &mut || Secret::new(format!("secret-{seed}")), &parse(text), &Metadata::new()).await
}

async fn apply_text(db: &Db, text: &str, seed: u8) -> Applied {
    try_apply(db, text, seed).await.unwrap_or_else(|error| panic!("{error}"))
}

fn shown(applied: &Applied) -> Vec<String> {
    applied.changes.iter().map(ToString::to_string).collect()
}

#[rstest]
#[tokio::test]
async fn a_tenant_is_made_once_and_applying_again_changes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let first = apply_text(&db, BASE, 1).await;
    assert_eq!(first.links.len(), 1);
    assert_eq!(first.links[0].email, "owner@acme.example");
    assert_eq!(first.links[0].path(), "/sign-in/link?token=secret-1");

    let rows = listing::find_accounts(&db, first.tenant, "OWNER@acme.example").await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].account.active);
    let held = serde_json::to_value(&rows[0].assignments).unwrap();
    let origin = json!({ "kind": "bootstrap", "since": NOW.to_string() });
    assert_eq!(held, json!([{ "role": "Super Administrator", "organization": "acme", "reach": "subtree", "origins": [origin] }]));

    let again = apply_text(&db, BASE, 2).await;
    assert_eq!(shown(&again), Vec::<String>::new());
    assert!(again.links.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_preview_writes_nothing_and_says_what_apply_does(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let two_owners = format!("{BASE}\n[[owners]]\nemail = \"second@acme.example\"\nname = \"Second Owner\"\n");
    let previewed = preview(&db, &mut occasion(1), &parse(&two_owners), &Metadata::new()).await.unwrap();
    assert!(tenant::list_tenants(&*db).await.unwrap().is_empty());
    let mut made = 0;
    let mut mint = || {
        made += 1;
        Secret::new(format!("secret-{made}"))
    };
    let applied = apply(&db, &mut occasion(1), &mut mint, &parse(&two_owners), &Metadata::new()).await.unwrap();
    assert_eq!(shown(&previewed), shown(&applied));
    assert_eq!(previewed.counts, applied.counts);
    assert_eq!(applied.counts.origins_added, 2, "the owners' roles");
}

#[rstest]
#[tokio::test]
async fn changes_are_told_in_words_and_rules_keep_their_ids(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let first = apply_text(&db, BASE, 1).await;
    let ids = |mappings: Vec<(_, rolegate::policy::mapping::Mapping)>| -> Vec<_> {
        mappings.into_iter().flat_map(|(_, mapping)| mapping.rules).map(|rule| (rule.id, rule.name)).collect()
    };
    let before = ids(rolegate::db::listing::list_published_mappings(&*db, first.tenant).await.unwrap());
    let changed = BASE
        .replace("name = \"Acme Europe\"", "name = \"Europe\"")
        .replace("parent = \"acme-eu\"", "parent = \"acme\"")
        .replace("permissions = [\"account_branding_customization:*\"]", "permissions = [\"account_branding_customization:*\", \"*:read\"]")
        .replace("[connections.scim]", "[connections.saml]\nenabled = true\njit = \"create\"\n[connections.scim]")
        .replace("eq \"platform-admins\"", "eq \"platform\"");
    let second = apply_text(&db, &changed, 2).await;
    let expected = [
        r#"~ role "Theme editor": permissions: ["account_branding_customization:*"] → ["*:read","account_branding_customization:*"]"#,
        "~ organization acme-berlin: parent: acme-eu → acme",
        "~ organization acme-eu: name: Acme Europe → Europe",
        "~ connection acme-okta: saml.enabled: false → true; saml.jit: nothing → create",
        r#"~ mapping of acme-okta, version 2: ~ rule "platform team": when: groups[value eq "platform-admins"] → groups[value eq "platform"]"#,
    ];
    assert_eq!(shown(&second), expected);
    let after = ids(rolegate::db::listing::list_published_mappings(&*db, first.tenant).await.unwrap());
    assert_eq!(before, after);
    assert!(shown(&apply_text(&db, &changed, 3).await).is_empty());
}

/// What is said of the mapping when `from` becomes `to`.
async fn said_of_mapping(from: &str, to: &str) -> Vec<String> {
    let db = Engine::Sqlite.fresh().await;
    apply_text(&db, from, 1).await;
    shown(&preview(&db, &mut occasion(2), &parse(to), &Metadata::new()).await.unwrap())
}

#[tokio::test]
async fn a_changed_rule_or_default_is_told_by_what_differs() {
    let rule = "grant = [{ role = \"Theme editor\", organization = \"acme-eu\" }]\n";
    let refusing = "[[connections.rules]]\nname = \"leavers\"\nwhen = 'title eq \"leaver\"'\ndeny_sign_in = \"You have left.\"\n";
    let with_refusal = format!("{BASE}{refusing}");
    let head = "~ mapping of acme-okta, version 2: ";
    let cases = [
        (BASE, BASE.replace(rule, &format!("{rule}mode = \"grant_only\"\n")), r#"~ rule "platform team": mode: sync → grant_only"#),
        (
            BASE,
            BASE.replace("[[connections.rules]]", "apply = \"always\"\nunmatched = \"deny_sign_in\"\n[[connections.rules]]"),
            "~ default: apply: on_create → always, unmatched: allow → deny_sign_in",
        ),
        (BASE, BASE.replace("roles = [\"Theme editor\"]", "roles = []"), r#"~ default: roles: ["Theme editor"] → []"#),
        (
            BASE,
            BASE.replace(rule, "exclude = [{ role = \"Theme editor\", organization = \"acme-eu\" }]\nset = { kind = \"machine\" }\n"),
            r#"~ rule "platform team": grant: ["Theme editor at acme-eu"] → [], exclude: [] → ["Theme editor at acme-eu"], set: nothing → {"kind":"machine"}"#,
        ),
        (BASE, with_refusal.clone(), r#"+ rule "leavers", which refuses sign-in"#),
        (
            &with_refusal,
            with_refusal.replace("You have left.", "Ask the help desk."),
            r#"~ rule "leavers": deny_sign_in: You have left. → Ask the help desk."#,
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(said_of_mapping(from, &to).await, [format!("{head}{expected}")]);
    }
}

#[rstest]
#[tokio::test]
async fn what_vanishes_from_the_file_is_withdrawn(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    apply_text(&db, BASE, 1).await;
    let owners = "\n[[owners]]\nemail = \"second@acme.example\"\nname = \"Second Owner\"\n";
    let head = &BASE[..BASE.find("[[organizations]]").unwrap()];
    let second = apply_text(&db, &format!("{head}{owners}"), 2).await;
    let expected = [
        "+ owner second@acme.example",
        "- connection acme-okta: disabled, and what its rules and its default gave is withdrawn",
        "- owner owner@acme.example",
        "- role \"Theme editor\"",
        "- organization acme-berlin",
        "- organization acme-eu",
    ];
    assert_eq!(shown(&second), expected);
    let row = &listing::find_accounts(&db, second.tenant, "owner@acme.example").await.unwrap()[0];
    assert!(!row.account.active && row.assignments.is_empty());
    assert!(shown(&apply_text(&db, &format!("{head}{owners}"), 3).await).is_empty());

    let back = apply_text(&db, BASE, 4).await;
    assert_eq!(back.links.len(), 1, "the first owner again, by a new link");
    let row = &listing::find_accounts(&db, second.tenant, "owner@acme.example").await.unwrap()[0];
    assert!(row.account.active && !row.assignments.is_empty());
}

#[rstest]
#[tokio::test]
async fn what_must_stay_is_refused_and_nothing_is_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let first = apply_text(&db, BASE, 1).await;
    let without = |part: &str, until: &str| {
        let from = BASE.find(part).unwrap();
        let to = from + BASE[from..].find(until).unwrap();
        format!("{}{}", &BASE[..from], &BASE[to..])
    };
    let no_owner = try_apply(&db, &without("[[owners]]", "[[roles]]"), 2).await.unwrap_err();
    assert!(no_owner.to_string().contains("owners"), "{no_owner}");
    let named = try_apply(&db, &without("[[roles]]", "[[connections]]"), 3).await.unwrap_err();
    assert!(named.to_string().contains("connections.default_mapping.roles: there is no role \"Theme editor\""), "{named}");
    let parent = try_apply(&db, &without("[[organizations]]\nslug = \"acme-eu\"", "[[owners]]"), 4).await.unwrap_err();
    assert!(parent.to_string().contains("acme-eu"), "{parent}");
    let other_preset =
        try_apply(&db, &without("[[roles]]", "[[connections]]").replace("idaas", "dashboard").replace("Theme editor", "Admin"), 5).await;
    let why = "acme.toml, line 5: tenant.preset: the tenant was made from the preset idaas, which cannot be changed";
    assert_eq!(other_preset.unwrap_err().to_string(), why);
    let circle = BASE.replace("parent = \"acme\"", "parent = \"acme-berlin\"");
    let circle = try_apply(&db, &circle, 6).await.unwrap_err();
    assert!(circle.to_string().contains("would hang below itself"), "{circle}");
    assert_eq!(tenant::find_tenant(&*db, first.tenant).await.unwrap().unwrap().name.as_str(), "Acme");
    assert!(shown(&apply_text(&db, BASE, 7).await).is_empty(), "nothing was written");
}

#[rstest]
#[tokio::test]
async fn a_connection_slug_belongs_to_one_tenant_of_the_installation(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    apply_text(&db, BASE, 1).await;
    let other = BASE
        .replace("slug = \"acme\"", "slug = \"other\"")
        .replace("parent = \"acme\"", "parent = \"other\"")
        .replace("organization = \"acme\"\n", "");
    let refused = try_apply(&db, &other, 2).await.unwrap_err();
    assert!(refused.to_string().contains("acme-okta is taken by another tenant"), "{refused}");
    assert_eq!(tenant::list_tenants(&*db).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn the_tenants_own_schema_is_declared_changed_and_withdrawn(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    const URN: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";
    let db = engine.fresh().await;
    let tenant = apply_text(&db, BASE, 1).await.tenant;
    let declared = async || find_custom_schema(&*db, tenant).await.unwrap();
    let schema = |attributes: &[&str]| {
        let attributes: Vec<_> = attributes.iter().map(|line| format!("[[attribute_schema.attributes]]\n{line}\n")).collect();
        format!("{BASE}[attribute_schema]\nid = \"{URN}\"\nname = \"Acme\"\n{}", attributes.concat())
    };
    let site = schema(&["name = \"site\""]);
    assert_eq!(shown(&apply_text(&db, &site, 2).await), [format!("+ attribute schema {URN}: site")]);
    let first = declared().await.unwrap();
    assert_eq!((first.definition.attributes[0].name.as_str(), first.from_file), ("site", true));
    assert!(shown(&apply_text(&db, &site, 3).await).is_empty());

    let badge = schema(&["name = \"site\"\ncaseExact = true", "name = \"badge\"\ntype = \"integer\""]);
    let changed = "~ attribute schema: attributes.site.caseExact: nothing → true; attributes.badge: nothing → {\"name\":\"badge\",\"type\":\"integer\"}";
    assert_eq!(shown(&apply_text(&db, &badge, 4).await), [changed]);
    let second = declared().await.unwrap();
    assert!(second.version > first.version && second.definition.attributes.len() == 2);
    assert_eq!(shown(&apply_text(&db, BASE, 5).await), ["- attribute schema"]);
    assert_eq!(declared().await, None);

    // One that a person declared is theirs.
    let mut tx = db.begin().await.unwrap();
    let document = json!({ "id": URN, "name": "Acme", "attributes": [{ "name": "site" }] }).to_string();
    put_custom_schema(&mut tx, tenant, &document, false, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert!(shown(&apply_text(&db, BASE, 6).await).is_empty());
    assert!(shown(&apply_text(&db, &site, 7).await).is_empty(), "it says the same");
    let refused = try_apply(&db, &badge, 8).await.unwrap_err().to_string();
    assert!(refused.contains("attribute_schema: the tenant has a schema that no file made"), "{refused}");
    assert!(declared().await.is_some_and(|schema| !schema.from_file));
    let actions: Vec<(String,)> =
        db.query("select action from audit where action like 'attribute_schema%' order by action").all().await.unwrap();
    let actions: Vec<_> = actions.iter().map(|(action,)| action.as_str()).collect();
    assert_eq!(actions, ["attribute_schema.changed", "attribute_schema.changed", "attribute_schema.deleted"]);
}

/// The actor of `apply` is the host operator, in every audit row.
#[rstest]
#[tokio::test]
async fn every_step_is_audited(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let first = apply_text(&db, BASE, 1).await;
    let Occasion { correlation, .. } = occasion(1);
    let rows: Vec<(String, String)> = db
        .query("select actor_kind, action from audit where tenant = $1 and correlation = $2 order by action, id")
        .bind(first.tenant.to_string())
        .bind(correlation)
        .all()
        .await
        .unwrap();
    assert!(rows.iter().all(|(actor, _)| actor == "host_operator"));
    let actions: Vec<_> = rows.into_iter().map(|(_, action)| action).collect();
    let expected = [
        "account.created",
        "assignment.origin_added",
        "connection.created",
        "mapping.published",
        "organization.created",
        "organization.created",
        "role.created",
        "sign_in_link.created",
        "tenant.created",
    ];
    assert_eq!(actions, expected);
}
