CREATE TABLE cvkit_schema (
    version SERIAL NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE runs (
    id SERIAL NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    window_end TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    reference_id TEXT NOT NULL,
    rules_id TEXT NOT NULL,
    labels TEXT NOT NULL,
    status TEXT NOT NULL,
    started TIMESTAMP WITHOUT TIME ZONE,
    finished TIMESTAMP WITHOUT TIME ZONE,
    images INTEGER,
    bad_images INTEGER,
    error TEXT NOT NULL,
    cvkit_version TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (model, version, window_start, window_end)
);

CREATE TABLE reports (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    notebook TEXT NOT NULL,
    source TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    window_end TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    path TEXT NOT NULL,
    started TIMESTAMP WITHOUT TIME ZONE,
    finished TIMESTAMP WITHOUT TIME ZONE,
    error TEXT NOT NULL,
    PRIMARY KEY (model, version, notebook, source, window_start, window_end)
);

CREATE TABLE streams (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    source TEXT NOT NULL,
    feature TEXT NOT NULL,
    state JSON NOT NULL,
    PRIMARY KEY (model, version, reference_id, source, feature)
);

CREATE TABLE told (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    source TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    features TEXT NOT NULL,
    numbers BYTEA NOT NULL,
    PRIMARY KEY (model, version, reference_id, source, window_start)
);

CREATE TABLE evidence (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    source TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    features TEXT NOT NULL,
    numbers BYTEA NOT NULL,
    left_out JSON,
    PRIMARY KEY (model, version, reference_id, source, window_start)
);

CREATE TABLE evaluations (
    id SERIAL NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    window_end TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    source TEXT NOT NULL,
    made TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    labelled INTEGER NOT NULL,
    numbers JSON NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE slots (
    job TEXT NOT NULL,
    slot TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    started TIMESTAMP WITHOUT TIME ZONE,
    finished TIMESTAMP WITHOUT TIME ZONE,
    error TEXT NOT NULL,
    PRIMARY KEY (job, slot)
);

CREATE TABLE alerts (
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    since TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    until TIMESTAMP WITHOUT TIME ZONE,
    seen_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    seen_end TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    returns INTEGER NOT NULL,
    changed TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    hushed TEXT NOT NULL,
    snoozed_until TIMESTAMP WITHOUT TIME ZONE,
    inhibited BOOLEAN NOT NULL,
    told_severity TEXT NOT NULL,
    sent TIMESTAMP WITHOUT TIME ZONE,
    facts JSON NOT NULL,
    PRIMARY KEY (fingerprint)
);

CREATE TABLE alert_log (
    id SERIAL NOT NULL,
    time TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    severity TEXT NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    until TIMESTAMP WITHOUT TIME ZONE,
    PRIMARY KEY (id)
);

CREATE INDEX ix_alert_log_fingerprint ON alert_log (fingerprint);

CREATE OR REPLACE FUNCTION alert_log_grows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the log of alerts can only grow'; END $$;

CREATE TRIGGER alert_log_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON alert_log FOR EACH STATEMENT EXECUTE FUNCTION alert_log_grows();

CREATE TABLE decisions (
    id SERIAL NOT NULL,
    made TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE,
    window_end TIMESTAMP WITHOUT TIME ZONE,
    evidence TEXT NOT NULL,
    action TEXT NOT NULL,
    policy TEXT NOT NULL,
    source TEXT NOT NULL,
    why TEXT NOT NULL,
    decision JSON NOT NULL,
    facts JSON NOT NULL,
    PRIMARY KEY (id)
);

CREATE OR REPLACE FUNCTION decisions_grows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the list of decisions can only grow'; END $$;

CREATE TRIGGER decisions_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions FOR EACH STATEMENT EXECUTE FUNCTION decisions_grows();

CREATE TABLE alert_overrides (
    id SERIAL NOT NULL,
    made TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    model TEXT NOT NULL,
    rule TEXT NOT NULL,
    changes JSON NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    until TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE outbox (
    place SERIAL NOT NULL,
    id TEXT NOT NULL,
    model TEXT NOT NULL,
    channel TEXT NOT NULL,
    fingerprints JSON NOT NULL,
    body JSON NOT NULL,
    status TEXT NOT NULL,
    made TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    due TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    attempts INTEGER NOT NULL,
    leased_until TIMESTAMP WITHOUT TIME ZONE,
    sent TIMESTAMP WITHOUT TIME ZONE,
    error TEXT NOT NULL,
    PRIMARY KEY (place),
    UNIQUE (id)
);

CREATE TABLE measurements (
    run INTEGER NOT NULL,
    source TEXT,
    feature TEXT,
    metric TEXT,
    class_name TEXT,
    value DOUBLE PRECISION,
    low DOUBLE PRECISION,
    high DOUBLE PRECISION,
    expected DOUBLE PRECISION,
    expected_low DOUBLE PRECISION,
    expected_high DOUBLE PRECISION,
    effect DOUBLE PRECISION,
    p_value DOUBLE PRECISION,
    p_adjusted DOUBLE PRECISION,
    n BIGINT,
    n_reference BIGINT,
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX measurements_by_run ON measurements (run, source);

CREATE INDEX measurements_by_feature ON measurements (feature, run, source);

CREATE TABLE verdicts (
    run INTEGER NOT NULL,
    source TEXT,
    rule TEXT,
    feature TEXT,
    state TEXT,
    reason TEXT,
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX verdicts_by_run ON verdicts (run, source);

CREATE INDEX verdicts_by_feature ON verdicts (feature, run, source);

CREATE TABLE worst (
    run INTEGER NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    rule TEXT NOT NULL,
    feature TEXT NOT NULL,
    PRIMARY KEY (run, source),
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);
