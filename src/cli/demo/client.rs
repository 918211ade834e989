//! The two sides that talk to the gateway over HTTP in the demo: a directory that pushes by SCIM, and browsers that follow redirects and
//! submit forms.

use std::collections::BTreeMap;

use reqwest::{Client, Method, StatusCode, header, redirect::Policy};
use serde_json::{Value, json};

use super::people::Person;
use crate::cli::Failure;

fn client() -> Result<Client, Failure> {
    Ok(Client::builder().redirect(Policy::none()).no_proxy().build()?)
}

/// A SCIM client of one connection.
pub struct Directory {
    client: Client,
    base: String,
    token: String,
}

impl Directory {
    pub fn new(base: String, token: String) -> Result<Self, Failure> {
        Ok(Self { client: client()?, base, token })
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.client.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(&self.token);
        let answer = request.header(header::CONTENT_TYPE, "application/scim+json").body(body.to_string()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(Failure::new(format!("the gateway answered {status} to {method} {path}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// The id that the gateway gave.
    async fn create(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let made = self.send(Method::POST, path, body).await?;
        made["id"].as_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("the gateway's answer to POST {path} has no id")))
    }

    pub async fn push_person(&self, person: &Person) -> Result<String, Failure> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
            "userName": person.name,
            "name": { "givenName": person.given_name, "familyName": person.family_name },
            "emails": [{ "value": person.name, "type": "work", "primary": true }],
            "active": true,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": person.department },
        });
        self.create("/Users", &body).await
    }

    pub async fn push_group(&self, name: &str, members: &[&str]) -> Result<String, Failure> {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members });
        self.create("/Groups", &body).await
    }

    pub async fn remove_member(&self, group: &str, member: &str) -> Result<(), Failure> {
        self.patch(&format!("/Groups/{group}"), &json!([{ "op": "remove", "path": format!("members[value eq \"{member}\"]") }])).await
    }

    pub async fn deactivate(&self, person: &str) -> Result<(), Failure> {
        self.patch(&format!("/Users/{person}"), &json!([{ "op": "replace", "path": "active", "value": false }])).await
    }

    async fn patch(&self, path: &str, operations: &Value) -> Result<(), Failure> {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.send(Method::PATCH, path, &body).await.map(drop)
    }
}

/// A browser without a window: keeps cookies, follows where it is sent, submits the forms of the demo.
pub struct Browser {
    client: Client,
    gateway: String,
    cookies: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub location: Option<String>,
    pub text: String,
}

impl Answer {
    /// The value of a form's hidden field.
    fn field(&self, name: &str) -> Option<String> {
        self.text.split(&format!("name=\"{name}\" value=\"")).nth(1)?.split('"').next().map(str::to_owned)
    }
}

impl Browser {
    pub fn new(gateway: &str) -> Result<Self, Failure> {
        Ok(Self { client: client()?, gateway: gateway.to_owned(), cookies: BTreeMap::new() })
    }

    /// Through the whole sign-in: the gateway's login, the identity provider with a person picked, the assertion consumer. What the gateway
    /// answered at the end, and the response that was posted.
    pub async fn sign_in(&mut self, person: &Person) -> Result<(Answer, String), Failure> {
        let begun = self.get(&format!("/connections/{}/saml/login", person.connection)).await?;
        let location = begun.location.ok_or_else(|| Failure::new(format!("the gateway did not begin a sign-in: {}", begun.status)))?;
        let name: String = url::form_urlencoded::byte_serialize(person.name.as_bytes()).collect();
        let page = self.client.get(format!("{location}&as={name}")).send().await?;
        let page = Answer { status: page.status(), location: None, text: page.text().await? };
        let response = page.field("SAMLResponse");
        let response = response.ok_or_else(|| Failure::new(format!("the demo's identity provider sent no response: {}", page.text)))?;
        Ok((self.post_response(person, &response).await?, response))
    }

    pub async fn post_response(&mut self, person: &Person, response: &str) -> Result<Answer, Failure> {
        self.post_form(&format!("/connections/{}/saml/acs", person.connection), &[("SAMLResponse", response)]).await
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.send(self.client.get(format!("{}{path}", self.gateway)).header(header::ACCEPT, "application/json, text/html;q=0.5")).await
    }

    pub async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.send(self.client.post(format!("{}{path}", self.gateway)).form(fields)).await
    }

    /// A change with the session's token.
    pub async fn post_json(&mut self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let token = self.me().await?["csrf_token"].as_str().unwrap_or_default().to_owned();
        self.send(self.client.post(format!("{}{path}", self.gateway)).header("x-csrf-token", token).json(body)).await
    }

    /// `/me`; nothing when nobody is signed in.
    pub async fn me(&mut self) -> Result<Value, Failure> {
        let answer = self.get("/me").await?;
        Ok(if answer.status == StatusCode::OK { serde_json::from_str(&answer.text)? } else { Value::Null })
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) };
        let answer = request.send().await?;
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let line = cookie.to_str()?;
            let Some((name, value)) = line.split(';').next().and_then(|pair| pair.split_once('=')) else { continue };
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: answer.status(), location, text: answer.text().await? })
    }
}
