"""The tables of the state, and how an older state becomes a newer one: a migration a version, never edited later."""

MIGRATIONS = (
    """
    create table meta (key text primary key, value text not null) strict;
    create table namespaces (
        name text primary key, source text not null, file text not null, line integer not null,
        description text not null, labels text not null, created text not null, updated text not null,
        network text not null default ''
    ) strict;
    create table services (
        namespace text not null, name text not null, source text not null, file text not null, line integer not null,
        description text not null, labels text not null, depends_on text not null,
        created text not null, updated text not null, primary key (namespace, name)
    ) strict;
    create table revisions (
        id text primary key, namespace text not null, service text not null, number integer not null,
        parent text not null, base text not null, status text not null, created text not null, updated text not null,
        fingerprint text not null, image text not null, image_id text not null, replicas integer not null,
        memory integer, written text not null, shown text not null, digests text not null,
        cause text not null default '', logs text not null default '[]'
    ) strict;
    create index revisions_of on revisions (namespace, service, status);
    create table containers (
        id text primary key, namespace text not null, service text not null, number integer not null,
        attempt integer not null, name text not null, revision text not null, base text not null,
        projection text not null
    ) strict;
    create table volumes (name text primary key, namespace text not null, created text not null) strict;
    create table attempts (
        namespace text not null, service text not null, last integer not null, primary key (namespace, service)
    ) strict;
    create table intents (
        nonce text primary key, step text not null, namespace text not null, service text not null,
        number integer not null, attempt integer not null, revision text not null, target text not null,
        created text not null
    ) strict;
    create table removals (source text not null, at real not null) strict;
    create table activity (
        seq integer primary key autoincrement, id text not null, created text not null, updated text not null,
        namespace text not null, service text not null, type text not null, reason text not null,
        message text not null, revision text not null, commit_id text not null, count integer not null
    ) strict;
    create index activity_of on activity (namespace, service, seq);
    """,
    """
    create table notes (
        source text not null, namespace text not null, service text not null, text text not null,
        primary key (source, namespace, service)
    ) strict;
    """,
    "alter table revisions add column digest text not null default ''",
    """
    alter table services add column protect integer not null default 0;
    alter table namespaces add column protect integer not null default 0;
    alter table namespaces add column share_with text not null default '[]';
    alter table namespaces add column written text not null default '{}';
    alter table volumes add column definition text not null default '';
    """,
    """
    alter table namespaces add column hosts text not null default '[]';
    alter table services add column hosts text not null default '[]';
    alter table revisions add column authored text not null default '{}';
    """,
    "alter table volumes add column nonce text not null default ''",
    """
    create table orders (
        namespace text not null, service text not null, asked text not null, revision text not null,
        primary key (namespace, service)
    ) strict;
    """,
    # What is removed is kept for a while, apart from what is recorded. `removed_revisions` has the columns of
    # `revisions`, in their order: who adds one there adds it here.
    """
    create table removed (
        namespace text not null, service text not null, source text not null, file text not null,
        meta text not null, spec text not null, removed text not null, primary key (namespace, service)
    ) strict;
    create table removed_revisions (
        id text primary key, namespace text not null, service text not null, number integer not null,
        parent text not null, base text not null, status text not null, created text not null, updated text not null,
        fingerprint text not null, image text not null, image_id text not null, replicas integer not null,
        memory integer, written text not null, shown text not null, digests text not null,
        cause text not null default '', logs text not null default '[]', digest text not null default '',
        authored text not null default '{}'
    ) strict;
    create index removed_revisions_of on removed_revisions (namespace, service);
    """,
    """
    alter table activity add column causes text not null default '[]';
    create table sources (
        name text primary key, root text not null, named text not null, commit_id text not null, at text not null
    ) strict;
    """,
    """
    alter table revisions add column restart integer not null default 0;
    alter table removed_revisions add column restart integer not null default 0;
    """,
    "alter table services add column drift text not null default '{}'",
    """
    create table unnamed_volumes (
        name text primary key, namespace text not null, service text not null, target text not null,
        created text not null
    ) strict;
    """,
    """
    alter table revisions add column promoted text not null default '';
    alter table removed_revisions add column promoted text not null default '';
    """,
)
