use axum::http::{Method, StatusCode};
use rolegate::{
    admin::check::{answer, permit},
    db,
    domain::{actor::Actor, assignment::Reach, id::AccountId},
    policy::check::Question,
    saml::issuer::Sign,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{account_of, at, call, file, give, house, now, refused, somebody, somebody_at};
use crate::common::{
    engines::Engine,
    idp,
    installation::{Answer, Browser, Gateway},
};

async fn ask(browser: &mut Browser<'_>, body: &Value) -> Answer {
    browser.send(Method::POST, "/api/v1/check", &[("content-type", "application/json")], body.to_string().into_bytes()).await
}

fn question(account: &impl ToString, pair: &str, organization: &str) -> Value {
    let (entity, action) = pair.split_once(':').unwrap();
    json!({ "account": account.to_string(), "entity": entity, "action": action, "organization": organization })
}

#[rstest]
#[tokio::test]
async fn an_answer_names_assignment_role_organization_and_origin(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "org-admin").await;
    let mut owner = somebody(&gateway, Some("Brand admin")).await;
    let mut person = somebody(&gateway, None).await;
    let account = account_of(&mut person).await;
    let assignment = give(&gateway, account, "Customer support", "acme-eu", Reach::Subtree).await;

    let allowed = ask(&mut owner, &question(&account, "account_management:read", "acme-eu-west")).await;
    assert_eq!(allowed.status, StatusCode::OK, "{}", allowed.text());
    assert_eq!(
        allowed.json(),
        json!({
            "allowed": true,
            "because": {
                "code": "granted",
                "detail": "account_management:read is among the permissions of Customer support at acme-eu.",
                "assignment": {
                    "id": assignment.to_string(),
                    "role": "Customer support",
                    "organization": "acme-eu",
                    "reach": "subtree",
                    "origins": [{ "kind": "manual", "since": "2026-03-03T01:06:40Z" }],
                },
            },
        })
    );

    // A batch is answered in its order; what does not exist is a no with its reason.
    let stranger = "01900000-0000-7000-8000-000000000001";
    let batch = json!([
        question(&account, "account_management:read", "acme-us"),
        question(&account, "organization_management:write", "acme-eu"),
        question(&account, "account_management:fly", "acme-eu"),
        question(&account, "account_management:read", "nowhere"),
        question(&stranger, "account_management:read", "acme-eu"),
        question(&account, "account_management:read", &at(&now(&gateway).await, "acme-eu").to_string()),
    ]);
    let answers = ask(&mut owner, &batch).await.json();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["because"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["no_assignment", "not_named", "unknown_permission", "unknown_organization", "unknown_account", "granted"]);
    assert_eq!(
        answers[2]["because"]["detail"],
        "The catalogue has no permission account_management:fly; its actions are read, write, delete."
    );

    // The same by address.
    let path = format!("/api/v1/accounts/{account}/explain?entity=account_management&action=read&organization=acme-eu-west");
    assert_eq!(owner.get_json(&path).await.json(), allowed.json());
}

#[rstest]
#[tokio::test]
async fn everybody_asks_about_themselves_and_others_need_the_right_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "org-admin").await;
    let mut nobody = somebody(&gateway, None).await;
    let mut support = somebody_at(&gateway, "Customer support", "acme-eu").await;
    let (without, supporter) = (account_of(&mut nobody).await, account_of(&mut support).await);
    let mine = ask(&mut nobody, &question(&without, "account_management:read", "acme")).await;
    assert_eq!((mine.status, &mine.json()["allowed"]), (StatusCode::OK, &json!(false)));
    refused(&ask(&mut nobody, &question(&supporter, "account_management:read", "acme")).await, StatusCode::FORBIDDEN, "not_permitted");
    // Whether it exists is told to nobody who may not ask.
    refused(&ask(&mut nobody, &question(&supporter, "account_management:read", "nowhere")).await, StatusCode::FORBIDDEN, "not_permitted");
    assert_eq!(ask(&mut support, &question(&without, "account_management:read", "acme-eu-west")).await.status, StatusCode::OK);
    let above =
        ask(&mut support, &json!([question(&supporter, "a:b", "acme-eu"), question(&without, "account_management:read", "acme")])).await;
    refused(&above, StatusCode::FORBIDDEN, "not_permitted");
    assert_eq!(above.json()["field"], "[1].organization");
}

