-- While nodes of two versions run, those of the older one write sessions without the version of the connection (0): such a session is judged by
-- the time at which it began.
alter table connection add column closed_at_ms bigint not null default 0;       -- when people could last no longer sign in; 0: before this was kept, or never
