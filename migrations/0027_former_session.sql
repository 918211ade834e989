-- Hash of the session cookie that a browser had when it began a sign-in. The sign-in ends that session: the response comes from another
-- site, and browsers leave the cookie out there. Null: the browser had none, or an older node wrote the row.
alter table authn_request add column former_session text;