#[tokio::test]
async fn what_is_no_question_is_refused_with_words() {
    let gateway = house(Engine::Sqlite, "org-admin").await;
    let mut owner = somebody(&gateway, Some("Brand admin")).await;
    let sound = question(&account_of(&mut owner).await, "account_management:read", "acme");
    let mut nameless = sound.clone();
    nameless["account"] = json!("ann");
    let mut scoped = sound.clone();
    scoped["resource_scope"] = json!("7");
    let mut extra = sound.clone();
    extra["when"] = json!("now");
    for (body, code, words) in [
        (nameless, "id", "account: \"ann\" is not an identifier"),
        (json!([sound.clone(), scoped]), "id", "[1].resource_scope"),
        (extra, "body", "when"),
        (json!({}), "body", "account"),
        (json!("x"), "body", ""),
        (Value::Array(vec![sound.clone(); 101]), "too_many", "at most 100"),
    ] {
        let answer = ask(&mut owner, &body).await;
        refused(&answer, StatusCode::BAD_REQUEST, code);
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{}", answer.text());
    }
    let most = ask(&mut owner, &Value::Array(vec![sound; 100])).await;
    assert_eq!((most.status, most.json().as_array().unwrap().len()), (StatusCode::OK, 100));
    assert_eq!(ask(&mut owner, &json!([])).await.json(), json!([]));
}

#[rstest]
#[tokio::test]
async fn another_node_answers_by_the_last_commit(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas").await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let mut person = somebody(&gateway, None).await;
    let account = account_of(&mut person).await;
    let assignment = give(&gateway, account, "Help Desk Administrator", "acme-eu", Reach::Subtree).await;
    let (node, model) = (gateway.node(), now(&gateway).await);
    let ask = async |entity: &str, organization: &str| {
        let question = Question { entity, action: "update", organization: at(&model, organization), resource_scope: None };
        let asked = permit(&Actor::HostOperator, &model, account, &question).unwrap();
        let answers = answer(&node.db, &node.published, &node.checks, model.tenant, &Actor::HostOperator, &[asked]).await.unwrap();
        answers[0].because.code
    };
    assert_eq!(ask("user_management", "acme-eu-west").await, "granted");

    // The tree, a role, an assignment, the account: each changed elsewhere, and known here at once.
    let moved = call(&mut owner, Method::PATCH, "/api/v1/organizations/acme-eu-west", Some(&json!({ "parent": "acme-us" })), &[]).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text());
    assert_eq!(ask("user_management", "acme-eu-west").await, "no_assignment");
    assert_eq!(ask("user_management", "acme-eu").await, "granted");

    let mut role = model.role_named("Help Desk Administrator").unwrap().clone();
    role.permissions = [rolegate::domain::catalogue::Permission::parse("groups_management:update").unwrap()].into();
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::role::update_role(&mut tx, model.tenant, &role).await.unwrap());
    db::tenant::raise_model_version(&mut tx, model.tenant).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ask("user_management", "acme-eu").await, "not_named");
    assert_eq!(ask("groups_management", "acme-eu").await, "granted");

    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update account set status = 'blocked' where id = $1").bind(account.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ask("groups_management", "acme-eu").await, "inactive_account");

    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update account set status = 'active' where id = $1").bind(account.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ask("groups_management", "acme-eu").await, "granted");
    let withdrawn = call(&mut owner, Method::DELETE, &format!("/api/v1/assignments/{assignment}"), None, &[]).await;
    assert!(withdrawn.status.is_success(), "{}", withdrawn.text());
    assert_eq!(ask("groups_management", "acme-eu").await, "no_assignment");
}

