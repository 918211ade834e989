//! Bulk requests (RFC 7644 §3.7): reading the envelope, the order in which its operations are done, references between them by `bulkId`,
//! and the answer. It refuses to do an operation: whoever does it gives each one a transaction of its own and reports what became of it.

mod reference;

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{
    error::{ErrorKind, ScimError},
    json,
};

pub const URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
pub const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// Operations in one request.
pub const OPERATIONS: usize = 1000;
/// Bytes of one request.
pub const BODY: usize = 10 << 20;
/// The envelope's own levels around an operation's `data`.
const ENVELOPE: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const ALL: [Self; 4] = [Self::Post, Self::Put, Self::Patch, Self::Delete];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The collections that a bulk request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Users,
    Groups,
}

impl Endpoint {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "Users",
            Self::Groups => "Groups",
        }
    }
}

/// One operation as the client wrote it, references unresolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub method: Method,
    pub endpoint: Endpoint,
    /// Of the resource; may be `bulkId:x`. `None` for POST.
    id: Option<String>,
    pub bulk_id: Option<String>,
    /// The version that the resource must have, as in If-Match.
    pub version: Option<String>,
    data: Map<String, Value>,
}

/// What is known of an operation that cannot be read: enough to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub method: Option<Method>,
    pub bulk_id: Option<String>,
    pub error: ScimError,
}

/// A bulk request.
#[derive(Debug, Clone, PartialEq)]
pub struct Bulk {
    /// After so many errors the rest is left undone.
    pub fail_on_errors: Option<usize>,
    pub operations: Vec<Result<Operation, Unreadable>>,
}

/// What is to be done next; operations by their place in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `without`: references that would close a circle; they are left out for now.
    Run { operation: usize, without: BTreeSet<String> },
    /// Writes again, as a whole, what was made without some of its references.
    Complete { operation: usize },
}

/// An operation whose references were replaced by identifiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub id: Option<String>,
    pub data: Map<String, Value>,
}

/// Why an operation cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    #[error("bulkId:{0} names no POST of this request.")]
    Unknown(String),
    /// RFC 7644 §3.7.1: 409 for what a failed operation makes impossible.
    #[error("The operation with the bulkId {0} failed, and this one refers to it.")]
    Failed(String),
}

/// What became of the resources that have a `bulkId`.
#[derive(Debug, Clone, Default)]
pub struct Made(HashMap<String, Option<String>>);

impl Made {
    pub fn insert(&mut self, bulk_id: &str, id: String) {
        self.0.insert(bulk_id.to_owned(), Some(id));
    }

    pub fn fail(&mut self, bulk_id: &str) {
        self.0.insert(bulk_id.to_owned(), None);
    }

    #[must_use]
    pub fn id(&self, bulk_id: &str) -> Option<String> {
        self.0.get(bulk_id).cloned().flatten()
    }
}

impl Bulk {
    /// Reads a request body.
    ///
    /// # Errors
    /// When it is no bulk request, is too large, or names one `bulkId` twice, so that references would be ambiguous. What is wrong with one
    /// operation alone stands in its place.
    pub fn parse(body: &[u8]) -> Result<Self, ScimError> {
        let mut map = json::object_within(body, BODY, json::DEPTH + ENVELOPE)?;
        let fail_on_errors = match json::find(&map, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let count = value.as_u64().filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok());
                Some(count.ok_or_else(|| ScimError::value("failOnErrors is a whole number above 0."))?)
            }
        };
        let key = map.keys().find(|key| key.eq_ignore_ascii_case("Operations")).cloned();
        let Some(Value::Array(items)) = key.and_then(|key| map.get_mut(&key)).map(Value::take) else {
            return Err(ScimError::syntax("A bulk request has an array Operations."));
        };
        // RFC 7644 §3.7.4: "If the service provider's limits are exceeded, […] HTTP response code 413".
        if items.len() > OPERATIONS {
            let detail = format!("A bulk request has at most {OPERATIONS} operations, not {}.", items.len());
            return Err(ScimError::new(ErrorKind::TooLarge, detail));
        }
        let operations: Vec<_> = items.into_iter().map(Operation::read).collect();
        let mut seen = BTreeSet::new();
        for operation in operations.iter().flatten() {
            if let Some(bulk_id) = &operation.bulk_id
                && operation.method == Method::Post
                && !seen.insert(bulk_id.as_str())
            {
                return Err(ScimError::value(format_args!("Two operations have the bulkId {bulk_id:?}; each needs its own.")));
            }
        }
        Ok(Self { fail_on_errors, operations })
    }

    /// The order of work: as written, except that what an operation refers to is made before it. Where references go in a circle, one of
    /// its resources is made without the reference that closes it and completed when all of them are there.
    /// RFC 7644 §3.7.1: "The service provider MUST try to resolve circular cross-references between resources in a single bulk job".
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let posts = self.operations.iter().enumerate().filter_map(|(at, operation)| {
            let operation = operation.as_ref().ok().filter(|operation| operation.method == Method::Post)?;
            Some((operation.bulk_id.as_deref()?, at))
        });
        let mut order = Order {
            bulk: self,
            posts: posts.collect(),
            states: vec![State::Waiting; self.operations.len()],
            steps: Vec::with_capacity(self.operations.len()),
            incomplete: Vec::new(),
        };
        for at in 0..self.operations.len() {
            order.visit(at);
            let incomplete = std::mem::take(&mut order.incomplete);
            order.steps.extend(incomplete.into_iter().map(|operation| Step::Complete { operation }));
        }
        order.steps
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    UnderWay,
    Done,
}

