//! What happens in the demo, step by step. Everything goes over HTTP as it would in earnest, but for what the operator of the host does.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    client::{Browser, Directory},
    people::{ADA, DIRECTORY, EDSGER, GRACE, MARY, PUSHED, Person},
    tell::Teller,
};
use crate::{
    admin::{
        listing::{self, Row},
        sign_in_link::SignInLink,
    },
    app::App,
    cli::{Failure, token},
    db,
    domain::{
        actor::Actor,
        assignment::{Holding, Origin, Reach},
        id::{AccountId, TenantId},
    },
    provision::grant::grant,
};

const MEMBER: &str = "Organization Member";
const MANAGER: &str = "Organization Context Manager";
/// Longer than anybody looks at a demo.
const TOKEN_TTL_SECS: i64 = 90 * 86_400;

pub struct Story<'a> {
    pub app: &'a App,
    pub tenant: TenantId,
    pub file: &'a Path,
    pub idp: &'a str,
    pub links: &'a [SignInLink],
}

/// What the directory pushed, by the ids that the gateway gave.
struct Pushed {
    directory: Directory,
    grace: String,
    edsger: String,
    support: String,
}

impl Story<'_> {
    pub async fn tell(&self, teller: &mut Teller<'_>) -> Result<(), Failure> {
        self.begin(teller)?;
        let pushed = self.push(teller).await?;
        let (mut ada, response) = self.sign_in_somebody_known(teller).await?;
        self.sign_in_a_stranger(teller).await?;
        self.replay(teller, &response).await?;
        self.guard_certificates(teller, &mut ada).await?;
        self.grant_by_hand(teller, &pushed).await?;
        self.leave(teller, &pushed).await?;
        teller.step("Who holds what in the end, and why")?;
        teller.everybody(&self.app.db, self.tenant).await?;
        self.audit(teller).await
    }

    fn begin(&self, teller: &mut Teller<'_>) -> Result<(), Failure> {
        teller.step("A tenant from a file")?;
        teller.line(format!("`rolegate apply {}` made it: Acme with a European organization below it,", self.file.display()))?;
        teller.line("two owners, a directory that pushes people (SCIM) and signs them in (SAML), a partner that only signs in.")?;
        teller.line(format!("The gateway is at {}, the demo's identity provider at {}.", self.app.config.public_url, self.idp))
    }

    async fn push(&self, teller: &mut Teller<'_>) -> Result<Pushed, Failure> {
        teller.step("The directory pushes three people and two groups over SCIM")?;
        let slug = db::connection::find_connection_by_slug(&self.app.db, DIRECTORY).await?;
        let connection = slug.ok_or_else(|| Failure::new("the sample tenant has no directory"))?.connection;
        let minted = token::mint(self.app, &connection, TOKEN_TTL_SECS).await?;
        let base = self.app.config.public_url.join(&format!("/connections/{DIRECTORY}/scim/v2"));
        let directory = Directory::new(base, minted.token.expose().clone())?;
        let mut ids = Vec::new();
        for person in &PUSHED {
            ids.push(directory.push_person(person).await?);
        }
        let [ada, grace, edsger] = ids.try_into().map_err(|_| Failure::new("three people were to be pushed"))?;
        directory.push_group("platform-admins", &[&ada]).await?;
        let support = directory.push_group("support", &[&grace, &edsger]).await?;
        teller.everybody(&self.app.db, self.tenant).await?;
        let of = |row: &Row| pairs(row);
        let everybody = [(ADA, "acme"), (GRACE, "acme-eu"), (EDSGER, "acme-eu")];
        let mut as_told = true;
        for (person, place) in everybody {
            let row = self.find(&person).await?;
            as_told &= of(&row) == [(MANAGER.to_owned(), place.to_owned(), "scim_rule".to_owned()), member_by_default("acme")];
        }
        teller.claim("each has the default role, and what the rules say about their groups and department", as_told)?;
        Ok(Pushed { directory, grace, edsger, support })
    }

    async fn sign_in_somebody_known(&self, teller: &mut Teller<'_>) -> Result<(Browser, String), Failure> {
        teller.step("Ada signs in with SAML")?;
        teller.line("Her browser goes from the gateway to the identity provider and comes back with a signed response.")?;
        let mut browser = Browser::new(self.app.config.public_url.as_str())?;
        let (answer, response) = browser.sign_in(&ADA).await?;
        let me = browser.me().await?;
        teller.claim("she is in, with a session", answer.status == StatusCode::SEE_OTHER && me["account"]["user_name"] == ADA.name)?;
        let known = self.find(&ADA).await?;
        teller.claim("she is the account that SCIM made, not a second one", me["account"]["id"] == known.account.id)?;
        Ok((browser, response))
    }

    async fn sign_in_a_stranger(&self, teller: &mut Teller<'_>) -> Result<(), Failure> {
        teller.step("Mary, a partner whom nobody pushed, signs in for the first time")?;
        let mut browser = Browser::new(self.app.config.public_url.as_str())?;
        browser.sign_in(&MARY).await?;
        let me = browser.me().await?;
        teller
            .claim("her account was made at sign-in, named by what the response said", me["account"]["display_name"] == "Mary Shelley")?;
        let row = self.find(&MARY).await?;
        let expected = [(MANAGER.to_owned(), "acme-eu".to_owned(), "saml_rule".to_owned()), member_by_default("acme-eu")];
        teller.claim("she holds the partners' default role, and what the rule \"partner leads\" gives", pairs(&row) == expected)
    }

    async fn replay(&self, teller: &mut Teller<'_>, response: &str) -> Result<(), Failure> {
        teller.step("Somebody sends Ada's response once more")?;
        let mut browser = Browser::new(self.app.config.public_url.as_str())?;
        let answer = browser.post_response(&ADA, response).await?;
        let nobody = browser.me().await? == Value::Null;
        teller.claim(
            "it is refused, with a page that says nothing but a reference number",
            answer.status == StatusCode::FORBIDDEN && nobody,
        )?;
        self.app.sign_in_log.flush(&self.app.db).await?;
        if let Some(connection) = db::connection::find_connection_by_slug(&self.app.db, DIRECTORY).await? {
            let id = connection.connection.id;
            let log = db::sign_in::list_sign_in_log(&self.app.db, self.tenant, id, None, 1).await?;
            let found = log.iter().find(|row| answer.text.contains(&row.id.to_string()));
            teller.claim("an admin finds the reason under that number", found.is_some())?;
            if let Some(row) = found {
                teller.line(format!("           \"{}\"", row.message))?;
            }
        }
        Ok(())
    }

    async fn guard_certificates(&self, teller: &mut Teller<'_>, ada: &mut Browser) -> Result<(), Failure> {
        teller.step("Whose signatures are believed is an owner's business alone")?;
        let path = format!("/api/v1/connections/{DIRECTORY}/certificates");
        let refused = ada.post_json(&path, &json!({ "certificate": "…" })).await?;
        teller.claim("Ada, a context manager, may not touch certificates (403)", refused.status == StatusCode::FORBIDDEN)?;
        let mut owner = Browser::new(self.app.config.public_url.as_str())?;
        let link = self.link("second.owner@acme.example")?;
        owner.post_form("/sign-in/link", &[("token", link.secret.expose())]).await?;
        let listed = owner.get(&path).await?;
        let states = serde_json::from_str::<Value>(&listed.text).unwrap_or_default()["certificates"][0]["state"].clone();
        teller.claim("the second owner, signed in by a one-time link, sees the one that is in use", states == "current")?;
        let nobody = Browser::new(self.app.config.public_url.as_str())?.get(&path).await?;
        teller.claim("nobody without a session sees anything (401)", nobody.status == StatusCode::UNAUTHORIZED)
    }

    async fn grant_by_hand(&self, teller: &mut Teller<'_>, pushed: &Pushed) -> Result<(), Failure> {
        teller.step("Grace gets a role by hand, then the directory takes her out of her group")?;
        let account = AccountId::parse(&self.find(&GRACE).await?.account.id)?;
        let mut tx = self.app.db.begin().await?;
        let model = db::model::load_model(&mut tx, self.tenant).await?;
        let role = model.role_named(MANAGER).ok_or_else(|| Failure::new(format!("the preset has no role {MANAGER:?}")))?;
        let holding = Holding { role: role.id, organization: model.organizations.root(), resource_scope: None, reach: Reach::Subtree };
        let mut occasion = self.app.occasion(Actor::HostOperator, "demo");
        grant(&mut tx, &model, &mut occasion, account, holding, Origin::Manual { by: None }, false).await?;
        tx.commit().await?;
        pushed.directory.remove_member(&pushed.support, &pushed.grace).await?;
        let held = pairs(&self.find(&GRACE).await?);
        teller.claim("what the rule gave at acme-eu is gone with the group", !held.iter().any(|(_, _, kind)| kind == "scim_rule"))?;
        let by_hand = (MANAGER.to_owned(), "acme".to_owned(), "manual".to_owned());
        teller.claim("what was granted by hand stays: a sync takes back only what it gave", held == [by_hand, member_by_default("acme")])
    }

    async fn leave(&self, teller: &mut Teller<'_>, pushed: &Pushed) -> Result<(), Failure> {
        teller.step("Edsger leaves: the directory deactivates him while he is signed in")?;
        let mut browser = Browser::new(self.app.config.public_url.as_str())?;
        browser.sign_in(&EDSGER).await?;
        teller.claim("he is signed in", browser.me().await?["account"]["user_name"] == EDSGER.name)?;
        pushed.directory.deactivate(&pushed.edsger).await?;
        teller.claim("his session is over at once", browser.get("/me").await?.status == StatusCode::UNAUTHORIZED)?;
        let row = self.find(&EDSGER).await?;
        teller.claim(
            "what he holds sleeps: it is there again if the directory brings him back",
            !row.account.active && !row.assignments.is_empty(),
        )?;
        let (again, _) = browser.sign_in(&EDSGER).await?;
        teller.claim("a new response of the identity provider does not let him in again", again.status == StatusCode::FORBIDDEN)
    }

    async fn audit(&self, teller: &mut Teller<'_>) -> Result<(), Failure> {
        teller.step("All of it is in the audit trail")?;
        self.app.seal(self.tenant).await;
        let verdict = db::seal::verify(&self.app.db, self.tenant, &self.app.keys.chain(), None).await?;
        teller.claim(
            &format!("{} rows, numbered without a gap and sealed in one chain", verdict.rows),
            verdict.broken.is_none() && verdict.rows > 0,
        )
    }

    /// For a person: where to look.
    pub fn invite(&self, teller: &mut Teller<'_>, directory: &Path) -> Result<(), Failure> {
        let url = &self.app.config.public_url;
        teller.step("Your turn")?;
        teller.line(format!("Console:        {}", url.join("/")))?;
        teller.line(format!("Sign in, once:  {}", url.join(&self.link("you@acme.example")?.path())))?;
        teller.line(format!("As somebody:    {}/", self.idp))?;
        teller.line(format!("Files:          {}", directory.display()))?;
        teller.line("Ctrl-C ends it.")?;
        teller.end()
    }

    fn link(&self, email: &str) -> Result<&SignInLink, Failure> {
        let link = self.links.iter().find(|link| link.email == email);
        link.ok_or_else(|| Failure::new(format!("the sample tenant made no sign-in link for {email}")))
    }

    async fn find(&self, person: &Person) -> Result<Row, Failure> {
        let found = listing::find_accounts(&self.app.db, self.tenant, person.name).await?.into_iter().next();
        found.ok_or_else(|| Failure::new(format!("the gateway knows nobody named {}", person.name)))
    }
}

fn member_by_default(place: &str) -> (String, String, String) {
    (MEMBER.to_owned(), place.to_owned(), "default".to_owned())
}

/// Role, organization and kind of origin of everything that is held, in order.
fn pairs(row: &Row) -> Vec<(String, String, String)> {
    let held = row.assignments.iter().flat_map(|assignment| {
        assignment.origins.iter().map(|origin| (assignment.role.clone(), assignment.organization.clone(), origin.kind.clone()))
    });
    let mut held: Vec<_> = held.collect();
    held.sort();
    held
}