#[rstest]
#[tokio::test]
async fn a_batch_is_of_one_state_where_something_of_it_was_kept(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "org-admin").await;
    let mut owner = somebody(&gateway, Some("Brand admin")).await;
    let mut accounts = Vec::new();
    for _ in 0..4 {
        accounts.push(account_of(&mut somebody(&gateway, None).await).await);
    }
    let mut given = Vec::new();
    for account in &accounts[..3] {
        given.push(give(&gateway, *account, "Customer support", "acme-eu", Reach::Subtree).await);
    }
    let (node, model) = (gateway.node(), now(&gateway).await);
    let ask = async |accounts: &[AccountId]| {
        let at = at(&model, "acme-eu");
        let question = Question { entity: "account_management", action: "read", organization: at, resource_scope: None };
        let asked: Vec<_> = accounts.iter().map(|account| permit(&Actor::HostOperator, &model, *account, &question).unwrap()).collect();
        let answers = answer(&node.db, &node.published, &node.checks, model.tenant, &Actor::HostOperator, &asked).await.unwrap();
        answers.into_iter().map(|answer| answer.because.assignment.map(|held| held.id)).collect::<Vec<_>>()
    };
    let named = |at: usize| Some(given[at].to_string());
    // The first two are kept here, and one of them changes elsewhere; of the others nothing is known here yet.
    assert_eq!(ask(&accounts[..2]).await, [named(0), named(1)]);
    let withdrawn = call(&mut owner, Method::DELETE, &format!("/api/v1/assignments/{}", given[1]), None, &[]).await;
    assert!(withdrawn.status.is_success(), "{}", withdrawn.text());
    assert_eq!(ask(&accounts).await, [named(0), None, named(2), None]);
    let again = give(&gateway, accounts[1], "Customer support", "acme-eu", Reach::Subtree).await;
    assert_eq!(ask(&accounts).await, [named(0), Some(again.to_string()), named(2), None]);
}

#[rstest]
#[tokio::test]
async fn what_a_rule_gave_is_named_with_its_connection_and_rule(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let rule = "[[connections.rules]]\nname = \"everybody\"\nwhen = 'active eq true'\ngrant = [{ role = \"Organization Member\", organization = \"acme\" }]\n";
    let text = file("owner-member")
        .replace("jit = ", "idp_initiated = true\njit = ")
        .replace("[[organizations]]\nslug = \"acme-eu\"\n", &format!("{rule}[[organizations]]\nslug = \"acme-eu\"\n"));
    gateway.apply(&text).await;
    let response = idp::signed(&idp::message("acme-okta", "ada@acme.example", gateway.app.now()), Sign::Both);
    let mut ada = gateway.browser();
    let signed_in = ada.post_form("/connections/acme-okta/saml/acs", &[("SAMLResponse", &response)]).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text());
    let account = account_of(&mut ada).await;
    let mut read = async || {
        let answer = ask(&mut ada, &question(&account, "organization_structure:read", "acme-us")).await.json();
        answer["because"]["assignment"]["origins"][0].clone()
    };
    let origin = read().await;
    assert_eq!((&origin["kind"], &origin["connection"], &origin["rule"]), (&json!("saml_rule"), &json!("acme-okta"), &json!("everybody")));
    // Renamed and published anew, it has its new name at once: the rule keeps its id.
    gateway
        .apply(
            &text
                .replace("\"everybody\"", "\"all hands\"")
                .replace("[[connections.rules]]\n", "[[connections.rules]]\nnote = \"renamed\"\n"),
        )
        .await;
    gateway.settle().await;
    assert_eq!(read().await["rule"], "all hands");
}

#[rstest]
#[tokio::test]
async fn in_a_batch_each_assignment_has_the_origins_that_are_its_own(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "org-admin").await;
    let mut owner = somebody(&gateway, Some("Brand admin")).await;
    let (mut questions, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let account = account_of(&mut somebody(&gateway, None).await).await;
        for place in ["acme-eu", "acme-us"] {
            gateway.app.clock.advance_secs(1);
            let assignment = give(&gateway, account, "Customer support", place, Reach::Subtree).await;
            questions.push(question(&account, "account_management:read", place));
            expected.push((json!(assignment.to_string()), json!([{ "kind": "manual", "since": gateway.app.now().to_string() }])));
        }
    }
    let answers = ask(&mut owner, &json!(questions)).await.json();
    let named = answers.as_array().unwrap().iter().map(|answer| &answer["because"]["assignment"]);
    assert_eq!(named.map(|named| (named["id"].clone(), named["origins"].clone())).collect::<Vec<_>>(), expected);
}