struct Order<'a> {
    bulk: &'a Bulk,
    posts: HashMap<&'a str, usize>,
    states: Vec<State>,
    steps: Vec<Step>,
    incomplete: Vec<usize>,
}

impl Order<'_> {
    /// As deep as references follow one another: at most `OPERATIONS`.
    fn visit(&mut self, at: usize) {
        if self.states[at] != State::Waiting {
            return;
        }
        self.states[at] = State::UnderWay;
        let mut without = BTreeSet::new();
        if let Ok(operation) = &self.bulk.operations[at] {
            for name in operation.references() {
                let Some(&other) = self.posts.get(name.as_str()) else { continue };
                self.visit(other);
                if self.states[other] == State::UnderWay {
                    without.insert(name);
                }
            }
        }
        if !without.is_empty() {
            self.incomplete.push(at);
        }
        self.states[at] = State::Done;
        self.steps.push(Step::Run { operation: at, without });
    }
}

impl Operation {
    fn read(item: Value) -> Result<Self, Unreadable> {
        let Value::Object(mut map) = item else {
            return Err(Unreadable { method: None, bulk_id: None, error: ScimError::syntax("An operation is an object.") });
        };
        let text = |name: &str| json::find(&map, name).and_then(Value::as_str).map(str::to_owned);
        let method = text("method").and_then(|name| Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&name)));
        let (path, bulk_id, version) = (text("path"), text("bulkId"), text("version"));
        let data = map.keys().find(|key| key.eq_ignore_ascii_case("data")).cloned().and_then(|key| map.shift_remove(&key));
        let refused = |error| Unreadable { method, bulk_id: bulk_id.clone(), error };
        let Some(method) = method else {
            return Err(refused(ScimError::syntax("method is POST, PUT, PATCH or DELETE.")));
        };
        let (endpoint, id) = path
            .as_deref()
            .and_then(read_path)
            .ok_or_else(|| refused(ScimError::path("path is /Users, /Groups, or one of these with an id behind it.")))?;
        match (method, &id) {
            (Method::Post, Some(_)) => return Err(refused(ScimError::path("A POST goes to /Users or /Groups, without an id."))),
            (Method::Put | Method::Patch | Method::Delete, None) => {
                return Err(refused(ScimError::path("The path ends with the id of the resource.")));
            }
            _ => {}
        }
        // RFC 7644 §3.7: "bulkId: […] REQUIRED when "method" is "POST"."
        if method == Method::Post && bulk_id.as_ref().is_none_or(String::is_empty) {
            return Err(refused(ScimError::value("A POST in a bulk request needs a bulkId.")));
        }
        let data = match (method, data) {
            (Method::Delete, _) => Map::new(),
            (_, Some(Value::Object(data))) => data,
            _ => return Err(refused(ScimError::syntax("data is the object that the request alone would have as its body."))),
        };
        Ok(Self { method, endpoint, id, bulk_id, version, data })
    }
}

fn read_path(path: &str) -> Option<(Endpoint, Option<String>)> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    let (name, id) = path.split_once('/').map_or((path, None), |(name, id)| (name, Some(id)));
    let endpoint = [Endpoint::Users, Endpoint::Groups].into_iter().find(|endpoint| endpoint.as_str().eq_ignore_ascii_case(name))?;
    match id {
        Some(id) if id.is_empty() || id.contains(['/', '?', '#']) => None,
        id => Some((endpoint, id.map(str::to_owned))),
    }
}

