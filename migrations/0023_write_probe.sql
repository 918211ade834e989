-- What readiness probes write and remove again, to see that a write succeeds. It is empty but for the moment of a probe.
create table write_probe (
    id text not null primary key,
    filler text not null
);
