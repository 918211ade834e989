-- A session counts only when its sign-in was judged after its connection last closed: who was being signed in while it closed is not let
-- in, neither then nor when it opens again.
alter table connection add column closed_version bigint not null default 0;     -- the last version in which nobody could sign in
alter table session add column connection_version bigint not null default 0;    -- by which the sign-in was judged; 0: a local one
update connection set closed_version = version where not enabled;
update session set connection_version = (select c.version from connection c where c.tenant = session.tenant and c.id = session.connection)
    where connection is not null;