/// What became of one operation, as the response says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub method: Option<Method>,
    pub bulk_id: Option<String>,
    pub location: Option<String>,
    pub version: Option<String>,
    pub status: u16,
    /// The body of a refusal.
    pub response: Option<Value>,
}

/// The BulkResponse. Operations that were left undone are left out.
#[must_use]
pub fn response(outcomes: &[Outcome]) -> Value {
    let one = |outcome: &Outcome| {
        let mut map = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        put("location", outcome.location.as_deref().map(Value::from));
        put("method", outcome.method.map(|method| method.as_str().into()));
        put("bulkId", outcome.bulk_id.as_deref().map(Value::from));
        put("version", outcome.version.as_deref().map(Value::from));
        // RFC 7644 §3.7: "response […] MUST be included for all errors".
        put("response", outcome.response.clone());
        put("status", Some(outcome.status.to_string().into()));
        Value::Object(map)
    };
    json!({ "schemas": [RESPONSE_URN], "Operations": outcomes.iter().map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy as _;

    use super::*;

    fn parse(operations: &Value) -> Bulk {
        Bulk::parse(json!({"schemas": [URN], "Operations": operations}).to_string().as_bytes()).unwrap()
    }

    fn group(bulk_id: &str, members: &[&str]) -> Value {
        let members: Vec<Value> = members.iter().map(|member| json!({"value": member})).collect();
        json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": {"displayName": bulk_id, "members": members}})
    }

    fn run(operation: usize) -> Step {
        Step::Run { operation, without: BTreeSet::new() }
    }

    fn without(operation: usize, names: &[&str]) -> Step {
        Step::Run { operation, without: names.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn what_is_no_bulk_request_is_refused_as_a_whole() {
        let refused = |body: Value| Bulk::parse(body.to_string().as_bytes()).unwrap_err().kind;
        assert_eq!(refused(json!({})), ErrorKind::InvalidSyntax);
        assert_eq!(refused(json!({"Operations": {}})), ErrorKind::InvalidSyntax);
        assert_eq!(refused(json!({"Operations": [], "failOnErrors": 0})), ErrorKind::InvalidValue);
        assert_eq!(refused(json!({"Operations": vec![json!({}); OPERATIONS + 1]})), ErrorKind::TooLarge);
        assert_eq!(refused(json!({"Operations": [group("a", &[]), group("a", &[])]})), ErrorKind::InvalidValue);
        assert_eq!(Bulk::parse(&vec![b' '; BODY + 1]).unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[rstest::rstest]
    #[case(json!(7), ErrorKind::InvalidSyntax)]
    #[case(json!({"path": "/Users"}), ErrorKind::InvalidSyntax)]
    #[case(json!({"method": "GET", "path": "/Users/1"}), ErrorKind::InvalidSyntax)]
    #[case(json!({"method": "POST", "path": "/Users", "data": {}}), ErrorKind::InvalidValue)]
    #[case(json!({"method": "POST", "path": "/Users", "bulkId": "", "data": {}}), ErrorKind::InvalidValue)]
    #[case(json!({"method": "POST", "path": "/Users", "bulkId": "a"}), ErrorKind::InvalidSyntax)]
    #[case(json!({"method": "POST", "path": "/Users/1", "bulkId": "a", "data": {}}), ErrorKind::InvalidPath)]
    #[case(json!({"method": "DELETE", "path": "/Users"}), ErrorKind::InvalidPath)]
    #[case(json!({"method": "DELETE", "path": "/Roles/1"}), ErrorKind::InvalidPath)]
    #[case(json!({"method": "DELETE", "path": "/Users/1/2"}), ErrorKind::InvalidPath)]
    fn one_operation_that_cannot_be_read_leaves_the_others(#[case] operation: Value, #[case] kind: ErrorKind) {
        let bulk = parse(&json!([operation, {"method": "delete", "path": "Users/1", "version": "W/\"3\""}]));
        assert_eq!(bulk.operations[0].as_ref().unwrap_err().error.kind, kind);
        let other = bulk.operations[1].as_ref().unwrap();
        assert_eq!((other.method, other.id.as_deref(), other.version.as_deref()), (Method::Delete, Some("1"), Some("W/\"3\"")));
    }

    #[test]
    fn what_is_referred_to_is_made_first_and_the_rest_keeps_its_order() {
        let bulk = parse(&json!([
            {"method": "DELETE", "path": "/Users/1"},
            group("all", &["bulkId:anna", "bulkId:staff", "u9"]),
            {"method": "PATCH", "path": "/Groups/bulkId:staff", "data": {"Operations": []}},
            {"method": "POST", "path": "/Users", "bulkId": "anna", "data": {"userName": "anna"}},
            group("staff", &["bulkId:anna"]),
        ]));
        assert_eq!(bulk.steps(), [run(0), run(3), run(4), run(1), run(2)]);
    }

    #[test]
    fn a_circle_is_opened_at_one_place_and_closed_afterwards() {
        let bulk = parse(&json!([group("a", &["bulkId:b"]), group("b", &["bulkId:c"]), group("c", &["bulkId:a", "u1"])]));
        assert_eq!(bulk.steps(), [without(2, &["a"]), run(1), run(0), Step::Complete { operation: 2 }]);
        let own = parse(&json!([group("a", &["bulkId:a"]), group("b", &[])]));
        assert_eq!(own.steps(), [without(0, &["a"]), Step::Complete { operation: 0 }, run(1)]);
    }

    #[test]
    fn a_thousand_operations_in_one_chain_or_circle_are_ordered() {
        let mut operations: Vec<Value> =
            (0..OPERATIONS).map(|n| group(&format!("g{n}"), &[&format!("bulkId:g{}", (n + 1) % OPERATIONS)])).collect();
        let steps = parse(&json!(operations)).steps();
        assert_eq!(steps.len(), OPERATIONS + 1);
        assert_eq!(steps[0], without(OPERATIONS - 1, &["g0"]));
        operations.reverse();
        assert_eq!(parse(&json!(operations)).steps().len(), OPERATIONS + 1);
    }

    /// Groups that refer to one another at random.
    fn circles() -> impl proptest::strategy::Strategy<Value = Vec<Vec<usize>>> {
        (1_usize..12).prop_flat_map(|count| proptest::collection::vec(proptest::collection::vec(0..count, 0..4), count))
    }

    proptest::proptest! {
        #[test]
        fn whatever_refers_to_what_everything_is_made_once_and_in_the_end_as_asked(members in circles()) {
            let name = |n: usize| format!("g{n}");
            let operations: Vec<Value> = members
                .iter()
                .enumerate()
                .map(|(n, of)| {
                    let of: Vec<String> = of.iter().map(|n| format!("bulkId:{}", name(*n))).collect();
                    group(&name(n), &of.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect();
            let bulk = parse(&json!(operations));
            let (mut made, mut state) = (Made::default(), vec![None; members.len()]);
            for step in bulk.steps() {
                let (at, without) = match step {
                    Step::Run { operation, without } => {
                        proptest::prop_assert_eq!(&state[operation], &None, "made once");
                        (operation, without)
                    }
                    Step::Complete { operation } => {
                        proptest::prop_assert!(state[operation].is_some(), "completed after it was made");
                        (operation, BTreeSet::new())
                    }
                };
                // What it refers to is there whenever it is its turn.
                let resolved = bulk.operations[at].as_ref().unwrap().resolve(&made, &without);
                state[at] = Some(resolved.unwrap().data);
                made.insert(&name(at), at.to_string());
            }
            for (of, state) in members.iter().zip(state) {
                let expected: Vec<Value> = of.iter().map(|n| json!({"value": n.to_string()})).collect();
                proptest::prop_assert_eq!(&state.unwrap()["members"], &json!(expected));
            }
        }

        #[test]
        fn any_body_is_read_or_refused(body in "(\\{|\\}|\\[|\\]|,|:|\"(Operations|method|POST|PATCH|path|/Users|/Groups/bulkId:a|bulkId|data|a)\"|1|null){0,30}") {
            if let Ok(bulk) = Bulk::parse(body.as_bytes()) {
                proptest::prop_assert!(bulk.steps().len() >= bulk.operations.len());
            }
        }
    }

    #[test]
    fn the_answer_says_what_became_of_each() {
        let made = Outcome {
            method: Some(Method::Post),
            bulk_id: Some("anna".to_owned()),
            location: Some("https://x/Users/u1".to_owned()),
            version: Some("W/\"1\"".to_owned()),
            status: 201,
            response: None,
        };
        let error = json!({"status": "400"});
        let refused = Outcome { method: None, bulk_id: None, location: None, version: None, status: 400, response: Some(error) };
        insta::assert_json_snapshot!(response(&[made, refused]), @r#"
        {
          "schemas": [
            "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
          ],
          "Operations": [
            {
              "location": "https://x/Users/u1",
              "method": "POST",
              "bulkId": "anna",
              "version": "W/\"1\"",
              "status": "201"
            },
            {
              "response": {
                "status": "400"
              },
              "status": "400"
            }
          ]
        }
        "#);
    }
}
